"""Every write leaves a line: who, from where, what, to which plugin, and what became of it."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.logs import configure
from api.settings import LogFormat, LogLevel
from tests.access.parts import PLUGINS_PATH, Port, admin_port
from tests.api.world import World, plugin

READER, WRITER = "reader-token-0123456789", "writer-token-0123456789"


@pytest.fixture
def port(world: World, tmp_path: Path) -> Iterator[Port]:
    tokens = tmp_path / "tokens.yaml"
    tokens.write_text(
        f"tokens: [{{name: ann, role: read, token: {READER}}}, {{name: bob, role: write, token: {WRITER}}}]"
    )
    world.files.add(plugin("a"))
    with admin_port(world, tmp_path, tokens=tokens) as running:
        yield running


def lines(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    return [record for record in caplog.records if record.name == "audit"]


def test_a_write_is_one_line(port: Port, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "audit")
    answer = port.ask(
        "POST", "/wasm/uninstall", b'{"name": "a"}', authorization=f"Bearer {WRITER}", x_request_id="abc-1"
    )
    [line] = lines(caplog)
    assert (line.who, line.via, line.verb, line.path, line.object, line.status, line.request_id) == (
        "bob", "token", "create", "/wasm/uninstall", "a", 202, "abc-1",
    )  # fmt: skip
    assert line.remote.startswith("127.0.0.1:")
    assert answer.headers["x-request-id"] == "abc-1"


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "expected"),
    [
        ("POST", "/wasm/uninstall", b'{"name": "a"}', {}, ("anonymous", "", 401)),
        ("DELETE", f"{PLUGINS_PATH}/a", b"", {"authorization": f"Bearer {READER}"}, ("ann", "", 403)),
        ("DELETE", f"{PLUGINS_PATH}/a", b"", {"authorization": f"Bearer {WRITER}"}, ("bob", "a", 200)),
        ("POST", "/wasm/uninstall", b'{"name": "b"}', {"authorization": f"Bearer {WRITER}"}, ("bob", "b", 404)),
        ("POST", "/wasm/uninstall", b"", {"authorization": f"Bearer {WRITER}"}, ("bob", "", 400)),
        ("POST", "/wasm/uninstall", b'{"name": "a"}', {"origin": "http://evil.example"}, ("anonymous", "", 403)),
        ("POST", "/wasm/uninstall", b'{"name": "a"}', {"host": "evil.example"}, ("anonymous", "", 403)),
        ("DELETE", "/nowhere", b"", {"authorization": f"Bearer {WRITER}"}, ("bob", "", 404)),
    ],
)
def test_a_refused_write_is_a_line_too(
    port: Port,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    body: bytes,
    headers: dict[str, str],
    expected: tuple[str, str, int],
) -> None:
    caplog.set_level(logging.INFO, "audit")
    port.ask(method, path, body, **headers)
    [line] = lines(caplog)
    assert (line.who, line.object, line.status) == expected


def test_reads_leave_no_line(port: Port, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "audit")
    port.ask("GET", "/sources", authorization=f"Bearer {READER}")
    port.ask("GET", "/sources")
    assert lines(caplog) == []


def test_a_request_id_that_could_forge_a_line_is_replaced(port: Port) -> None:
    answer = port.ask("GET", "/livez", x_request_id="a b=c")
    assert len(answer.headers["x-request-id"]) == 32


def test_what_a_client_writes_stays_one_value_of_one_line(port: Port) -> None:
    text = io.StringIO()
    before = logging.getLogger().handlers[:], logging.getLogger().level
    configure(LogLevel.ERROR, LogFormat.TEXT, text)
    try:
        port.ask("POST", "/wasm/x%0aINFO%20audit%20write%20who=root", authorization=f"Bearer {WRITER}")
    finally:
        logging.getLogger().handlers[:], logging.getLogger().level = before
        for name in ("audit", "watchdog"):
            logging.getLogger(name).setLevel(logging.NOTSET)
    [line] = text.getvalue().splitlines()
    assert " who=bob " in line
    assert " who=root" not in line.replace(' audit write who=root"', "")
