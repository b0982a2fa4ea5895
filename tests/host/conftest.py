"""A real pool host over the real engine, and modules on disk for it."""

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.core.observed import ObservedPool, PoolSettings
from reconciler.core.plan import Action, CreatePool, Serve
from reconciler.core.revision import InstanceSpec, revision_of
from reconciler.host.files import FileDigests
from reconciler.host.host import PoolHost
from reconciler.host.modules import ModuleCache
from reconciler.state.memory import MemoryStore
from reconciler.wasm.egress import PinnedHttpClient, SystemResolver
from reconciler.wasm.engine import Engine
from reconciler.wasm.proxy_wasm.guest import ProxyWasmKind
from reconciler.wasm.proxy_wasm.shared import SharedSpaces
from tests.instance_spec import instance_spec


class World:
    """A pool host, a directory of modules, and what the host asked for."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.engine = Engine()
        self.store = MemoryStore()
        self.changed: list[str] = []
        self._woken = threading.Condition()
        self._digests = FileDigests()
        self.spaces = SharedSpaces()
        kinds = (
            ProxyWasmKind(self.engine, PinnedHttpClient(SystemResolver(), ssl.create_default_context()), self.spaces),
        )
        self.host = PoolHost(
            modules=ModuleCache(self.engine, directory / "state"),
            choose_kind=lambda shape, abi: kinds[0],
            find_store=lambda _name: self.store,
            clock=time.monotonic,
            changed=self._note,
        )

    def close(self) -> None:
        self.host.close()
        self.engine.close()

    def _note(self, plugin: str) -> None:
        with self._woken:
            self.changed.append(plugin)
            self._woken.notify_all()

    def spec(self, plugin: str, wasm: bytes, **limits: float) -> InstanceSpec:
        path = self.directory / f"{plugin}.wasm"
        path.write_bytes(wasm)
        return instance_spec(plugin, path, self._digests, **limits)

    def settings(self, route: str, **changes: object) -> PoolSettings:
        values = {"queue": 8, "queue_timeout": 5.0, "drain_timeout": 5.0, "max_invocations": None} | changes
        return PoolSettings(route=route, **values)  # type: ignore[arg-type]

    def install(self, spec: InstanceSpec, instances: int, route: str = "", **changes: float) -> str:
        """Make a pool, wait for its instances, let it serve. Returns the revision."""
        revision = revision_of(spec)
        settings = self.settings(route or spec.plugin, **changes)
        self.apply(CreatePool(spec.plugin, revision, spec, settings, instances))
        self.until(lambda: self.pool(spec.plugin, revision).ready >= instances)
        self.apply(Serve(spec.plugin, revision))
        return revision

    def apply(self, *actions: Action) -> None:
        for outcome in self.host.apply(actions):
            assert outcome.failure is None, outcome

    def pool(self, plugin: str, revision: str) -> ObservedPool:
        pool = self.host.observe(plugin).pool(revision)
        assert pool is not None
        return pool

    def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        """Wait for a condition that the host's own work brings about."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come about"
            with self._woken:
                self._woken.wait(0.01)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()
