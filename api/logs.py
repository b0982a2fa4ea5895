"""Log lines: a constant message and key=value pairs, as text or as JSON.

    2026-11-24T19:00:00.123Z INFO reconcile installed plugin=id_1 revision=1f0c

Code logs with the standard library (`logger.info("installed", extra={"plugin": name})`); the pairs are the
extras. Only the command sets logging up; no module does so when it is imported.
"""

import json
import logging
import time
from typing import Any, Final, TextIO

from api.settings import LogFormat, LogLevel

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has; whatever else it has was given as an extra."""


def configure(level: LogLevel, form: LogFormat, stream: TextIO) -> None:
    """Send all log lines of the process to `stream`. Replaces what was configured before."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter() if form is LogFormat.JSON else TextFormatter())
    logging.basicConfig(level=level.value.upper(), handlers=[handler], force=True)
    # Whoever wants less in the log still wants to know who changed what.
    logging.getLogger("audit").setLevel(logging.INFO)
    # It reports each end of a watch as an error.
    logging.getLogger("watchdog").setLevel(logging.CRITICAL)


class TextFormatter(logging.Formatter):
    """One line for people: time (UTC), level, component, message, pairs. A traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        pairs = [f"{key}={_quoted(value)}" for key, value in _extras(record).items()]
        head = f"{_timestamp(record)} {record.levelname} {_component(record)} {_one_line(record.getMessage())}"
        line = " ".join([head, *pairs])
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object for machines, with the pairs beside `time`, `level`, `component` and `message`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        entry: dict[str, Any] = _extras(record) | {
            "time": _timestamp(record),
            "level": record.levelname,
            "component": _component(record),
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def _timestamp(record: logging.LogRecord) -> str:
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def _component(record: logging.LogRecord) -> str:
    """The last part of the logger's name: `reconciler.control.reconcile` -> `reconcile`."""
    return record.name.rpartition(".")[2]


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _quoted(value: object) -> str:
    """A value as one word. What a guest or a client wrote must not look like another pair or another line."""
    text = str(value)
    if text and text.isprintable() and not any(mark in text for mark in ' "='):
        return text
    return json.dumps(text, ensure_ascii=False) if text.isprintable() else json.dumps(text)


def _one_line(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)[1:-1]
