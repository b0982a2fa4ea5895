"""Where a reader of the docs works: a copy of what the blocks need of the tree, with the command installed in .venv."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests import parts
from tests.parts import ROOT


def prepare(place: Path, text: str) -> dict[str, str]:
    """Make the directory ready for a page with that text; the environment of a shell in it.

    The test that asks is skipped where a program that the page uses is not there.
    """
    place.mkdir(parents=True, exist_ok=True)
    shutil.copytree(ROOT / "examples", place / "examples")
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, place / name)
    folder = place / ".venv" / "bin"
    folder.mkdir(parents=True)
    command = folder / "wasm-reconciler"
    program = "from api.cli.main import main; main(prog_name='wasm-reconciler')"
    command.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -c "{program}" "$@"\n')
    command.chmod(0o755)
    (place / ".venv" / "run").touch()  # `make run` need not install it
    if "$ kubectl" in text:
        (folder / "kubectl").symlink_to(parts.kubectl())
    for name, package in (("curl", "curl"), ("clang-16", "clang-16")):
        if f"$ {name}" in text or f"# {name}" in text:
            parts.program(name, package)
    return environment(place)


def whole_tree(place: Path) -> dict[str, str]:
    """A clone, as a new user has it: nothing is installed."""
    place.mkdir(parents=True)
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.split(b"\0")
    for name in filter(None, files):
        target = place / os.fsdecode(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / os.fsdecode(name), target)
    return environment(place)


def environment(place: Path) -> dict[str, str]:
    """A shell whose daemon has ports of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WASM_RECONCILER_")}
    return kept | {
        "PATH": f"{place / '.venv' / 'bin'}:{os.environ['PATH']}",
        "HOME": str(place),
        "XDG_STATE_HOME": str(place / ".state"),
        "COLUMNS": "120",
        "WASM_RECONCILER_ADMIN": "127.0.0.1:0",
        "WASM_RECONCILER_LISTEN": "127.0.0.1:0",
        "ADMIN": "127.0.0.1:0",
        "LISTEN": "127.0.0.1:0",
    }
