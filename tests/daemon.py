"""A real daemon process over temporary directories, for tests that speak to it as its users do; it can be restarted."""

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from tests.guest_wat import answering

ROOT = Path(__file__).resolve().parent.parent
START_TIMEOUT = 30.0


class RunningDaemon:
    """`python -m api serve` over spec files in `specs` and modules in `modules`, on ports of the system's choice."""

    def __init__(self, place: Path, *flags: str, prefix: tuple[str, ...] = ()) -> None:
        """`prefix` is a command that runs the daemon in other circumstances, and becomes it."""
        self.prefix = prefix
        self.specs, self.modules, self.state = place / "specs", place / "modules", place / "state"
        for folder in (self.specs, self.modules):
            folder.mkdir(parents=True, exist_ok=True)
        self._flags = flags
        self._ports = {"--listen": "127.0.0.1:0", "--admin": "127.0.0.1:0"}
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._said: list[str] = []
        self._news = threading.Condition()

    @property
    def listen(self) -> str:
        """The data plane's HOST:PORT."""
        return self._ports["--listen"]

    @property
    def admin(self) -> str:
        """The admin port's HOST:PORT."""
        return self._ports["--admin"]

    @property
    def url(self) -> str:
        return f"http://{self.admin}"

    @property
    def log(self) -> str:
        return "".join(self._said)

    def start(self) -> None:
        """Start, and return once both ports are open. A restart takes the same ports."""
        where = {**self._ports, "--specs": self.specs, "--module-root": self.modules, "--state": self.state}
        command = [*self.prefix, sys.executable, "-m", "api", "serve", *self._flags]
        for flag, value in where.items():
            command += [flag, str(value)]
        self._said = []
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
        )
        assert self._process.stderr is not None
        self._reader = threading.Thread(target=self._read, args=(self._process.stderr,))
        self._reader.start()
        with self._news:
            opened = self._news.wait_for(lambda: len(self._announced()) == 2 or not self._reading, START_TIMEOUT)
        assert opened, self.log
        assert len(self._announced()) == 2, self.log
        for line in self._announced():
            self._ports["--listen" if "data plane" in line else "--admin"] = line.rpartition("//")[2]

    def kill(self) -> None:
        """End it with SIGKILL: it gets no chance to do anything about it."""
        process, self._process = self._process, None
        assert process is not None
        self._end(process)

    def stop(self) -> None:
        """End it with SIGTERM, which must make it exit with 0."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0, self.log
        finally:
            self._end(process)

    def _end(self, process: subprocess.Popen[str]) -> None:
        process.kill()
        process.wait()
        assert self._reader is not None
        self._reader.join()
        assert process.stderr is not None
        process.stderr.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def module(self, name: str, text: str = "hello") -> str:
        """Put a guest that answers `text` into the module root; its path."""
        (self.modules / name).write_bytes(answering(text))
        return name

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """One request to the admin port: status, headers (names in lower case), body."""
        connection = http.client.HTTPConnection(self.admin, timeout=30)
        try:
            data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, headers or {})
            answer = connection.getresponse()
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def serve(self, route: str) -> bytes:
        """What one request to the data plane is answered."""
        connection = http.client.HTTPConnection(self.listen, timeout=30)
        try:
            connection.request("GET", "/", headers={"id": route})
            return connection.getresponse().read()
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        return json.loads(self.ask("GET", path)[2])

    def _announced(self) -> list[str]:
        return re.findall(r"(?:data plane|admin) on https?://[^\s/]+", self.log)

    @property
    def _reading(self) -> bool:
        return self._reader is not None and self._reader.is_alive() and not self._closed

    _closed = False

    def _read(self, stream: IO[str]) -> None:
        self._closed = False
        for line in stream:
            with self._news:
                self._said.append(line)
                self._news.notify_all()
        with self._news:
            self._closed = True
            self._news.notify_all()


@contextmanager
def running(place: Path, *flags: str) -> Iterator[RunningDaemon]:
    """A daemon that runs, with a module `hello.wat`."""
    daemon = RunningDaemon(place, *flags)
    daemon.module("hello.wat")
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


def until(condition: Any, what: str = "it", timeout: float = 20.0) -> Any:
    """The condition's value once it is true; looks again every few milliseconds."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout:g} s"
        time.sleep(0.01)
    return value
