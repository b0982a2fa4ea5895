"""A new user's first minutes: every step says what the next one needs."""

import shutil
import socket
from pathlib import Path

import pytest

from tests.api.cli.transcript import Session, command, environment, walk


def test_the_first_minutes_need_nothing_that_the_tool_did_not_say(tmp_path: Path) -> None:
    if not shutil.which("clang-16"):
        pytest.skip("clang-16 is not installed")
    for folder in ("specs", "bin"):
        (tmp_path / folder).mkdir()
    command(tmp_path / "bin")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = f"127.0.0.1:{listener.getsockname()[1]}"
    session = Session(tmp_path, environment(tmp_path, server))
    walk(session)
    said = session.text
    for line in ("dev hello/hello.c", "serve --specs specs --module-root .", "rollback hello"):
        typed = said.index(f"$ wasm-reconciler {line}")
        assert f"wasm-reconciler {line}" in said[:typed], f"{line} was typed before it was said"
    assert said.index("Hello, world!") < said.index("spec.instances: 1 -> 3")
    assert "there is no file" in said
    assert said.rstrip().endswith("somebody asks")
