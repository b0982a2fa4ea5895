"""The installed command as a process, for tests that use it as its users do.

Belongs here: starting it, finding its ports, asking over HTTP, stopping it. Does not: what is asked.
"""

import http.client
import json
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

START_TIMEOUT = 20.0
"""Seconds until both ports must be open; far more than it takes."""

PLUGINS = "/apis/wasm-reconciler.dev/v1alpha1/wasmplugins"


@dataclass(frozen=True)
class Answer:
    """A response; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(
    address: str, path: str, *, method: str = "GET", body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """One request on a connection of its own."""
    connection = http.client.HTTPConnection(address, timeout=10)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    finally:
        connection.close()


@dataclass(frozen=True)
class Daemon:
    """A running daemon's two ports, as HOST:PORT."""

    listen: str
    admin: str

    def call(self, route: str, path: str = "/", **request: Any) -> Answer:
        """Ask a plugin by the path /invoke/ROUTE."""
        return ask(self.listen, f"/invoke/{route}{path}", **request)

    def call_by_header(self, route: str, path: str = "/", **request: Any) -> Answer:
        """Ask a plugin by the header `id`, as Layotto's users do."""
        return ask(self.listen, path, headers={"id": route}, **request)

    def plugins(self) -> dict[str, Any]:
        """Every plugin's object, by name."""
        items = json.loads(ask(self.admin, PLUGINS).body)["items"]
        return {item["metadata"]["name"]: item for item in items}

    def wait_until_ready(self, names: set[str]) -> dict[str, Any]:
        """Every plugin's object once those plugins are Ready. AssertionError with their conditions if they are not."""
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            plugins = self.plugins()
            if all(name in plugins and is_ready(plugins[name]) for name in names):
                return plugins
            waiting = {name: plugins.get(name, {}).get("status") for name in names}
            assert time.monotonic() < deadline, waiting


def is_ready(plugin: Mapping[str, Any]) -> bool:
    """Whether the object's Ready condition is true."""
    conditions = plugin.get("status", {}).get("conditions", [])
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


@contextmanager
def serve(state: Path, *flags: str | Path) -> Iterator[Daemon]:
    """`serve` with ports of the system's choice; stopped with SIGTERM, which must end it with 0."""
    command = [sys.executable, "-m", "api", "serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]
    process = subprocess.Popen(
        [*command, "--state", str(state), *map(str, flags)], stderr=subprocess.PIPE, text=True, errors="replace"
    )
    assert process.stderr is not None
    lines: queue.Queue[str | None] = queue.Queue()
    reader = threading.Thread(target=_read, args=(process.stderr, lines))
    reader.start()
    try:
        yield _listening(lines)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stderr.close()


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    """Keep the pipe empty, so that the daemon never waits for it; None says that it was closed."""
    for line in stream:
        lines.put(line)
    lines.put(None)


def _listening(lines: queue.Queue[str | None]) -> Daemon:
    said: list[str] = []
    found: dict[str, str] = {}
    deadline = time.monotonic() + START_TIMEOUT
    while found.keys() != {"data plane", "admin"}:
        line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        assert line is not None, "".join(said)
        said.append(line)
        if announced := re.search(r"(data plane|admin) on http://([^\s/]+)", line):
            found[announced[1]] = announced[2]
    return Daemon(listen=found["data plane"], admin=found["admin"])
