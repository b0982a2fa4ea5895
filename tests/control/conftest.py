"""The control side over real files, a real engine and real pools; only HTTP is missing."""

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from reconciler.control.manager import Manager
from reconciler.control.resolve import Resolver
from reconciler.control.rollouts import Rollouts
from reconciler.control.status import PluginStatus
from reconciler.control.workqueue import WorkQueue
from reconciler.core.conditions import ConditionState
from reconciler.core.states import Condition
from reconciler.host.content import MAX_CONTENT_BYTES, ContentStore
from reconciler.host.files import FileDigests
from reconciler.host.host import PoolHost
from reconciler.host.modules import ModuleCache
from reconciler.host.supply import ModuleSupply
from reconciler.state.memory import MemoryStore
from reconciler.wasm.egress import PinnedHttpClient, SystemResolver
from reconciler.wasm.engine import Engine
from reconciler.wasm.kind import Request
from reconciler.wasm.kinds import standard_kinds
from reconciler.wasm.proxy_wasm.shared import SharedSpaces
from specs.directory import DirectorySource
from specs.identity import IdentityStore
from specs.model import API_VERSION
from specs.store import DesiredStore
from specs.sync import SyncLoop
from specs.watch import Watcher


class Node:
    """One node: a specs directory, a module root, a state directory, and what runs."""

    def __init__(self, root: Path, content_bytes: int = MAX_CONTENT_BYTES) -> None:
        """`content_bytes` is how much of modules the state directory keeps."""
        self._content_bytes = content_bytes
        self.specs, self.modules, self.state = root / "specs", root / "modules", root / "state"
        for place in (self.specs, self.modules, self.state):
            place.mkdir(exist_ok=True)
        self._stack = ExitStack()

    def start(self) -> None:
        stack = ExitStack()
        engine = Engine()
        stack.callback(engine.close)
        identities = IdentityStore(self.state / "identities.sqlite3")
        stack.callback(identities.close)
        rollouts = Rollouts(self.state / "rollouts.sqlite3")
        stack.callback(rollouts.close)
        self.store = DesiredStore([DirectorySource(self.specs)], identities)
        queue = WorkQueue(time.monotonic)
        client = PinnedHttpClient(SystemResolver(), ssl.create_default_context())
        self.spaces = SharedSpaces()
        contents = ContentStore(self.state, self._content_bytes, rollouts.needed)
        self.host = PoolHost(
            modules=ModuleCache(engine, self.state, ModuleSupply(contents=contents)),
            choose_kind=standard_kinds(engine, client, self.spaces).choose,
            find_store=lambda _name: MemoryStore(),
            clock=time.monotonic,
            changed=lambda plugin: queue.add((plugin,)),
        )
        resolver = Resolver(self.modules, FileDigests())
        self.manager = Manager(store=self.store, host=self.host, resolver=resolver, rollouts=rollouts, queue=queue)
        self.sync = SyncLoop(self.store)
        stack.enter_context(watcher := Watcher(self.sync.poke))
        watcher.watch(self.specs)
        stack.callback(self.sync.stop)
        self.sync.start()
        assert self.sync.flush(10)
        modules = stack.enter_context(Watcher(lambda _path, _files: self.manager.loop.resync_soon()))
        stack.callback(self.manager.stop)
        self.manager.start(modules)
        self._stack = stack

    def stop(self) -> None:
        self._stack.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def module(self, name: str, wasm: bytes) -> None:
        """Put a module in place in one step."""
        part = self.modules / f".{name}"
        part.write_bytes(wasm)
        part.rename(self.modules / name)

    def want(self, name: str, module: str, **spec: Any) -> None:
        """Write a spec file in one step."""
        body = {"apiVersion": API_VERSION, "kind": "WasmPlugin", "metadata": {"name": name}}
        body["spec"] = {"module": {"path": module}} | spec
        part = self.specs / f".{name}"
        part.write_text(json.dumps(body))
        part.rename(self.specs / f"{name}.json")

    def drop(self, name: str) -> None:
        (self.specs / f"{name}.json").unlink()

    def ask(self, route: str) -> str:
        return self.host.invoke(Request(route)).body.decode()

    def status(self, name: str) -> PluginStatus | None:
        return self.manager.board.status(name)

    def condition(self, name: str, kind: Condition) -> ConditionState | None:
        status = self.status(name)
        return None if status is None else status.condition(kind)

    def ready(self, name: str, generation: int = 1) -> bool:
        status = self.status(name)
        ready = self.condition(name, Condition.READY)
        return status is not None and ready is not None and status.generation >= generation and ready.status == "True"

    def events(self, name: str) -> list[str]:
        return [event["reason"] for event in self.manager.events.list() if event["name"] == name]

    def until(self, condition: Callable[[], object], seconds: float = 15.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come about"
            time.sleep(0.002)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node(tmp_path)
    made.start()
    yield made
    made.stop()
