"""Where the parts of the daemon are put together, started, and stopped in order. The only place that knows them all."""

import logging
import signal
import sqlite3
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from api.access.kube import RoleAuthorizer
from api.access.parts import AccessParts, access_parts
from api.admin import PAGES, STREAMS, AdminServer, create_app
from api.cluster.parts import Cluster
from api.dashboard.face import Dashboard, DashboardParts
from api.dashboard.feed import Watched as Shown
from api.dashboard.pagefiles import PageFiles
from api.dashboard.trial import Place
from api.dataplane.accepting import Tally
from api.dataplane.listen import ListenFailed, listen
from api.dataplane.server import DataPlane
from api.dataplane.settings import Settings
from api.followed import Unusable
from api.guestlog import GuestLog, GuestLogs
from api.interpreter import tune
from api.kube.face import KubeApi, KubeParts
from api.metrics.collect import Spaces, Watched
from api.metrics.endpoint import Metrics, create_registry
from api.metrics.meters import Meters
from api.node import Node, NodeParts
from api.pools import Listeners, Unfit, in_memory, modules_of, pools_of
from api.ports import AdminServices
from api.revisions import Revisions
from api.settings import Address, ServeSettings
from api.streaming import Face
from api.tracing.parts import TracingUnavailable, tracing
from api.version import version
from api.workers.plane import WorkerPlane
from reconciler.control.manager import Host, Manager
from reconciler.control.resolve import Resolver
from reconciler.control.rollouts import Rollouts
from reconciler.control.workqueue import WorkQueue
from reconciler.host.host import PoolHost
from reconciler.host.services import GUEST_LOGGER
from reconciler.wasm.egress import PinnedHttpClient, SystemResolver
from reconciler.workers.crew import Crew
from reconciler.workers.host import RemoteHost
from reconciler.workers.nursery import Forker, fork_nursery
from specs.config_file import ConfigFileSource
from specs.directory import DirectorySource
from specs.files import remove_leftovers
from specs.identity import IdentityStore
from specs.layotto import ANY_STORE
from specs.source import CLUSTER, Source
from specs.store import DesiredStore
from specs.sync import SyncLoop
from specs.watch import Watcher
from specs.writer import DesiredWriter

FIRST_LISTING_SECONDS: Final = 60.0

PREDECESSORS: Final = 2.0
"""Seconds that the workers of a daemon that was killed have for letting go of the port."""

SIGNAL_SECONDS: Final = 0.5
"""How often the main thread looks whether a signal came."""

logger = logging.getLogger(__name__)


class StartFailed(Exception):
    """The daemon cannot start; `str()` says why and what to do."""


class Plane(Protocol):
    """What answers requests: in this process, or in workers."""

    @property
    def port(self) -> int:
        """The port that is listened on."""

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""

    def start(self) -> None:
        """Answer requests from now on. Raises ListenFailed."""

    def stop(self, drain_seconds: float) -> bool:
        """Stop accepting, let requests end within the bound. Whether none was cut. Idempotent."""


class Pools(Host, Protocol):
    """What holds the pools, likewise."""

    def queued(self) -> dict[str, int]:
        """How many requests wait for an instance, by route; every route is there."""


class Readiness:
    """Where the daemon stands, for probes."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self.draining = False

    @property
    def started(self) -> bool:
        """Whether the first pass over all plugins is done."""
        return self._manager.started


class Daemon:
    """The whole daemon. `start` raises StartFailed; `stop` drains, and undoes what was started, last first."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._stack = ExitStack()
        self._meters = Meters()
        self._page = PageFiles()
        self._readiness: Readiness | None = None
        self._data: Plane | None = None
        self._nursery: Forker | None = None
        self._tally = Tally(max(1, settings.workers))

    def start(self) -> None:
        """Read the desired state, begin to reconcile, listen."""
        if self._settings.workers:  # before there is a second thread
            from api.workers.entry import run_worker  # noqa: PLC0415 - 15 ms of a start without workers

            self._nursery = fork_nursery(partial(run_worker, self._settings, self._tally))
        with ExitStack() as stack:
            self._start(stack)
            self._stack = stack.pop_all()

    def stop(self) -> None:
        """Not ready, accept no more, let requests end, close every instance."""
        if self._readiness is not None:
            self._readiness.draining = True
        at_most = self._settings.drain_timeout
        if self._data is not None and not self._data.stop(at_most):
            logger.warning("requests were cut", extra={"after_seconds": at_most})
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        settings = self._settings
        self._access = _access(settings, self._page.paths)
        try:
            self._tracing = tracing(settings.traces, version())
        except TracingUnavailable as error:
            raise StartFailed(str(error)) from error
        stack.callback(self._tracing.close)
        try:
            settings.state.mkdir(parents=True, exist_ok=True)
            identities = IdentityStore(settings.state / "identities.sqlite3")
        except OSError as error:
            raise StartFailed(
                f"the state directory {settings.state} cannot be used: {error}; choose another with --state DIR"
            ) from error
        stack.callback(identities.close)
        for folder in _written(settings):
            remove_leftovers(folder)
        cluster = _cluster(settings)
        sources = (*_sources(settings), *([cluster.source] if cluster else []))
        store = DesiredStore(sources, identities)
        manager = self._control(stack, store)
        sync = SyncLoop(store)
        watcher = stack.enter_context(Watcher(sync.poke))
        for source in sources:
            if source.kind != CLUSTER:
                watcher.watch(source.path)
        stack.callback(sync.stop)
        if cluster is not None:
            stack.callback(cluster.stop)
            cluster.follow(sync.poke)
        sync.start()
        if not sync.flush(FIRST_LISTING_SECONDS):
            raise StartFailed(f"the sources could not be listed within {FIRST_LISTING_SECONDS:.0f} s")
        modules = stack.enter_context(Watcher(lambda _path, _files: manager.loop.resync_soon()))
        stack.callback(manager.stop)
        stack.callback(self._remote.close)
        manager.start(modules)
        if cluster is not None:
            cluster.report(store, manager.board)
        self._polling = watcher.polling or modules.polling
        self._readiness = Readiness(manager)
        writer = DesiredWriter(store, sync, sources)
        services = AdminServices(store, writer, manager.board, manager.events, self._readiness)
        for reason in {watcher.polling, modules.polling} - {""}:
            logger.warning("no file events", extra={"reason": reason})
        self._listen(stack, services, self._kube(stack, store, writer, manager))

    def _control(self, stack: ExitStack, store: DesiredStore) -> Manager:
        """Engine, guests, pools, and the manager over them."""
        settings = self._settings
        tls = ssl.create_default_context()
        queue = WorkQueue(time.monotonic)
        rollouts = Rollouts(settings.state / "rollouts.sqlite3")
        stack.callback(rollouts.close)
        self._revisions = Revisions(rollouts)
        listeners = Listeners(queue.add, self._meters.control, self._meters.fetches)
        try:
            parts = modules_of(settings, tls, listeners, rollouts.needed)
            if self._nursery is not None:
                self._host, spaces = self._crew(stack, self._nursery, listeners)
            else:
                client = PinnedHttpClient(SystemResolver(), tls)
                self._host, spaces = pools_of(settings, stack, parts, client, self._tracing, listeners)
        except Unfit as error:
            raise StartFailed(str(error)) from error
        self._remote = parts.remote
        resolver = Resolver(settings.module_root, parts.digests, parts.tags)
        manager = Manager(
            store=store,
            host=self._host,
            resolver=resolver,
            rollouts=rollouts,
            queue=queue,
            observer=self._tracing.passes(self._meters.control),
        )
        self._watched = Watched(store, manager.board, self._host, queue, spaces)
        self._shown = Shown(store, manager.board, manager.events, self._host)
        return manager

    def _crew(self, stack: ExitStack, nursery: Forker, listeners: Listeners) -> tuple[Pools, Spaces]:
        """Worker processes, which hold the pools and answer requests. What would keep them from it is found here."""
        kept = in_memory(self._settings)
        try:
            listener = listen(self._settings.listen, PREDECESSORS)
        except ListenFailed as error:
            raise StartFailed(str(error)) from error
        crew = Crew(nursery, listener, self._settings.workers, time.monotonic)
        host = RemoteHost(
            crew,
            clock=time.monotonic,
            changed=lambda plugin: listeners.changed((plugin,)),
            observer=listeners.observer,
            bound=lambda spec: not kept.isdisjoint(spec.stores) or bool(kept and ANY_STORE in spec.stores),
        )
        stack.callback(host.close)
        self._data = plane = WorkerPlane(crew, host, listener, self._tally, self._meters)
        crew.start(plane)
        return host, plane.measures

    def _kube(self, stack: ExitStack, store: DesiredStore, writer: DesiredWriter, manager: Manager) -> KubeApi:
        """The Kubernetes API over the same parts."""
        parts = KubeParts(
            desired=store,
            writer=writer,
            status=manager.board,
            events=manager.events,
            latency=self._meters.requests.latency,
            state=self._settings.state,
            namespace=self._settings.namespace,
            watches=STREAMS,
            version=version(),
        )
        try:
            kube = KubeApi(parts, RoleAuthorizer(self._access.access))
        except (OSError, sqlite3.Error) as error:
            raise StartFailed(
                f"the state directory {self._settings.state} cannot be used: {error}; choose another with --state DIR"
            ) from error
        stack.callback(kube.close)
        return kube

    def _own_plane(self) -> DataPlane:
        """A data plane in this process, over its pools."""
        assert isinstance(self._host, PoolHost)
        return DataPlane(
            self._tracing.dispatcher(self._host),
            self._settings.listen,
            Settings(),
            observer=self._meters.requests,
            tls=self._access.data_tls,
        )

    def _dashboard(self, data: "Plane") -> Dashboard:
        """The page over the same parts."""
        listen, tls = self._settings.listen.host, self._access.data_tls is not None
        parts = DashboardParts(
            watched=self._shown,
            meter=self._meters.requests,
            data_plane=lambda: Place(Address(listen, data.port), tls),
            namespace=self._settings.namespace,
            version=version(),
            streams=PAGES,
        )
        return Dashboard(parts, self._page)

    def _listen(self, stack: ExitStack, services: AdminServices, kube: KubeApi) -> None:
        settings = self._settings
        data = self._data = self._data or self._own_plane()
        metrics = Metrics(create_registry(self._meters, self._watched, lambda: data.open_connections, version()))
        guests = _guest_log(stack)
        self._tracing.logs(guests, *logging.getLogger().handlers)
        node = NodeParts(
            settings=settings,
            listen=lambda: str(Address(settings.listen.host, data.port)),
            admin=lambda: str(Address(settings.admin.host, admin.port)),
            polling=lambda: self._polling,
        )
        dashboard = self._dashboard(data)
        faces: list[Face] = [kube, metrics, GuestLogs(guests), self._revisions, Node(node), dashboard]
        app = create_app(services, version(), faces, [self._access.guard()])
        admin = AdminServer(app, settings.admin, self._access.admin_tls)
        try:
            self._data.start()
            stack.callback(self._data.stop, 0.0)
            admin.start()
            stack.callback(admin.stop)
            stack.callback(kube.end_watches)
            stack.callback(guests.end)
            dashboard.start()
            stack.callback(dashboard.stop)
        except ListenFailed as error:
            raise StartFailed(str(error)) from error
        listen = Address(settings.listen.host, self._data.port)
        logger.info("data plane on %s://%s", _scheme(self._access.data_tls), listen)
        logger.info("admin on %s://%s", _scheme(self._access.admin_tls), Address(settings.admin.host, admin.port))


def run(settings: ServeSettings) -> int:
    """Run until SIGTERM or SIGINT; the exit code. A second signal ends the process at once."""
    tune()
    stopping = threading.Event()

    def on_signal(number: int, _frame: Any) -> None:
        signal.signal(number, signal.SIG_DFL)
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    daemon = Daemon(settings)
    try:
        daemon.start()
    except StartFailed as error:
        logger.error("%s", error)
        return 1
    # The system may hand a signal to any thread; only this one runs the handler, and it has to wake up for that.
    while not stopping.wait(SIGNAL_SECONDS):
        pass
    logger.info("draining", extra={"at_most_seconds": settings.drain_timeout})
    daemon.stop()
    logger.info("stopped")
    return 0


def _cluster(settings: ServeSettings) -> Cluster | None:
    """The cluster that is followed, if any."""
    if not settings.kube:
        return None
    try:
        return Cluster(settings)
    except ValueError as error:
        raise StartFailed(str(error)) from error


def _written(settings: ServeSettings) -> Iterator[Path]:
    """The folders where files are put in place by renaming."""
    yield from settings.specs
    yield from (path.parent for path in settings.config)
    yield settings.state / "modules"
    yield from (settings.state / "aot").glob("*")


def _sources(settings: ServeSettings) -> tuple[Source, ...]:
    """Configuration files first: of two documents that are first seen together, theirs owns the name."""
    configs: list[Source] = [ConfigFileSource(path) for path in settings.config]
    return (*configs, *(DirectorySource(path) for path in settings.specs))


def _guest_log(stack: ExitStack) -> GuestLog:
    """A memory of what guests say from now on."""
    log, guests = GuestLog(), logging.getLogger(GUEST_LOGGER)
    guests.addHandler(log)
    stack.callback(guests.removeHandler, log)
    return log


def _access(settings: ServeSettings, page: frozenset[str]) -> AccessParts:
    try:
        return access_parts(settings, lambda: datetime.now(UTC), page)
    except Unusable as error:
        raise StartFailed(str(error)) from error


def _scheme(tls: ssl.SSLContext | None) -> str:
    return "http" if tls is None else "https"
