"""Where the parts of the daemon are put together, started, and stopped in order. The only place that knows them all."""

import logging
import signal
import ssl
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from api.admin import AdminServer, create_app
from api.dataplane.listen import ListenFailed
from api.dataplane.server import DataPlane
from api.dataplane.settings import Settings
from api.modules import module_parts
from api.ports import AdminServices
from api.settings import Address, ServeSettings
from api.version import version
from reconciler.control.manager import Manager
from reconciler.control.resolve import Resolver
from reconciler.control.rollouts import Rollouts
from reconciler.control.workqueue import WorkQueue
from reconciler.host.host import PoolHost
from reconciler.host.modules import ModuleCache
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
from specs.identity import IdentityStore
from specs.source import Source
from specs.store import DesiredStore
from specs.sync import SyncLoop
from specs.watch import Watcher
from specs.writer import DesiredWriter

DRAIN_SECONDS: Final = 15.0
"""How long requests may go on after SIGTERM."""

FIRST_LISTING_SECONDS: Final = 60.0

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
        if self._data is not None and not self._data.stop(DRAIN_SECONDS):
            logger.warning("requests were cut", extra={"after_seconds": DRAIN_SECONDS})
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        settings = self._settings
        try:
            settings.state.mkdir(parents=True, exist_ok=True)
            identities = IdentityStore(settings.state / "identities.sqlite3")
        except OSError as error:
            raise StartFailed(
                f"the state directory {settings.state} cannot be used: {error}; choose another with --state DIR"
            ) from error
        stack.callback(identities.close)
        sources = _sources(settings)
        store = DesiredStore(sources, identities)
        manager = self._control(stack, store)
        sync = SyncLoop(store)
        watcher = stack.enter_context(Watcher(sync.poke))
        for source in sources:
            watcher.watch(source.path)
        stack.callback(sync.stop)
        sync.start()
        if not sync.flush(FIRST_LISTING_SECONDS):
            raise StartFailed(f"the sources could not be listed within {FIRST_LISTING_SECONDS:.0f} s")
        modules = stack.enter_context(Watcher(lambda _path: manager.loop.resync_soon()))
        stack.callback(manager.stop)
        stack.callback(self._remote.close)
        manager.start(modules)
        self._readiness = Readiness(manager)
        writer = DesiredWriter(store, sync, sources)
        self._listen(stack, AdminServices(store, writer, manager.board, manager.events, self._readiness))
        for reason in {watcher.polling, modules.polling} - {""}:
            logger.warning("no file events", extra={"reason": reason})

    def _control(self, stack: ExitStack, store: DesiredStore) -> Manager:
        """Engine, guests, pools, and the manager over them."""
        settings = self._settings
        engine = Engine()
        stack.callback(engine.close)
        stores = stack.enter_context(_stores(settings))
        names, tls = SystemResolver(), ssl.create_default_context()
        client = PinnedHttpClient(names, tls)
        queue = WorkQueue(time.monotonic)
        try:
            parts = module_parts(settings, names, tls, queue.add)
        except ValueError as error:
            raise StartFailed(str(error)) from error
        self._remote = parts.remote
        self._host = PoolHost(
            modules=ModuleCache(engine, settings.state, parts.supply),
            choose_kind=standard_kinds(engine, client, SharedSpaces()).choose,
            find_store=stores.find,
            clock=time.monotonic,
            changed=lambda plugin: queue.add((plugin,)),
        )
        resolver = Resolver(settings.module_root, parts.digests, parts.tags)
        rollouts = Rollouts(settings.state / "rollouts.sqlite3")
        stack.callback(rollouts.close)
        return Manager(store=store, host=self._host, resolver=resolver, rollouts=rollouts, queue=queue)

    def _listen(self, stack: ExitStack, services: AdminServices) -> None:
        settings = self._settings
        admin = AdminServer(create_app(services, version()), settings.admin)
        self._data = DataPlane(self._host, settings.listen, Settings())
        try:
            self._data.start()
            stack.callback(self._data.stop, 0.0)
            admin.start()
            stack.callback(admin.stop)
        except ListenFailed as error:
            raise StartFailed(str(error)) from error
        logger.info("data plane on http://%s", Address(settings.listen.host, self._data.port))
        logger.info("admin on http://%s", Address(settings.admin.host, admin.port))


def run(settings: ServeSettings) -> int:
    """Run until SIGTERM or SIGINT; the exit code. A second signal ends the process at once."""
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
    stopping.wait()
    logger.info("draining", extra={"at_most_seconds": DRAIN_SECONDS})
    daemon.stop()
    logger.info("stopped")
    return 0


def _sources(settings: ServeSettings) -> tuple[Source, ...]:
    """Configuration files first: of two documents that are first seen together, theirs owns the name."""
    configs: list[Source] = [ConfigFileSource(path) for path in settings.config]
    return (*configs, *(DirectorySource(path) for path in settings.specs))


def _stores(settings: ServeSettings) -> StoreRegistry:
    if settings.stores is None:
        return StoreRegistry(settings.state)
    return StoreRegistry(settings.state, _read_stores(settings.stores))


def _read_stores(path: Path) -> Any:
    try:
        return parse_stores(load_data(path))
    except (OSError, SpecInvalid, StoresInvalid, StoreUnavailable) as error:
        raise StartFailed(f"the stores file {path} cannot be used: {error}") from error
