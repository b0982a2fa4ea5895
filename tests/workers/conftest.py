"""The pool-host seam in both its forms: pools in this process, and in real worker processes."""

import http.client
import pickle
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from api.dataplane.accepting import Tally
from api.dataplane.listen import listen
from api.dataplane.server import DataPlane
from api.dataplane.settings import Settings
from api.metrics.meters import Meters
from api.pools import Listeners, modules_of, pools_of
from api.settings import Address, ServeSettings
from api.tracing.parts import Tracing
from api.workers.plane import WorkerPlane
from reconciler.control.manager import Host
from reconciler.core.observed import ObservedPool, PoolSettings
from reconciler.core.plan import Action, CreatePool, RemovePool, Serve
from reconciler.core.revision import InstanceSpec, revision_of
from reconciler.host.files import FileDigests
from reconciler.host.router import Expectation
from reconciler.wasm.egress import PinnedHttpClient, SystemResolver
from reconciler.workers.crew import Crew
from reconciler.workers.host import RemoteHost
from reconciler.workers.nursery import Forker
from tests.daemon import ROOT
from tests.instance_spec import instance_spec

PATIENCE = 0.05


class Seam:
    """A pool host with a data plane, and modules for it."""

    host: Host
    plane: DataPlane | WorkerPlane

    def __init__(self, directory: Path, workers: int) -> None:
        self.modules = directory / "modules"
        self.modules.mkdir()
        self.settings = ServeSettings(
            config=(),
            specs=(),
            stores=None,
            admin=Address("127.0.0.1", 0),
            listen=Address("127.0.0.1", 0),
            state=directory / "state",
            module_root=self.modules,
            workers=workers,
        )
        self.settings.state.mkdir()
        self.meters = Meters()
        self.changed: list[str] = []
        self._woken = threading.Condition()
        self._digests = FileDigests()
        self.listeners = Listeners(self._note, self.meters.control, self.meters.fetches)
        self._expected: set[str] = set()
        self.stack = ExitStack()

    def _note(self, plugins: Iterable[str]) -> None:
        with self._woken:
            self.changed += plugins
            self._woken.notify_all()

    def close(self) -> None:
        self.plane.stop(0.0)
        self.host.close()
        self.stack.close()

    def spec(self, plugin: str, wasm: bytes, **limits: float) -> InstanceSpec:
        path = self.modules / f"{plugin}.wasm"
        path.write_bytes(wasm)
        return instance_spec(plugin, path, self._digests, **({"timeout": 10.0} | limits))

    def settings_of(self, route: str, **changes: float) -> PoolSettings:
        values = {"queue": 64, "queue_timeout": 10.0, "drain_timeout": 5.0, "max_invocations": None} | changes
        return PoolSettings(route=route, **values)  # type: ignore[arg-type]

    def install(self, spec: InstanceSpec, instances: int, route: str = "", **changes: float) -> str:
        """Make a pool, wait for its instances, let it serve. Returns the revision."""
        revision = revision_of(spec)
        settings = self.settings_of(route or spec.plugin, **changes)
        self.apply(CreatePool(spec.plugin, revision, spec, settings, instances))
        self.until(lambda: self.pool(spec.plugin, revision).ready >= instances)
        self.apply(Serve(spec.plugin, revision))
        return revision

    def expect(self, plugin: str, instances: int, queue: int = 64) -> None:
        """The plugin is desired on the route of its name."""
        self._expected.add(plugin)
        self.host.expect({plugin: Expectation(plugin, queue, 10.0, 2**20, instances)})

    def clear(self) -> None:
        """Remove everything."""
        for plugin in self.host.plugins():
            self.apply(*(RemovePool(plugin, pool.revision) for pool in self.host.observe(plugin).pools))
        self.host.expect(dict.fromkeys(self._expected))
        self._expected.clear()
        self.changed.clear()

    def apply(self, *actions: Action) -> None:
        for outcome in self.host.apply(actions, PATIENCE):
            assert outcome.failure is None, outcome

    def pool(self, plugin: str, revision: str) -> ObservedPool:
        pool = self.host.observe(plugin).pool(revision)
        assert pool is not None
        return pool

    def until(self, condition: Callable[[], object], seconds: float = 20.0) -> None:
        """Wait for what the host brings about by itself."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "it did not come about"
            with self._woken:
                self._woken.wait(0.005)

    def ask(self, route: str) -> tuple[int, str]:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.plane.port, timeout=30)
        try:
            connection.request("GET", "/", headers={"id": route})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


class Here(Seam):
    """Pools in this process."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, 0)
        tls = ssl.create_default_context()
        parts = modules_of(self.settings, tls, self.listeners, frozenset)
        client = PinnedHttpClient(SystemResolver(), tls)
        host, _ = pools_of(self.settings, self.stack, parts, client, Tracing(), self.listeners)
        self.host, self.plane = host, DataPlane(host, self.settings.listen, Settings())
        self.plane.start()


class There(Seam):
    """Pools in worker processes."""

    def __init__(self, directory: Path, workers: int = 2) -> None:
        super().__init__(directory, workers)
        listener = listen(self.settings.listen)
        self.crew = Crew(self._nursery(), listener, workers, time.monotonic)
        self.remote = self.host = RemoteHost(
            self.crew,
            clock=time.monotonic,
            changed=lambda plugin: self._note((plugin,)),
            observer=self.meters.control,
        )
        self.plane = WorkerPlane(self.crew, self.host, listener, Tally(workers), self.meters)
        self.crew.start(self.plane)
        self.plane.start()
        self.until(lambda: len(self.remote._applied) == workers)

    def _nursery(self) -> Forker:
        ours, its = socket.socketpair()
        command = [sys.executable, "-m", "tests.workers.nursery", str(its.fileno())]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[its.fileno()], cwd=ROOT)
        its.close()
        assert self._process.stdin is not None
        with self._process.stdin as pipe:
            pickle.dump(self.settings, pipe)
        return Forker(self._process.pid, ours)

    def close(self) -> None:
        super().close()
        self._process.wait()

    def shares(self, plugin: str, revision: str) -> dict[int, int]:
        """Ready instances, by worker."""
        parts = self.remote._records[plugin][revision].parts
        return {worker: part.seen.ready for worker, part in sorted(parts.items()) if part.seen is not None}


FORMS: dict[str, Callable[[Path], Seam]] = {
    "here": Here,
    "one worker": lambda directory: There(directory, 1),
    "two workers": There,
}


@pytest.fixture(scope="module", params=FORMS)
def form(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seam]:
    """Each form of the seam, for several tests: a worker's start takes a while."""
    made = FORMS[request.param](tmp_path_factory.mktemp("seam"))
    yield made
    made.close()


@pytest.fixture
def seam(form: Seam) -> Iterator[Seam]:
    """With nothing in it."""
    yield form
    form.clear()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    """Two workers, for several tests."""
    made = There(tmp_path_factory.mktemp("two"))
    yield made
    made.close()


@pytest.fixture
def two(both: There) -> Iterator[There]:
    """Two workers with nothing in them."""
    yield both
    both.clear()
