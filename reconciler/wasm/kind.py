"""The protocol between the pools and the guests.

A guest kind is one module behind `GuestKind`: it recognises a module, prepares it once for a pool, starts
instances, answers requests and closes. Pools, limits, revisions and metrics know no kind; one more kind
touches nothing else. Requests and responses are plain values.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from reconciler.core.observed import Failure, GuestInfo
from reconciler.core.revision import InstanceSpec

Headers = list[tuple[str, str]]
"""Name (lower case) and value, in order, repeats allowed. Latin-1 text, as on the wire."""


@dataclass(slots=True)
class Request:
    """One request for a guest. `path` is what follows the route and starts with `/`; `query` is without `?`."""

    route: str
    method: str = "GET"
    path: str = "/"
    query: str = ""
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    scheme: str = "http"
    authority: str = ""
    remote: str = ""
    http_version: str = "1.1"
    request_id: str = ""
    trailers: Sequence[tuple[str, str]] = ()


@dataclass(slots=True)
class Response:
    """A guest's answer."""

    status: int = 200
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    trailers: Sequence[tuple[str, str]] = ()


class GuestFailed(Exception):
    """A guest did not answer or did not start. `failure` says why, in the guest's or engine's words.

    `fatal` tells whether the instance is spoilt and must be replaced: after a trap, a timeout, an exit.
    """

    def __init__(self, failure: Failure, *, fatal: bool = True) -> None:
        super().__init__(f"{failure.reason}: {failure.message}")
        self.failure = failure
        self.fatal = fatal


class ModuleRefused(Exception):
    """A module cannot be used: not wasm, a missing import, no kind that fits. `failure` says which."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(f"{failure.reason}: {failure.message}")
        self.failure = failure


@dataclass(frozen=True, slots=True)
class ImportShape:
    """One import of a module: `module.name`, its kind (func, memory, table, global), and a function's type."""

    module: str
    name: str
    kind: str
    params: tuple[str, ...] = ()
    results: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportShape:
    """One export of a module, as ImportShape."""

    name: str
    kind: str
    params: tuple[str, ...] = ()
    results: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ModuleShape:
    """What can be known of a module without running it. `component` marks a component-model binary."""

    imports: tuple[ImportShape, ...] = ()
    exports: Mapping[str, ExportShape] = field(default_factory=dict)
    component: bool = False


class KeyValueStore(Protocol):
    """A state store that guests read and write: what reconciler.state.store says. Safe to use from several threads.

    Every method raises StoreUnavailable (reconciler.state.errors).
    """

    @property
    def waits(self) -> bool:
        """Whether a read may wait for another machine or process."""

    def get(self, key: str) -> bytes | None:
        """The value, or None."""

    def set(self, key: str, value: bytes) -> None:
        """Put a value there."""

    def delete(self, key: str) -> bool:
        """Remove a value; whether there was one."""

    def keys(self, start: int, most: int) -> tuple[list[str], int]:
        """Some keys, and where the next ones start; 0 where there are no more."""

    def swap(self, key: str, old: bytes | None, new: bytes) -> bool:
        """Put a value there in place of that one (None: no value). Whether it was still that one."""


@dataclass(slots=True)
class CallContext:
    """What the host knows of one call.

    `deadline` is in monotonic seconds. `chain` names the calls that led here, the outermost first: an opaque
    value that the pool host hands back in `GuestServices.invoke`. `trace` is the traceparent of the call where it is
    traced.

    A `brief` call runs where others wait for its end. If it lasts, it is cut short and made once more elsewhere, so
    nothing that others see may come of it before it is over: see `may_act` and `later`.
    """

    deadline: float
    chain: object | None = None
    request_id: str = ""
    trace: str = ""
    brief: bool = False
    acts: bool = False
    """Whether the guest wanted to do what cannot be done twice, or wait for others."""
    later: list[Callable[[], object]] | None = None
    """What is done once a brief call is over and counts; dropped where it is made once more."""
    turns: int = 0
    """See pace.py."""
    worked: float | None = None
    """Seconds of CPU that its thread had worked when a brief call was first found to last."""

    def may_act(self) -> bool:
        """Ask before what cannot be done twice, or may wait. False: leave it, and let the guest end here and now."""
        self.acts = True
        return not self.brief


class GuestServices(Protocol):
    """What the host offers to guests of one plugin. Every method may be called from any guest thread."""

    def log(self, level: int, message: str, request_id: str = "") -> None:
        """Write a guest's line to the plugin's log. Levels are proxy-wasm's: 0 trace .. 5 critical."""

    def log_level(self) -> int:
        """The least level of the plugin's log that is written at all."""

    def store(self, name: str) -> KeyValueStore | None:
        """A state store by name; None where it is not configured."""

    def invoke(self, request: Request, call: CallContext) -> Response:
        """Call another plugin by route, within the caller's deadline. Raises GuestFailed."""


class Instance(Protocol):
    """A running guest. Used by one thread at a time; closed by name, never by the garbage collector.

    `tick_period` is in seconds while the guest wants to be called without a request, else None; it may change with
    every call. Whoever owns an idle instance then calls `tick` about that often.
    """

    @property
    def tick_period(self) -> float | None:
        """Seconds between ticks, while the guest wants any."""

    def tick(self, call: CallContext) -> None:
        """Let the guest do its timer work (and look at its queues). Raises GuestFailed."""

    def handle(self, request: Request, call: CallContext) -> Response:
        """Answer one request. Raises GuestFailed."""

    def close(self) -> None:
        """Free it. Idempotent."""


@runtime_checkable
class Filter(Protocol):
    """An instance that can stand before an upstream. It is one request's, from `begin` to `finish` or `drop`."""

    def begin(self, request: Request, call: CallContext) -> Request | Response:
        """The request phase: the request as it goes on, or the filter's own answer, and then it is over.

        Raises GuestFailed.
        """

    def finish(self, response: Response, call: CallContext) -> Response:
        """The response phase: the upstream's answer as it goes on. Raises GuestFailed."""

    def drop(self, call: CallContext) -> None:
        """There is no answer of an upstream: the request is over. Raises GuestFailed."""


class PreparedGuest(Protocol):
    """A module linked for one InstanceSpec. Instances may be started from several threads at once."""

    @property
    def info(self) -> GuestInfo:
        """What is known of the module; `route_id` may become known with the first instance."""

    def start(self) -> Instance:
        """Instantiate, run the guest's start and configure within `start_timeout`. Raises GuestFailed."""

    def close(self) -> None:
        """Free it; its instances are closed before. Idempotent."""


class GuestKind(Protocol):
    """One kind of guest."""

    name: str

    def recognise(self, shape: ModuleShape) -> bool:
        """Whether the module is of this kind."""

    def prepare(self, module: "CompiledModule", spec: InstanceSpec, services: GuestServices) -> PreparedGuest:
        """Link the module. Raises ModuleRefused, naming a missing import in full."""


class CompiledModule(Protocol):
    """A module that the engine compiled. Shared by the pools that run it."""

    digest: str
    shape: ModuleShape

    def close(self) -> None:
        """Free it. Idempotent."""
