"""Where the parts of the daemon are put together, started, and stopped in order. The only place that knows them all."""

import logging
import signal
import sqlite3
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from api.access.kube import RoleAuthorizer
from api.access.parts import AccessParts, access_parts
from api.admin import PAGES, STREAMS, AdminServer, create_app
from api.cluster.parts import Cluster
from api.dashboard.face import Dashboard, DashboardParts
from api.dashboard.feed import Watched as Shown
from api.dashboard.pagefiles import PageFiles
from api.dashboard.trial import Place
from api.dataplane.listen import ListenFailed
from api.dataplane.server import DataPlane
from api.dataplane.settings import Settings
from api.followed import Unusable
from api.guestlog import GuestLog, GuestLogs
from api.kube.face import KubeApi, KubeParts
from api.metrics.collect import Watched
from api.metrics.endpoint import Metrics, create_registry
from api.metrics.meters import Meters
from api.modules import module_parts
from api.node import Node, NodeParts
from api.ports import AdminServices
from api.revisions import Revisions
from api.settings import Address, ServeSettings
from api.streaming import Face
from api.tracing.parts import TracingUnavailable, tracing
from api.version import version
from reconciler.control.manager import Manager
from reconciler.control.resolve import Resolver
from reconciler.control.rollouts import Rollouts
from reconciler.control.workqueue import WorkQueue
from reconciler.host.host import PoolHost
from reconciler.host.modules import ModuleCache
from reconciler.host.services import GUEST_LOGGER
from reconciler.state.errors import StoresInvalid, StoreUnavailable
from reconciler.state.registry import StoreRegistry, parse_stores
from reconciler.wasm.egress import PinnedHttpClient, SystemResolver
from reconciler.wasm.engine import Engine
from reconciler.wasm.kinds import standard_kinds
from reconciler.wasm.proxy_wasm.shared import SharedSpaces
from specs.config_file import ConfigFileSource
from specs.directory import DirectorySource
from specs.document import load_data
from specs.errors import SpecInvalid
from specs.files import remove_leftovers
from specs.identity import IdentityStore
from specs.source import CLUSTER, Source
from specs.store import DesiredStore
from specs.sync import SyncLoop
from specs.watch import Watcher
from specs.writer import DesiredWriter

THREAD_STACK: Final = 16 * 2**20
"""Bytes of address space for a thread's stack: guests call guests on one thread, up to 16 deep."""

FIRST_LISTING_SECONDS: Final = 60.0

SIGNAL_SECONDS: Final = 0.5
"""How often the main thread looks whether a signal came."""

logger = logging.getLogger(__name__)


class StartFailed(Exception):
    """The daemon cannot start; `str()` says why and what to do."""


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
        self._data: DataPlane | None = None

    def start(self) -> None:
        """Read the desired state, begin to reconcile, listen."""
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
        engine = Engine()
        stack.callback(engine.close)
        stores = stack.enter_context(_stores(settings))
        names, tls = SystemResolver(), ssl.create_default_context()
        client = self._tracing.client(PinnedHttpClient(names, tls))
        queue = WorkQueue(time.monotonic)
        spaces = SharedSpaces()
        rollouts = Rollouts(settings.state / "rollouts.sqlite3")
        stack.callback(rollouts.close)
        self._revisions = Revisions(rollouts)
        try:
            parts = module_parts(settings, names, tls, queue.add, self._meters.fetches, rollouts.needed)
        except ValueError as error:
            raise StartFailed(str(error)) from error
        self._remote = parts.remote
        self._host = PoolHost(
            modules=ModuleCache(engine, settings.state, parts.supply),
            choose_kind=self._tracing.kinds(standard_kinds(engine, client, spaces).choose),
            find_store=stores.find,
            clock=time.monotonic,
            changed=lambda plugin: queue.add((plugin,)),
            observer=self._meters.control,
        )
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

    def _dashboard(self, data: DataPlane) -> Dashboard:
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
        data = DataPlane(
            self._tracing.dispatcher(self._host),
            settings.listen,
            Settings(),
            observer=self._meters.requests,
            tls=self._access.data_tls,
        )
        self._data = data
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


def _tune_interpreter() -> None:
    """Set what holds for the whole process. Only the command does this; nothing else owns the process."""
    threading.stack_size(THREAD_STACK)
    # A thread that holds the interpreter keeps the event loop waiting no longer than this.
    sys.setswitchinterval(0.000_5)


def run(settings: ServeSettings) -> int:
    """Run until SIGTERM or SIGINT; the exit code. A second signal ends the process at once."""
    _tune_interpreter()
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


def _stores(settings: ServeSettings) -> StoreRegistry:
    if settings.stores is None:
        return StoreRegistry(settings.state)
    return StoreRegistry(settings.state, _read_stores(settings.stores))


def _read_stores(path: Path) -> Any:
    try:
        return parse_stores(load_data(path))
    except (OSError, SpecInvalid, StoresInvalid, StoreUnavailable) as error:
        raise StartFailed(f"the stores file {path} cannot be used: {error}") from error
