"""Runs the blocks of a Markdown page, in order, in one directory: what a reader would type, and what must come of it.

- A `console` block is run: each line after `$ ` is a command, and what follows, if anything, is what it prints, where
  `...` stands for any text, and on a line of its own for any lines. A command ends with 0, or says `# exits with N`.
- `title="in another terminal"`: it goes on in the background until the page ends, which it must end with 0 or 130 at
  Ctrl-C; the page goes on when it has printed what is shown. A `text` block with `title="the other terminal"` waits
  for what it prints next.
- `title="needs ..."`: not run, for that reason.
- Any other block with a `title` that names a file is written to that file.

The ports 2045 and 34998 on a page are those of the daemon that the page starts.
"""

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

PATIENCE: Final = 40.0
BACKGROUND: Final = "in another terminal"
MORE: Final = "the other terminal"
RUN: Final = "console"
SHELLS: Final = ("sh", "bash", "shell", "shell-session")

_FENCE: Final = re.compile(r'^ *```(\w+)(?: title="([^"]*)")?\n(.*?)^ *```$', re.MULTILINE | re.DOTALL)
_EXITS: Final = re.compile(r"# exits with (\d+)$")
_PORTS: Final = {"data plane": "2045", "admin": "34998"}


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    line: int
    language: str
    title: str
    text: str

    @property
    def left_out(self) -> bool:
        """Whether it is not run, for the reason that its title names."""
        return self.language == RUN and self.title.startswith("needs ")

    def commands(self) -> Iterator[tuple[str, str]]:
        """Each command, and what it must print."""
        for part in re.split(r"^\$ ", self.text, flags=re.MULTILINE)[1:]:
            found = re.match(r"((?:[^\n]*\\\n)*[^\n]*)\n?(.*)", part, re.DOTALL)
            assert found is not None
            yield found[1], found[2]


def blocks(page: Path) -> list[Block]:
    """The blocks of a page that have a language."""
    text = page.read_text()
    return [
        Block(text.count("\n", 0, found.start()) + 1, found[1], found[2] or "", found[3])
        for found in _FENCE.finditer(text)
    ]


@dataclass
class Session:
    """A reader at work in a directory. `note` is told what was typed, what came of it, and when it began."""

    place: Path
    environment: dict[str, str]
    note: Callable[[str, str, float], None] = lambda typed, printed, began: None
    left_out: bool = False
    said: str = ""
    ports: dict[str, str] = field(default_factory=dict)
    terminals: list["Terminal"] = field(default_factory=list)

    def follow(self, page: Path) -> None:
        """Do all that the page says. AssertionError where something else comes of it."""
        with ExitStack() as stack:
            for block in blocks(page):
                where = f"{page.name}:{block.line}"
                if block.language == RUN and block.title == BACKGROUND:
                    ((typed, expected),) = block.commands()
                    self.terminals.append(stack.enter_context(self._terminal(typed, expected, where)))
                elif block.language == RUN and (self.left_out or not block.left_out):
                    for typed, expected in block.commands():
                        self._type(typed, expected, where)
                elif block.title == MORE:
                    began = time.monotonic()
                    printed = self.terminals[-1].wait_for(block.text, where, self._usual)
                    self._heard(f"# {MORE}", printed, began)
                elif block.language != RUN and block.title:
                    file = self.place / block.title
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(block.text)

    def _type(self, typed: str, expected: str, where: str) -> None:
        began = time.monotonic()
        done = subprocess.run(
            ["bash", "-c", self._here(typed)], check=False, cwd=self.place, env=self.environment, timeout=PATIENCE * 3,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        printed = self._heard(typed, done.stdout, began)
        code = _EXITS.search(typed)
        assert done.returncode == (int(code[1]) if code else 0), f"{where}: {typed}\n{printed}"
        if expected:
            assert fits(expected, printed), f"{where}: {typed}\nexpected:\n{expected}\nprinted:\n{printed}"

    @contextmanager
    def _terminal(self, typed: str, expected: str, where: str) -> Iterator["Terminal"]:
        began = time.monotonic()
        terminal = Terminal(self._here(typed), self.place, self.environment)
        try:
            printed = terminal.wait_for(expected, where, self._announced)
            if "34998" in self.ports:
                scheme = "https" if "admin on https" in printed else "http"
                self.environment["WASM_RECONCILER_SERVER"] = f"{scheme}://127.0.0.1:{self.ports['34998']}"
            self._heard(f"{typed}     # {BACKGROUND}", printed, began)
            yield terminal
        finally:
            code, printed = terminal.end()
        assert code in (0, 130), f"{where}: {typed} ended with {code}\n{printed}"

    def _announced(self, printed: str) -> str:
        """What a daemon printed, with the usual ports; which ones it has is remembered."""
        for name, port in re.findall(r"(data plane|admin) on https?://[^\s/]+:(\d+)\n", printed):
            self.ports[_PORTS[name]] = port
        return self._usual(printed)

    def _usual(self, printed: str) -> str:
        for written, port in self.ports.items():
            printed = re.sub(rf"\b{port}\b", written, printed)
        return printed.replace(f"{self.place}/", "~/").replace(str(self.place), "~")

    def _here(self, typed: str) -> str:
        """What is typed, with the ports that the daemon has here."""
        for written, port in self.ports.items():
            typed = re.sub(rf"\b{written}\b", port, typed)
        return typed

    def _heard(self, typed: str, printed: str, began: float) -> str:
        """What was printed, as a reader with the usual ports sees it."""
        printed = self._usual(printed)
        self.note(typed, printed, began)
        self.said += f"$ {typed}\n{printed}\n"
        return printed


class Terminal:
    """A command that goes on, and what it prints."""

    def __init__(self, typed: str, place: Path, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {typed}"], cwd=place, env=environment | {"PYTHONUNBUFFERED": "1"}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        self._printed = ""
        self._ended = False
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def wait_for(self, expected: str, where: str, usual: Callable[[str], str]) -> str:
        """What it printed since the last time, once that fits as `usual` shows it."""
        with self._news:
            self._news.wait_for(lambda: fits(expected, usual(self._printed)) or self._ended, PATIENCE / 2)
            printed = usual(self._printed)
            assert fits(expected, printed), f"{where}: expected:\n{expected}\nprinted:\n{printed}"
            self._printed = ""
            return printed

    def end(self) -> tuple[int, str]:
        """Ctrl-C; its exit code, and what it printed last."""
        os.killpg(self._process.pid, signal.SIGINT)  # as a terminal does
        try:
            code = self._process.wait(timeout=PATIENCE / 2)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._reader.join()
            assert self._process.stdout is not None
            self._process.stdout.close()
        return 128 - code if code < 0 else code, self._printed

    def _read(self) -> None:
        for line in self._process.stdout or ():
            with self._news:
                self._printed += line
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


def fits(expected: str, printed: str) -> bool:
    """Whether a text is the expected one; `...` in it stands for anything."""
    pattern = ""
    for line in expected.rstrip().splitlines():
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += r".*?".join(re.escape(part) for part in line.rstrip().split("...")) + r"[ \t]*\n"
    text = "".join(f"{line.rstrip()}\n" for line in printed.rstrip().splitlines())
    return re.fullmatch(pattern, text) is not None
