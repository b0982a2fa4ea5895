"""Components with the adapter around them (reconciler.wasm.http_adapter): one call and two callbacks for a request.

Belongs here: a slot for such a component, and what the adapter imports of the host. Does not: the messages
(exchange.py), components that import more than the adapter offers (instance.py).
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import wasmtime.component as model

from reconciler.core.observed import Failure
from reconciler.core.revision import InstanceSpec
from reconciler.core.states import Reason
from reconciler.wasm.engine import CompiledModule, Engine, component_limits
from reconciler.wasm.ffi.components import ComponentFfi, Interrupted
from reconciler.wasm.ffi.live import Live, LiveFfi, Recipe
from reconciler.wasm.ffi.seam import GUEST_ERRORS
from reconciler.wasm.flow import CLIENT_GONE, Flow
from reconciler.wasm.kind import CallContext, GuestFailed, GuestServices, Request, Response
from reconciler.wasm.ticker import has_lasted
from reconciler.wasm.wasi_http.exchange import NO_RESPONSE, Exchange
from reconciler.wasm.wasi_http.failures import component_failure
from reconciler.wasm.wasi_http.flowing import FlowingExchange
from reconciler.wasm.wasi_http.printed import log_run
from reconciler.wasm.wasi_http.surroundings import SURROUNDINGS

_HOST: Final = "reconciler:http/host"
_START_FUEL: Final = 1 << 62
"""For a start, which `limits.startTimeout` bounds."""


class _Current(threading.local):
    """The exchange under way on this thread. It is None while there is none, and then no component asks."""

    exchange: Exchange = cast("Exchange", None)


def _for_adapter(current: _Current, name: str, *args: Any) -> Any:
    return getattr(current.exchange, name)(*args)


def _for_component(current: _Current, function: Callable[..., Any], *args: Any) -> Any:
    return function(current.exchange, *args)


class LightHost:
    """What light components, and the adapter in them, import of the host. Safe to use from several threads."""

    def __init__(self, engine: Engine, ffi: ComponentFfi) -> None:
        self.engine = engine
        self.live = LiveFfi()
        self._ffi = ffi
        self._current = _Current()
        self._check_epoch = ffi.epoch_check(self._check)

    def recipe(self, module: CompiledModule, entry: model.ExportIndex, spec: InstanceSpec) -> Recipe:
        """What instances of a component are made of. Whoever asks for it closes it."""
        assert module.component is not None
        engine = self.engine.native(module.metered, light=True)
        linker = model.Linker(engine)
        kept = [self._check_epoch]
        with module.component.type as kind, linker.root() as root:
            for interface, extern in kind.imports(engine).items():
                wanted = cast("model.ComponentInstanceType", extern.ty).exports(engine)
                with root.add_instance(interface) as place:
                    for name, member in wanted.items():
                        if isinstance(member.ty, model.FuncType):
                            kept.append(self._ffi.define(place, name, member.ty, self._function(interface, name)))
        limits = component_limits(module, spec.limits)
        return Recipe(engine, linker, module.component, entry, limits, kept, metered=module.metered)

    def _function(self, interface: str, name: str) -> Callable[..., Any]:
        if interface == _HOST:
            return partial(_for_adapter, self._current, name)
        return partial(_for_component, self._current, SURROUNDINGS[interface][name])

    def run(self, exchange: Exchange, call: Callable[[], None]) -> Failure | None:
        """Let guest code run within the exchange's deadline. Why it did not end well, where it did not."""
        before, self._current.exchange = self._current.exchange, exchange
        self.engine.ticker.enter(exchange)
        try:
            call()
        except GUEST_ERRORS as error:
            failure = component_failure(error)
            return exchange.stopped or failure
        finally:
            self.engine.ticker.leave(exchange)
            self._current.exchange = before
        return None

    def _check(self) -> None:
        """At each epoch of a running guest: whether it may go on. Raises Interrupted."""
        exchange = self._current.exchange
        call = exchange.call
        if exchange.unwanted() is not None:
            exchange.stopped = exchange.unwanted()
            raise Interrupted("nobody wants the answer")
        if has_lasted(call) if call.brief else time.monotonic() >= call.deadline:
            exchange.stopped = Failure(Reason.DEADLINE_EXCEEDED, "the component's time is over")
            raise Interrupted(exchange.stopped.message)


@dataclass(frozen=True, slots=True)
class LightParts:
    """What all slots of a pool share."""

    host: LightHost
    recipe: Recipe
    spec: InstanceSpec
    services: GuestServices


class LightSlot:
    """The right to run a light component, for one request at a time; see Instance.

    Nothing that a component does to itself outlives its store, so a slot is never spoilt and no failure here is fatal.
    """

    tick_period: float | None = None

    def __init__(self, parts: LightParts) -> None:
        self._parts = parts
        self._live: Live | None = None
        self._requests = 0
        self._fuel = parts.spec.limits.fuel if parts.recipe.metered else None

    def warm_up(self) -> None:
        """Instantiate the component. Raises GuestFailed."""
        spec = self._parts.spec
        call = CallContext(time.monotonic() + spec.limits.start_timeout)
        self._instantiate(Exchange(spec, self._parts.services, Request(spec.plugin), call))

    def tick(self, call: CallContext) -> None:
        """Between requests nothing runs."""

    def handle(self, request: Request, call: CallContext) -> Response:
        """Run the component for a request; see Instance."""
        parts = self._parts
        exchange = Exchange(parts.spec, parts.services, request, call)
        failure: Failure | None = None
        try:
            failure = self._answer(exchange)
            return _whole(exchange, failure)
        finally:
            self._end(exchange, failure, spoilt=False)

    def stream(self, request: Request, call: CallContext, flow: Flow) -> Response | None:
        """Run the component for a request whose bodies flow; see Streaming."""
        parts = self._parts
        exchange = FlowingExchange(parts.spec, parts.services, request, call, flow)
        failure: Failure | None = None
        try:
            exchange.open()
            failure = self._answer(exchange)
            if flow.stopped is CLIENT_GONE:
                return None
            if flow.stopped is not None:
                raise GuestFailed(flow.stopped, fatal=False)
            settled = flow.settle()
            answer = _whole(exchange, failure)
            if settled:
                answer.body = flow.read(exchange.size)
            return answer if settled else None
        except OSError as error:
            if flow.stopped is CLIENT_GONE:
                return None
            raise GuestFailed(Failure(Reason.START_FAILED, str(error)), fatal=False) from None
        finally:
            exchange.close()
            self._end(exchange, failure, spoilt=flow.stopped is not None)

    def close(self) -> None:
        """Free what is held for the next request. Idempotent."""
        live, self._live = self._live, None
        if live is not None:
            self._parts.host.live.close(live)

    def _answer(self, exchange: Exchange) -> Failure | None:
        """Run the component. Why it did not end well, where it did not. Raises GuestFailed where it does not start."""
        parts = self._parts
        live = self._live or self._instantiate(exchange)

        def run() -> None:
            exchange.state = parts.host.live.call(live, self._fuel)

        return parts.host.run(exchange, run)

    def _end(self, exchange: Exchange, failure: Failure | None, *, spoilt: bool) -> None:
        """The request is over: the store goes on to the next one or is freed."""
        late = failure if exchange.answer is not None else None
        log_run(exchange.services, exchange.call.request_id, exchange.prints, late)
        self._requests += 1
        if spoilt or failure is not None or exchange.answer is None or self._requests >= self._parts.spec.reuse:
            self.close()

    def _instantiate(self, exchange: Exchange) -> Live:
        """Instantiate the component in a new store. Raises GuestFailed."""
        parts = self._parts

        def start() -> None:
            self._live = parts.host.live.start(parts.recipe, _START_FUEL)

        failure = parts.host.run(exchange, start)
        if failure is not None:
            raise GuestFailed(failure, fatal=False)
        assert self._live is not None
        self._requests = 0
        return self._live


def _whole(exchange: Exchange, failure: Failure | None) -> Response:
    """The answer, if it was complete before the guest ended, however it ended. Raises GuestFailed."""
    if exchange.answer is not None:
        return exchange.answer
    if exchange.error:
        flaw = f"the component answered with the error {exchange.error}"
    elif exchange.state == NO_RESPONSE:
        flaw = "the component set no response"
    else:
        flaw = "the component did not finish the response's body, or wrote more or less than its content-length"
    raise GuestFailed(failure or Failure(Reason.BAD_RESPONSE, flaw), fatal=False)
