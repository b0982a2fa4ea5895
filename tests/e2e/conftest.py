"""A real daemon over files of the test's own."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.examples.daemon import Daemon, ask
from tests.guest_wat import answering


class Place:
    """A specs directory and modules that answer with their own names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.specs, self.modules, self.state = root / "specs", root / "modules", root / "state"
        self.specs.mkdir()
        self.modules.mkdir()
        for text in ("one", "two", "three"):
            (self.modules / f"{text}.wat").write_bytes(answering(text))

    @property
    def flags(self) -> tuple[str | Path, ...]:
        return ("--specs", self.specs, "--module-root", self.modules)

    @staticmethod
    def spec(name: str, module: str, instances: int = 2) -> str:
        return (
            "# a comment that people wrote\n"
            "apiVersion: wasm-reconciler.dev/v1alpha1\nkind: WasmPlugin\n"
            f"metadata: {{name: {name}}}\nspec:\n  instances: {instances}\n  module: {{path: {module}.wat}}\n"
        )


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    """Wait for what the daemon does by itself."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.002)


def answers(daemon: Daemon, route: str, text: str) -> bool:
    """Whether the route answers that now."""
    answer = daemon.call(route)
    return answer.status == 200 and answer.body == text.encode()


def post(daemon: Daemon, path: str, body: Any) -> tuple[int, dict[str, Any]]:
    """One call of the admin port, as curl -d makes it."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = ask(daemon.admin, path, method="POST", body=data)
    return answer.status, json.loads(answer.body or b"{}")


@contextmanager
def load(daemon: Daemon, route: str, threads: int = 2) -> Iterator[Counter[tuple[int, bytes]]]:
    """Requests that never stop, on connections that stay open; how often each answer came."""
    seen: Counter[tuple[int, bytes]] = Counter()
    stop = threading.Event()

    def client() -> None:
        connection = http.client.HTTPConnection(daemon.listen, timeout=10)
        while not stop.is_set():
            connection.request("GET", "/", headers={"id": route})
            response = connection.getresponse()
            seen[response.status, response.read()] += 1
        connection.close()

    running = [threading.Thread(target=client) for _ in range(threads)]
    for thread in running:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in running:
            thread.join()
