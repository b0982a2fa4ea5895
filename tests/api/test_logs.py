import io
import json
import logging
import sys
from collections.abc import Iterator

import pytest

from api.logs import JsonFormatter, TextFormatter, configure
from api.settings import LogFormat, LogLevel


def record(message: str = "installed", **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "reconciler.control.reconcile", "levelname": "INFO", "msg": message, **extra})
    made.created, made.msecs = 1_795_546_800.123, 123.0
    return made


def test_a_line_is_time_level_component_message_and_pairs() -> None:
    line = TextFormatter().format(record(plugin="id_1", generation=3))
    assert line == "2026-11-24T19:00:00.123Z INFO reconcile installed plugin=id_1 generation=3"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("two words", '"two words"'),
        ("", '""'),
        ('a"b', '"a\\"b"'),
        ("a=b", '"a=b"'),
        ("line\nbreak", '"line\\nbreak"'),
        ("naïve", "naïve"),
        (None, "None"),
    ],
)
def test_a_value_is_always_one_word(value: object, written: str) -> None:
    assert TextFormatter().format(record(value=value)).endswith(f" value={written}")


def test_a_message_cannot_forge_another_line() -> None:
    assert "\n" not in TextFormatter().format(record("a\n2026-11-24T19:00:00.123Z INFO forged"))


def test_json_lines_hold_the_same_as_an_object() -> None:
    assert json.loads(JsonFormatter().format(record(plugin="id_1", generation=3))) == {
        "time": "2026-11-24T19:00:00.123Z",
        "level": "INFO",
        "component": "reconcile",
        "message": "installed",
        "plugin": "id_1",
        "generation": 3,
    }


def test_a_traceback_is_kept_in_both_forms() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        failed = record(exc_info=sys.exc_info())
    assert TextFormatter().format(failed).endswith("\nValueError: broken")
    assert json.loads(JsonFormatter().format(failed))["exception"].endswith("ValueError: broken")


@pytest.fixture
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.usefixtures("_root_logger")
def test_configure_sends_what_is_serious_enough_to_the_stream() -> None:
    stream = io.StringIO()
    configure(LogLevel.WARNING, LogFormat.TEXT, stream)
    logging.getLogger("a.b").info("too quiet")
    logging.getLogger("a.b").warning("heard", extra={"plugin": "x"})
    assert stream.getvalue().endswith("WARNING b heard plugin=x\n")
    assert stream.getvalue().count("\n") == 1
