"""A slot of a pool of components: a request runs in a store of its own, or in one that answers `pool.reuse` of them.

Nothing that a component does to itself outlives its store, so a slot is never spoilt and no failure here is fatal.
"""

import time
from dataclasses import dataclass
from typing import Any, Final

import wasmtime
import wasmtime.component as model

from reconciler.core.observed import Failure
from reconciler.core.revision import InstanceSpec
from reconciler.core.states import Reason
from reconciler.wasm.engine import CompiledModule, Engine
from reconciler.wasm.ffi.components import ComponentFfi, address_of
from reconciler.wasm.ffi.seam import GUEST_ERRORS
from reconciler.wasm.flow import CLIENT_GONE, Flow
from reconciler.wasm.kind import CallContext, GuestFailed, GuestServices, Request, Response
from reconciler.wasm.wasi_http.failures import component_failure
from reconciler.wasm.wasi_http.messages import IncomingRequest, OutgoingResponse, ResponseOutparam
from reconciler.wasm.wasi_http.printed import log_run
from reconciler.wasm.wasi_http.run import Current, Run
from reconciler.wasm.wasi_http.streams import Lender, Spool, Spools, Streams

_START_FUEL: Final = 1 << 62
"""Fuel for a start, which `limits.startTimeout` bounds."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What all slots of a pool share."""

    engine: Engine
    ffi: ComponentFfi
    current: Current
    check: object
    lender: Lender
    module: CompiledModule
    linker: model.Linker
    entry: model.ExportIndex
    spec: InstanceSpec
    services: GuestServices
    spools: Spools
    files: bool


class Guest:
    """A store with an instance. `requests` it has answered; `first` is the first number no resource of it has had."""

    __slots__ = ("first", "handler", "requests", "store", "streams")

    def __init__(self, store: wasmtime.Store, streams: Streams) -> None:
        self.store = store
        self.streams = streams
        self.handler: model.Func | None = None
        self.first = 1
        self.requests = 0


class ComponentSlot:
    """The right to run a component, for one request at a time; see Instance."""

    tick_period: float | None = None

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._guest: Guest | None = None

    def warm_up(self) -> None:
        """Instantiate the component. Raises GuestFailed."""
        parts = self._parts
        with parts.spools.lend() as spool:
            call = CallContext(time.monotonic() + parts.spec.limits.start_timeout)
            self._begin(Request(parts.spec.plugin), call, spool, _START_FUEL).streams.end()

    def tick(self, call: CallContext) -> None:
        """Between requests nothing runs."""

    def handle(self, request: Request, call: CallContext) -> Response:
        """Run the component for a request; see Instance."""
        parts = self._parts
        with parts.spools.lend() as spool:
            run = self._begin(request, call, spool, parts.spec.limits.fuel or _START_FUEL)
            failure: Failure | None = None
            try:
                failure = self._answer(run)
                return _response(run, failure)
            finally:
                late = failure if run.answer is not None else None
                log_run(run.services, call.request_id, run.streams.prints, late)
                self._end(run, spoilt=failure is not None or run.answer is None)

    def stream(self, request: Request, call: CallContext, flow: Flow) -> Response | None:
        """Run the component for a request whose bodies flow; see Streaming."""
        parts = self._parts
        try:
            run = self._begin(request, call, flow, parts.spec.limits.fuel or _START_FUEL)
        except GuestFailed:
            if flow.stopped is CLIENT_GONE:
                return None
            raise
        failure: Failure | None = None
        try:
            failure = self._answer(run)
            if flow.stopped is CLIENT_GONE:
                return None
            if flow.stopped is not None:
                raise GuestFailed(flow.stopped, fatal=False)
            if flow.settle():
                return _response(run, failure)
            _require_whole(run, failure)
            return None
        finally:
            late = failure if run.answer is not None else None
            log_run(run.services, call.request_id, run.streams.prints, late)
            self._end(run, spoilt=failure is not None or run.answer is None or flow.stopped is not None)

    def close(self) -> None:
        """Free what is held for the next request. Idempotent."""
        if self._guest is not None:
            self._guest.store.close()
            self._guest.streams.close()
            self._guest = None

    def _begin(self, request: Request, call: CallContext, spool: Spool | Flow, fuel: int) -> Run:
        """A run in a store, with an instance."""
        parts = self._parts
        guest = self._guest
        if guest is None:
            store = parts.engine.component_store(parts.module, parts.spec.limits)
            guest = self._guest = Guest(store, Streams(parts.lender, store, parts.spec, files=parts.files))
            parts.ffi.watch(store, parts.check)
        run = Run(parts.spec, parts.services, request, call, guest.streams, {}, guest.first)
        try:
            if isinstance(spool, Flow):
                run.flow = spool
                spool.start(call, parts.spec.limits, lambda: guest.streams.open(request.body, spool))
            else:
                guest.streams.open(request.body, spool)
            if parts.module.metered:
                guest.store.set_fuel(fuel)
        except OSError as error:
            self.close()
            raise GuestFailed(Failure(Reason.START_FAILED, str(error)), fatal=False) from None
        if guest.handler is None:
            failure = self._run(run, lambda: self._instantiate(guest))
            if failure is not None:
                self.close()
                raise GuestFailed(failure, fatal=False)
        return run

    def _instantiate(self, guest: Guest) -> None:
        parts = self._parts
        assert parts.module.component is not None
        instance = parts.linker.instantiate(guest.store, parts.module.component)
        guest.handler = instance.get_func(guest.store, parts.entry)

    def _answer(self, run: Run) -> Failure | None:
        """Call the handler. Why it did not return, where it did not."""
        guest, ffi = self._guest, self._parts.ffi
        assert guest is not None
        assert guest.handler is not None
        handler = guest.handler
        context = address_of(guest.store)
        request = ffi.values.own(context, run.give(IncomingRequest(run.request)))
        outparam = ffi.values.own(context, run.give(ResponseOutparam()))
        return self._run(run, lambda: ffi.call_void(guest.store, handler, request, outparam))

    def _run(self, run: Run, call: Any) -> Failure | None:
        """Let guest code run within the run's deadline."""
        parts, guest = self._parts, self._guest
        assert guest is not None
        current = parts.current
        before, current.run = current.run, run
        parts.engine.ticker.enter(run)
        try:
            guest.store.set_epoch_deadline(1)
            call()
        except GUEST_ERRORS as error:
            failure = component_failure(error)
            return run.stopped or failure
        finally:
            parts.engine.ticker.leave(run)
            current.run = before
        return None

    def _end(self, run: Run, *, spoilt: bool) -> None:
        """The run is over: its store goes on to the next request or is freed."""
        guest = self._guest
        if guest is None:
            return
        guest.first = run.first
        guest.streams.end()
        guest.requests += 1
        if spoilt or guest.requests >= self._parts.spec.reuse:
            self.close()


def _response(run: Run, failure: Failure | None) -> Response:
    """The answer, if it was complete before the guest ended, however it ended. Raises GuestFailed."""
    answer = _require_whole(run, failure)
    headers, body = answer.headers.headers(), answer.body
    if body is None:
        return Response(answer.status, headers)
    return Response(answer.status, headers, body.data(), body.trailers.headers() if body.trailers else ())


def _require_whole(run: Run, failure: Failure | None) -> OutgoingResponse:
    """The answer, which must be whole. Raises GuestFailed."""
    answer = run.answer
    if not isinstance(answer, OutgoingResponse):
        flaw = f"the component answered with the error {run.error}" if run.error else "the component set no response"
        raise GuestFailed(failure or Failure(Reason.BAD_RESPONSE, flaw), fatal=False)
    body = answer.body
    if body is None:
        return answer
    most = run.spec.limits.response_bytes
    if body.size is None:
        flaw = "the component did not finish the response's body, or wrote more or less than its content-length"
        raise GuestFailed(failure or Failure(Reason.BAD_RESPONSE, flaw), fatal=False)
    if body.size > most:
        flaw = f"the response's body is larger than limits.responseBytes ({most})"
        raise GuestFailed(Failure(Reason.BAD_RESPONSE, flaw), fatal=False)
    return answer
