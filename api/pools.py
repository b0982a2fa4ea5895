"""The pools and all that guests need, put together from settings: in the daemon's process, or in each worker."""

import ssl
import time
from collections.abc import Callable, Iterable, Set
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from api.metrics.fetches import FetchMeter
from api.modules import ModuleParts, module_parts
from api.settings import ServeSettings
from api.tracing.parts import Tracing
from reconciler.host.host import PoolHost
from reconciler.host.invoke import Elsewhere
from reconciler.host.modules import ModuleCache
from reconciler.host.observer import HostObserver
from reconciler.state.errors import StoresInvalid, StoreUnavailable
from reconciler.state.registry import MemoryConfig, StoreRegistry, parse_stores
from reconciler.wasm.egress import HttpClient, SystemResolver
from reconciler.wasm.engine import Engine
from reconciler.wasm.kinds import standard_kinds
from reconciler.wasm.proxy_wasm.shared import SharedSpaces
from specs.document import load_data
from specs.errors import SpecInvalid


class Unfit(Exception):
    """The settings cannot be used; `str()` says why."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """Who is told what: `changed(plugins)` asks for passes."""

    changed: Callable[[Iterable[str]], None]
    observer: HostObserver
    fetches: FetchMeter


def modules_of(
    settings: ServeSettings, tls: ssl.SSLContext, listeners: Listeners, needed: Callable[[], Set[str]]
) -> ModuleParts:
    """What brings modules; `needed` as ContentStore has it. Raises Unfit."""
    try:
        return module_parts(settings, SystemResolver(), tls, listeners.changed, listeners.fetches, needed)
    except ValueError as error:
        raise Unfit(str(error)) from error


def pools_of(
    settings: ServeSettings,
    stack: ExitStack,
    modules: ModuleParts,
    client: HttpClient,
    tracing: Tracing,
    listeners: Listeners,
    elsewhere: Elsewhere | None = None,
) -> tuple[PoolHost, SharedSpaces]:
    """The pool host, which the caller closes, and what guests share; `stack` closes what is under it. Raises Unfit."""
    engine = Engine()
    stack.callback(engine.close)
    stores = stack.enter_context(_stores(settings))
    spaces = SharedSpaces()
    host = PoolHost(
        modules=ModuleCache(engine, settings.state, modules.supply),
        choose_kind=tracing.kinds(standard_kinds(engine, tracing.client(client), spaces).choose),
        find_store=stores.find,
        clock=time.monotonic,
        changed=lambda plugin: listeners.changed((plugin,)),
        observer=listeners.observer,
        elsewhere=elsewhere,
    )
    return host, spaces


def in_memory(settings: ServeSettings) -> frozenset[str]:
    """The stores that lie in the memory of a process. Raises Unfit."""
    return frozenset(name for name, config in _read_stores(settings).items() if isinstance(config, MemoryConfig))


def _stores(settings: ServeSettings) -> StoreRegistry:
    if settings.stores is None:
        return StoreRegistry(settings.state)
    return StoreRegistry(settings.state, _read_stores(settings))


def _read_stores(settings: ServeSettings) -> Any:
    if settings.stores is None:
        return {}
    try:
        return parse_stores(load_data(settings.stores))
    except (OSError, SpecInvalid, StoresInvalid, StoreUnavailable) as error:
        raise Unfit(f"the stores file {settings.stores} cannot be used: {error}") from error
