"""What the endpoints see: real files, store and writer below; status in memory; and a real server to ask over HTTP."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from api.admin import AdminServer, create_app
from api.ports import AdminServices, condition
from api.settings import Address
from api.streaming import Face
from specs.directory import DirectorySource
from specs.edit import new_file
from specs.identity import IdentityStore
from specs.model import Metadata, Module, Spec, WasmPlugin
from specs.store import Desired, DesiredStore
from specs.sync import SyncLoop
from specs.writer import DesiredWriter


def plugin(name: str, route: str | None = None, instances: int = 1) -> WasmPlugin:
    spec = Spec(route=route, instances=instances, module=Module(path="a.wasm"))
    return WasmPlugin(metadata=Metadata(name=name), spec=spec)


def says(kind: str, status: str, reason: str = "Valid", message: str = "fine") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


READY = {"conditions": [says("Available", "True"), says("Ready", "True", "ReconciliationSucceeded", "it serves")]}


class Files:
    """Desired state for real: a directory of spec files, the store that reads it, the writer that edits it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._source = DirectorySource(directory)
        self.store = DesiredStore([self._source], IdentityStore(None))
        self.sync = SyncLoop(self.store)
        self.writer = DesiredWriter(self.store, self.sync, [self._source])

    def add(self, added: WasmPlugin) -> None:
        """As if somebody had put a file there."""
        file = f"{added.name}.yaml"
        (self.directory / file).write_text(new_file(added))
        self._source.trust(file)
        self.sync.flush(10)
        assert self.store.get(added.name) is not None

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self.store.list()]


class Statuses:
    """StatusReader: statuses appear when a test sets them."""

    def __init__(self) -> None:
        self._statuses: dict[str, Mapping[str, Any]] = {}
        self._changed = threading.Condition()
        self.waiting = 0

    def set(self, name: str, status: Mapping[str, Any], generation: int = 1) -> None:
        with self._changed:
            self._statuses[name] = {"observedGeneration": generation, **status}
            self._changed.notify_all()

    def remove(self, name: str) -> None:
        with self._changed:
            self._statuses.pop(name, None)
            self._changed.notify_all()

    def until_waiting(self, number: int) -> None:
        """Return once that many requests wait."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.waiting == number, 10), f"{self.waiting} requests wait"

    def get(self, name: str) -> Mapping[str, Any] | None:
        return self._statuses.get(name)

    def list(self) -> Mapping[str, Mapping[str, Any]]:
        return dict(self._statuses)

    def wait(self, desired: Desired, timeout: float) -> Mapping[str, Any] | None:
        def settled() -> bool:
            status = self._statuses.get(desired.name, {})
            ready, progressing = condition(status, "Ready"), condition(status, "Progressing")
            if ready is None or status["observedGeneration"] < desired.generation:
                return False
            return ready["status"] == "True" or progressing is None or progressing["status"] == "False"

        return self.get(desired.name) if self._wait(settled, timeout) else None

    def wait_gone(self, name: str, timeout: float) -> bool:
        return self._wait(lambda: name not in self._statuses, timeout)

    def _wait(self, reached: Callable[[], bool], timeout: float) -> bool:
        with self._changed:
            self.waiting += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(reached, timeout)
            finally:
                self.waiting -= 1
                self._changed.notify_all()


@dataclass
class MemoryEvents:
    events: list[Mapping[str, Any]] = field(default_factory=list)

    def list(self) -> Sequence[Mapping[str, Any]]:
        return self.events


@dataclass
class MemoryReadiness:
    started: bool = True
    draining: bool = False


@dataclass
class World:
    files: Files
    status: Statuses = field(default_factory=Statuses)
    events: MemoryEvents = field(default_factory=MemoryEvents)
    readiness: MemoryReadiness = field(default_factory=MemoryReadiness)

    def entry(self, name: str) -> Desired:
        found = self.files.store.get(name)
        assert found is not None, f"{name} is not desired"
        return found

    def services(self) -> AdminServices:
        return AdminServices(self.files.store, self.files.writer, self.status, self.events, self.readiness)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        assert self.headers["content-type"].startswith("application/json"), self
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.json()["error"])


class Client:
    """Asks an admin server over HTTP; a connection for each request."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, method: str, path: str, body: bytes | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            headers = {key.lower(): value for key, value in response.getheaders()}
            return Answer(response.status, headers, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.ask("GET", path)

    def post(self, path: str, body: object) -> Answer:
        return self.ask("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode())


@contextmanager
def serving(services: AdminServices, *faces: Face) -> Iterator[Client]:
    """A real admin server on a free port. `faces` are further endpoints."""
    server = AdminServer(create_app(services, "1.2.3", faces), Address("127.0.0.1", 0))
    server.start()
    try:
        yield Client(server.port)
    finally:
        server.stop()
