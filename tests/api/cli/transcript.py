"""A new user's first minutes, as a transcript with times: `python -m tests.api.cli.transcript [WHEEL]`.

With a wheel, the session begins with its installation in an environment of its own. Every line that is typed was said
by the tool before, in its help or in what an earlier line printed.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[3]
PATIENCE = 30.0
_NOISE = re.compile(r"^(date|server|content-length|x-request-id): .*\n", re.MULTILINE)


class Session:
    """A directory, a shell, and what was typed and answered, each with the seconds since the beginning."""

    def __init__(self, place: Path, environment: dict[str, str]) -> None:
        self.place = place
        self.environment = environment
        self._began = time.monotonic()
        self._lines: list[str] = []

    @property
    def text(self) -> str:
        """The transcript."""
        return "\n".join(self._lines) + "\n"

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self._began

    def type(self, line: str, code: int = 0, patience: float = PATIENCE) -> str:
        """Run a line; what it printed. It must end with that code."""
        began = self.seconds
        done = subprocess.run(
            line, shell=True, check=False, cwd=self.place, env=self.environment, timeout=patience, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.note(line, done.stdout, began)
        assert done.returncode == code, self.text
        return done.stdout

    def note(self, line: str, output: str, began: float) -> None:
        """Write down a line and its output."""
        self._lines += [f"[{began:6.2f} s] $ {line}", _NOISE.sub("", output).rstrip(), ""]

    @contextmanager
    def background(self, line: str, until: str) -> Iterator[Callable[[str], str]]:
        """A line in another terminal, from when it printed `until`. Gives a way to wait for more output."""
        began = self.seconds
        process = subprocess.Popen(
            f"exec {line}", shell=True, cwd=self.place, env=self.environment | {"PYTHONUNBUFFERED": "1"}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert process.stdout is not None
        said: list[str] = []
        news = threading.Condition()

        def read() -> None:
            for text in process.stdout or ():
                with news:
                    said.append(text)
                    news.notify_all()

        def wait(pattern: str) -> str:
            with news:
                assert news.wait_for(lambda: re.search(pattern, "".join(said)), PATIENCE), "".join(said)
                text = "".join(said)
                said.clear()
                return text

        reader = threading.Thread(target=read)
        reader.start()
        try:
            self.note(f"{line}     # in another terminal", wait(until), began)
            yield wait
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=PATIENCE)
            reader.join()
            process.stdout.close()

    def edit(self, file: str, old: str, new: str) -> None:
        """As if somebody saved a file in an editor."""
        path = self.place / file
        text = path.read_text()
        assert old in text
        self._lines += [f"[{self.seconds:6.2f} s] # edit {file}: {old.strip()} -> {new.strip()}", ""]
        path.write_text(text.replace(old, new))


def walk(session: Session) -> None:
    """The first minutes."""
    session.type("wasm-reconciler new c hello")
    with session.background("wasm-reconciler serve --specs specs --module-root .", "admin on http://"):
        with session.background("wasm-reconciler dev hello/hello.c", r"watching .*\n") as wait:
            session.edit("hello/hello.c", "Hello from C!", "Hello, world!")
            began = session.seconds
            session.note("(what `dev` prints)", wait(r"Hello, world!\n.*asks\n"), began)
        session.edit("hello/plugin.yaml", "hello/hello.wasm", "hello/hello.wasm\n  instances: 3")
        session.type("wasm-reconciler plan -f hello/plugin.yaml", code=2)
        session.type("wasm-reconciler apply -f hello/plugin.yaml --wait")
        session.type("wasm-reconciler top -n 1")
        session.edit("hello/plugin.yaml", "hello/hello.wasm", "hello/helo.wasm")
        session.type("wasm-reconciler apply -f hello/plugin.yaml --wait", code=1)
        session.type("wasm-reconciler explain hello", code=1)
        session.type("wasm-reconciler rollback hello --wait")
        session.type("wasm-reconciler invoke hello")


def environment(place: Path, server: str) -> dict[str, str]:
    """A shell whose daemon has ports of its own."""
    variables = {"XDG_STATE_HOME": str(place / ".state"), "WASM_RECONCILER_SERVER": f"http://{server}"}
    ports = {"WASM_RECONCILER_ADMIN": server, "WASM_RECONCILER_LISTEN": "127.0.0.1:0", "COLUMNS": "120"}
    return {**os.environ, **variables, **ports, "PATH": f"{place / 'bin'}:{os.environ['PATH']}"}


def main(wheel: str | None) -> None:
    """Print a transcript of a session in a temporary directory."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary) / "work"
        (place / "specs").mkdir(parents=True)
        (place / "bin").mkdir()
        session = Session(place, environment(place, "127.0.0.1:34998"))
        if wheel is None:
            command(place / "bin")
        else:
            line = f"python3 -m venv ~/venv && ~/venv/bin/pip install -q {wheel}".replace("~", temporary)
            session.type(line, patience=600)
            (place / "bin" / "wasm-reconciler").symlink_to(Path(temporary) / "venv" / "bin" / "wasm-reconciler")
        walk(session)
        print(session.text.replace(temporary, "~"))
        print(f"[{session.seconds:6.2f} s] done")


def command(folder: Path) -> None:
    """Put `wasm-reconciler` of this source tree there."""
    binary = folder / "wasm-reconciler"
    binary.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m api "$@"\n')
    binary.chmod(0o755)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
