"""Real directories, real threads: what the tests of desired state stand on."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from specs.config_file import ConfigFileSource
from specs.directory import DirectorySource
from specs.identity import IdentityStore
from specs.source import Source
from specs.store import DesiredStore
from specs.sync import SyncLoop
from specs.watch import Watcher
from specs.writer import DesiredWriter

DEADLINE = 20.0


def until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Wait for a condition, not for a time."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, f"{what} did not come true within {DEADLINE:g}s"
        time.sleep(0.002)


def document(name: str, instances: int = 1, path: str = "a.wasm") -> str:
    return (
        "apiVersion: wasm-reconciler.dev/v1alpha1\n"
        "kind: WasmPlugin\n"
        f"metadata: {{name: {name}}}\n"
        f"spec: {{instances: {instances}, module: {{path: {path}}}}}\n"
    )


@dataclass
class Clock:
    """Monotonic seconds that pass when told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_by(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Node:
    """A store with everything around it, running."""

    store: DesiredStore
    sync: SyncLoop
    writer: DesiredWriter
    watcher: Watcher
    changes: list[frozenset[str]] = field(default_factory=list)

    def instances(self, name: str) -> int | None:
        desired = self.store.get(name)
        return None if desired is None else desired.plugin.spec.instances

    def names(self) -> list[str]:
        return [desired.name for desired in self.store.list()]


class NodeMaker:
    def __init__(self) -> None:
        self._running: list[Node] = []

    def __call__(self, *sources: Source, state: Path | None = None, resync: float = 3600.0) -> Node:
        store = DesiredStore(sources, IdentityStore(state))
        sync = SyncLoop(store, resync=resync)
        watcher = Watcher(sync.poke)
        for source in sources:
            watcher.watch(source.path)
        node = Node(store, sync, DesiredWriter(store, sync, sources), watcher)
        store.subscribe(node.changes.append)
        self._running.append(node)
        sync.start()
        assert sync.flush(DEADLINE)
        return node

    def close(self) -> None:
        for node in self._running:
            node.watcher.close()
            node.sync.stop()


@pytest.fixture
def start() -> Iterator[NodeMaker]:
    """Starts nodes; resync is far away, so that what is seen was told by an event."""
    maker = NodeMaker()
    yield maker
    maker.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "specs"
    made.mkdir()
    return made


@pytest.fixture
def node(start: NodeMaker, folder: Path) -> Node:
    """A node on a directory."""
    return start(DirectorySource(folder))


@pytest.fixture
def config_node(start: NodeMaker, tmp_path: Path) -> Node:
    """A node on a config.json that does not exist yet."""
    return start(ConfigFileSource(tmp_path / "config.json"))


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found
