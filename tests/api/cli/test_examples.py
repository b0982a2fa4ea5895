"""Every command has an example in its help, and each of them runs as it stands."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from api.cli.frame import Command
from api.cli.main import main
from tests.api.cli.conftest import ROOT, Desk, spec

CHANGES = {"plan": (2,), "dev": (0,), "explain": (0, 1), "doctor": (0, 1)}
"""Exit codes that examples may end with, where that is not only 0."""


def commands() -> Iterator[tuple[str, click.Command]]:
    """All public commands, those of groups too."""
    context = click.Context(main)
    for name in main.list_commands(context):
        found = main.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from ((f"{name} {inner}", command) for inner, command in found.commands.items())
        else:
            yield name, found


ALL = dict(commands())
EXAMPLES = [(name, line) for name, command in ALL.items() if isinstance(command, Command) for line in command.examples]


@pytest.mark.parametrize("name", ALL)
def test_the_help_has_an_example_of_that_command(name: str) -> None:
    command = ALL[name]
    assert isinstance(command, Command)
    assert command.examples
    assert all(f"wasm-reconciler {name}" in line for line in command.examples)
    text = command.get_help(click.Context(command, info_name=name, terminal_width=200))
    assert all(f"$ {line}" in text for line in command.examples)


@pytest.fixture
def shell(desk: Desk, tmp_path: Path) -> dict[str, str]:
    """The environment of a shell in which `wasm-reconciler` is the command, and two sets of files lie about."""
    binary = tmp_path / "bin" / "wasm-reconciler"
    binary.parent.mkdir()
    binary.write_text(f'#!/bin/sh\nexec {sys.executable} -m api "$@"\n')
    binary.chmod(0o755)
    for folder, instances in (("old", 1), ("new", 2)):
        (desk.place / folder).mkdir(exist_ok=True)
        (desk.place / folder / "a.yaml").write_text(spec("a", f"instances: {instances}"))
    desk.apply((desk.place / "hello" / "plugin.yaml").read_text(), "--wait")
    variables = {
        "PATH": f"{binary.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "state"),
        "WASM_RECONCILER_SERVER": f"http://{desk.daemon.admin}",
        "WASM_RECONCILER_ADMIN": "127.0.0.1:0",
        "WASM_RECONCILER_LISTEN": "127.0.0.1:0",
    }
    (tmp_path / ".local" / "share" / "bash-completion" / "completions").mkdir(parents=True)
    return {**os.environ, **variables}


def prepare(name: str, desk: Desk) -> None:
    """What an example needs to be there."""
    if name == "plan":
        desk.apply(spec("hello", "instances: 2"), "--wait")
    elif name == "rollback":
        desk.apply(spec("hello", "config: {a: b}"), "--wait")


@pytest.mark.parametrize(("name", "line"), [pair for pair in EXAMPLES if pair[0] not in ("serve", "state get")])
def test_an_example_runs_as_it_stands(name: str, line: str, desk: Desk, shell: dict[str, str], tmp_path: Path) -> None:
    prepare(name, desk)
    place = tmp_path if name == "new" else desk.place
    done = subprocess.run(
        line, shell=True, check=False, capture_output=True, text=True, env=shell, cwd=place, timeout=50
    )
    assert done.returncode in CHANGES.get(name, (0,)), done.stdout + done.stderr


def test_the_example_of_state_get_reads_what_that_of_set_wrote(desk: Desk, shell: dict[str, str]) -> None:
    lines = [line for name, line in EXAMPLES if name in ("state set", "state get")]
    done = subprocess.run(
        " && ".join(reversed(lines)), shell=True, check=True, capture_output=True, env=shell, timeout=50
    )
    assert done.stdout == b"100\n"


def test_the_example_of_serve_serves_until_it_is_told_to_stop(desk: Desk, shell: dict[str, str]) -> None:
    (line,) = [line for name, line in EXAMPLES if name == "serve"]
    process = subprocess.Popen(f"exec {line}", shell=True, stderr=subprocess.PIPE, text=True, env=shell)
    assert process.stderr is not None
    said = []
    for text in process.stderr:
        said.append(text)
        if re.search(r"admin on http://", text):
            break
    process.send_signal(signal.SIGTERM)
    said.append(process.stderr.read())
    process.stderr.close()
    assert process.wait(timeout=20) == 0, "".join(said)
