"""One running proxy-wasm guest: the order in which it is called for a request, a timer, an answer it waited for."""

import time
from typing import Final, Protocol

import wasmtime

from reconciler.core.observed import Failure
from reconciler.core.states import Reason
from reconciler.wasm.egress import HttpClient
from reconciler.wasm.failures import failure_of
from reconciler.wasm.ffi.seam import GUEST_ERRORS, GuestError
from reconciler.wasm.kind import CallContext, GuestFailed, Request, Response
from reconciler.wasm.proxy_wasm import abi, http_calls
from reconciler.wasm.proxy_wasm.callbacks import Callbacks
from reconciler.wasm.proxy_wasm.state import CallResult, Current, GuestState
from reconciler.wasm.proxy_wasm.stream import Stream
from reconciler.wasm.ticker import EpochTicker

_QUEUE_PERIOD: Final = 0.1
"""Seconds between two looks at the shared queues that the guest registered."""
_MOST_ANNOUNCEMENTS: Final = 64
_MOST_WAITING: Final = 1024
_MOST_HELD: Final = 1 << 20
"""Contexts whose proxy_on_done answered false and that never said proxy_done: how many, and how many bytes of headers
and properties they hold. Beyond, the oldest is deleted."""


class Runtime(Protocol):
    """What instances of one prepared guest share, as far as they use it."""

    callbacks: Callbacks
    current: Current
    ticker: EpochTicker
    watched: bool
    """Whether a guest that reaches its deadline is asked about first (Ffi.watch)."""
    client: HttpClient
    layotto: bool
    fuel: int | None


class ProxyWasmInstance:
    """A guest that answers requests. One thread at a time; see Instance."""

    __slots__ = ("_closed", "_held", "_next", "_runtime", "_state", "_store", "tick_period")

    def __init__(self, runtime: Runtime, store: wasmtime.Store, state: GuestState) -> None:
        self._runtime = runtime
        self._store = store
        self._state = state
        self._next = abi.ROOT + 1
        self._closed = False
        self._held = 0
        self.tick_period: float | None = None

    def handle(self, request: Request, call: CallContext) -> Response:
        """Answer one request; see Instance."""
        state = self._state
        context = self._take_number()
        stream = Stream(context, request, call)
        before = self.enter(call)
        try:
            state.contexts[context] = stream
            state.stream = stream
            answer = self._function(stream) if self._runtime.layotto else self._filter(stream)
            self._end(stream)
            self.check()
        except GUEST_ERRORS as error:
            raise self._failed(error) from None
        finally:
            self.leave(before)
        if isinstance(answer, Failure):
            raise GuestFailed(answer, fatal=False)
        return answer

    def tick(self, call: CallContext) -> None:
        """Let the guest do its timer work and look at its queues; see Instance."""
        state, callbacks = self._state, self._runtime.callbacks
        before = self.enter(call)
        try:
            now = time.monotonic()
            if state.tick_period and now >= state.tick_due and callbacks.tick >= 0:
                state.tick_due = now + state.tick_period
                state.guest.call(callbacks.tick, abi.ROOT)
            if callbacks.queue_ready >= 0:
                self._announce()
            self.settle()
            self.check()
        except GUEST_ERRORS as error:
            raise self._failed(error) from None
        finally:
            self.leave(before)

    def check(self) -> None:
        """Raise GuestFailed where the guest's allocator failed: its memory is not to be trusted any more."""
        if self._state.spoilt is not None:
            raise GuestFailed(self._state.spoilt)

    def _take_number(self) -> int:
        """The next request's context id."""
        context = self._next
        self._next = context + 1 if context < 0x7FFFFFFF else abi.ROOT + 1
        return context

    def _end(self, stream: Stream) -> None:
        """Make the calls that nobody waited for, and tell the guest that the request is over."""
        if self._state.pending:
            self._make_calls(stream, until_resumed=False)
        self._finish(stream)

    def _failed(self, error: GuestError) -> GuestFailed:
        failure = failure_of(error)
        return GuestFailed(self._state.spoilt or failure)

    def close(self) -> None:
        """Free it. Idempotent."""
        self._closed = True
        self._store.close()

    def enter(self, call: CallContext) -> GuestState:
        """Make it the running guest of this thread, within the call's deadline. What was running before."""
        runtime, state = self._runtime, self._state
        if self._closed:
            raise GuestFailed(Failure(Reason.INTERNAL, "the instance is closed"))
        if call.deadline <= time.monotonic() and not call.brief:  # one that has hardly begun cannot have lasted
            raise GuestFailed(Failure(Reason.DEADLINE_EXCEEDED, "no time was left for the guest"), fatal=False)
        if runtime.fuel is not None:
            self._store.set_fuel(runtime.fuel)
        state.call = call
        ticker, guest = runtime.ticker, state.guest
        ticker.enter(self)
        epoch = ticker.epoch
        due = epoch + 1 if call.brief and runtime.watched else ticker.due(call.deadline)
        if due != guest.due:
            guest.set_deadline(max(due - epoch, 0))
            guest.due = due
        current = runtime.current
        before = current.state
        current.state = state
        return before

    def leave(self, before: GuestState) -> None:
        """The guest no longer runs."""
        state = self._state
        self._runtime.current.state = before
        self._runtime.ticker.leave(self)
        state.call = None
        state.stream = None
        if state.tick_period or state.queues or self.tick_period:
            wanted = [_QUEUE_PERIOD] if state.queues and self._runtime.callbacks.queue_ready >= 0 else []
            if state.tick_period and self._runtime.callbacks.tick >= 0:
                wanted.append(state.tick_period)
            self.tick_period = min(wanted, default=None)

    def settle(self) -> None:
        """Make the calls that a callback of the root context dispatched; delete the contexts it declared done."""
        if self._state.pending:
            self._make_calls(None, until_resumed=False)
        self._delete_done()

    def _function(self, stream: Stream) -> Response | Failure:
        """Layotto's way: the body, or else the query string, in; the response buffer out."""
        callbacks, guest = self._runtime.callbacks, self._state.guest
        request = stream.request
        if not request.body and request.query:
            stream.request_body = request.query.encode("latin-1", "replace")
        if callbacks.context_create >= 0:
            guest.call(callbacks.context_create, stream.context, abi.ROOT)
        self._request_phase(stream)
        if stream.request_paused and stream.response_body:
            # Layotto's host ignores the action: a function that wrote its answer has answered.
            stream.request_paused = False
        return self._answer(stream)

    def _filter(self, stream: Stream) -> Response | Failure:
        """The request phase, an empty 200 as the upstream's answer, the response phase."""
        callbacks, guest = self._runtime.callbacks, self._state.guest
        if callbacks.context_create >= 0:
            guest.call(callbacks.context_create, stream.context, abi.ROOT)
        self._request_phase(stream)
        if stream.local is None and not stream.closed and not stream.request_paused:
            self._response_phase(stream)
        return self._answer(stream)

    def _request_phase(self, stream: Stream) -> None:
        """Headers, body, trailers. A guest that paused on headers still gets the rest, and may resume there."""
        callbacks = self._runtime.callbacks
        body = stream.request_body
        trailers = stream.request.trailers
        if callbacks.request_headers >= 0:
            end = 0 if body or trailers else 1
            stream.request_paused = self._headers(stream, callbacks.request_headers, stream.header_count(), end)
            if stream.request_paused and not self._goes_on(stream):
                return
        if body and callbacks.request_body >= 0 and stream.local is None:
            size = len(stream.request_body)
            stream.request_paused = self._step(stream, callbacks.request_body, size, 0 if trailers else 1)
            if stream.request_paused and not self._goes_on(stream):
                return
        if trailers and callbacks.request_trailers >= 0 and stream.local is None:
            stream.request_paused = self._step(stream, callbacks.request_trailers, len(trailers))
            self._goes_on(stream)

    def _response_phase(self, stream: Stream) -> None:
        """Headers and body. The body callback comes even for an empty body, so that a guest can write one."""
        callbacks = self._runtime.callbacks
        if callbacks.response_headers >= 0:
            count = len(stream.map(abi.RESPONSE_HEADERS))
            stream.response_paused = self._headers(stream, callbacks.response_headers, count, 0)
            if stream.response_paused and not self._goes_on(stream):
                return
        if callbacks.response_body >= 0 and stream.local is None:
            size = len(stream.response_body)
            stream.response_paused = self._step(stream, callbacks.response_body, size, 1)
            self._goes_on(stream)

    def _headers(self, stream: Stream, callback: int, count: int, end: int) -> bool:
        state = self._state
        state.stream = stream
        if callback in self._runtime.callbacks.without_end:
            return state.guest.call(callback, stream.context, count) == abi.PAUSE
        return state.guest.call(callback, stream.context, count, end) == abi.PAUSE

    def _step(self, stream: Stream, callback: int, *values: int) -> bool:
        """Call back for a stream; whether the guest paused it."""
        state = self._state
        state.stream = stream
        return state.guest.call(callback, stream.context, *values) == abi.PAUSE

    def _goes_on(self, stream: Stream) -> bool:
        """Make the calls that a paused guest waits for; whether there is anything left to do for the stream."""
        if self._state.pending:
            self._make_calls(stream, until_resumed=True)
        return stream.local is None and not stream.closed

    def _make_calls(self, stream: Stream | None, *, until_resumed: bool) -> None:
        """Make dispatched calls one after the other and tell the guest of each, those it then dispatches too."""
        state = self._state
        pending, call = state.pending, state.call
        while pending and call is not None:
            item = pending.pop(0)
            result = http_calls.perform(self._runtime.client, item, state.facts, call.deadline)
            self._tell(item.number, result)
            if until_resumed and stream is not None and not stream.waiting:
                return

    def _tell(self, number: int, result: CallResult) -> None:
        """Tell the guest of an answer. The root context is called; SDKs know by the number whom it is for."""
        state, callback = self._state, self._runtime.callbacks.http_call_response
        if callback >= 0:
            state.result = result
            state.stream = None
            sizes = len(result.headers), len(result.body), len(result.trailers)
            state.guest.call(callback, abi.ROOT, number, *sizes)
            state.result = None

    def _answer(self, stream: Stream) -> Response | Failure:
        if stream.overflow:
            most = self._state.facts.spec.limits.response_bytes
            return Failure(Reason.BAD_RESPONSE, f"the guest wrote more than limits.responseBytes ({most})")
        if stream.local is not None:
            return stream.local
        if stream.closed:
            return Failure(Reason.BAD_RESPONSE, "the guest closed the stream without an answer")
        if stream.request_paused or stream.response_paused:
            return Failure(Reason.BAD_RESPONSE, "the guest paused the request, and nothing is pending that resumes it")
        return stream.response()

    def _finish(self, stream: Stream) -> None:
        """Tell the guest that the request is over; delete its context, unless the guest still needs it."""
        state, done = self._state, self._runtime.callbacks.done
        state.stream = stream
        if done >= 0 and not state.guest.call(done, stream.context):
            self._hold(stream)
        else:
            self._delete(stream)
        if state.done:
            self._delete_done()

    def _hold(self, stream: Stream) -> None:
        """Keep a context that the guest still needs, as long as there is room."""
        contexts = self._state.contexts
        stream.waits = True
        stream.held = stream.shed()
        self._held += stream.held
        while len(contexts) > _MOST_WAITING or self._held > _MOST_HELD:
            self._delete(next(iter(contexts.values())))

    def _delete_done(self) -> None:
        state = self._state
        while state.done:
            self._delete(state.done.pop())

    def _delete(self, stream: Stream) -> None:
        state, callbacks = self._state, self._runtime.callbacks
        state.stream = stream
        stream.waits = False
        if callbacks.log >= 0:
            state.guest.call(callbacks.log, stream.context)
        if callbacks.delete >= 0:
            state.guest.call(callbacks.delete, stream.context)
        self._held -= stream.held
        del state.contexts[stream.context]

    def _announce(self) -> None:
        """Tell the guest of items in the queues that it registered."""
        state = self._state
        for number in tuple(state.queues or ()):
            for _ in range(state.facts.space.announcements(number, _MOST_ANNOUNCEMENTS)):
                state.stream = None
                state.guest.call(self._runtime.callbacks.queue_ready, abi.ROOT, number)
