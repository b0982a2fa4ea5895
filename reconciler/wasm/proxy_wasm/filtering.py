"""A proxy-wasm guest before an upstream: its request phase, then somebody else's answer, then its response phase.

Belongs here: what differs from a guest that answers by itself (instance.py). Does not: which filters a request passes
and who the upstream is (reconciler.host.filters).
"""

from dataclasses import replace

import wasmtime

from reconciler.core.observed import Failure
from reconciler.wasm.ffi.seam import GUEST_ERRORS
from reconciler.wasm.kind import CallContext, GuestFailed, Headers, Request, Response
from reconciler.wasm.proxy_wasm import abi
from reconciler.wasm.proxy_wasm.instance import ProxyWasmInstance, Runtime
from reconciler.wasm.proxy_wasm.state import GuestState
from reconciler.wasm.proxy_wasm.stream import Stream


class FilteredStream(Stream):
    """A request that goes on to an upstream, and the upstream's answer."""

    __slots__ = ("upstream",)

    def __init__(self, context: int, request: Request, call: CallContext) -> None:
        super().__init__(context, request, call)
        self.upstream = Response()

    def answered(self, response: Response) -> None:
        """The upstream answered."""
        self.upstream = response
        self.response_body = response.body
        self.maps[abi.RESPONSE_HEADERS] = self.maps[abi.RESPONSE_TRAILERS] = None

    def passed(self) -> Request:
        """The request as the guest left it."""
        request, pairs, trailers = self.request, self.maps[abi.REQUEST_HEADERS], self.maps[abi.REQUEST_TRAILERS]
        changes: dict[str, object] = {}
        body = request.body if self.request_body is request.body else bytes(self.request_body)
        headers = request.headers if pairs is None else [pair for pair in pairs if not pair[0].startswith(":")]
        if pairs is not None:
            pseudo = {key: value for key, value in pairs if key.startswith(":")}
            path, _, query = pseudo.get(":path", "/").partition("?")
            changes |= {"path": path if path.startswith("/") else f"/{path}", "query": query}
            changes["method"] = pseudo.get(":method", request.method)
            changes["authority"] = pseudo.get(":authority", request.authority)
        if len(body) != len(request.body):
            headers = _with_length(headers, len(body))
        if trailers is not None:
            changes["trailers"] = tuple(trailers)
        return replace(request, headers=headers, body=body, **changes)  # type: ignore[arg-type]

    def response(self) -> Response:
        """The upstream's answer as the guest left it."""
        answer = super().response()
        if self.maps[abi.RESPONSE_HEADERS] is None:
            answer.status, answer.headers = self.upstream.status, self.upstream.headers
        trailers = self.maps[abi.RESPONSE_TRAILERS]
        answer.trailers = self.upstream.trailers if trailers is None else tuple(trailers)
        return answer

    def shed(self) -> int:
        """Let go of the bodies, the upstream's too."""
        self.upstream = Response()
        return super().shed()

    def _make(self, kind: int) -> Headers:
        if kind == abi.RESPONSE_HEADERS:
            return [(":status", str(self.upstream.status)), *self.upstream.headers]
        return list(self.upstream.trailers) if kind == abi.RESPONSE_TRAILERS else super()._make(kind)


class ProxyWasmFilter(ProxyWasmInstance):
    """A guest that can stand before an upstream; see Filter."""

    __slots__ = ("_passing",)

    def __init__(self, runtime: Runtime, store: wasmtime.Store, state: GuestState) -> None:
        super().__init__(runtime, store, state)
        self._passing: FilteredStream | None = None

    def begin(self, request: Request, call: CallContext) -> Request | Response:
        """The request phase; see Filter."""
        state = self._state
        before = self.enter(call)
        try:
            self._end_passing()  # one whose end had no time left
            stream = FilteredStream(self._take_number(), request, call)
            state.contexts[stream.context] = stream
            state.stream = stream
            if self._runtime.callbacks.context_create >= 0:
                state.guest.call(self._runtime.callbacks.context_create, stream.context, abi.ROOT)
            self._request_phase(stream)
            answer = self._answer(stream)
            if isinstance(answer, Failure) or stream.local is not None:
                self._end(stream)
            else:
                self._passing = stream
            self.check()
        except GUEST_ERRORS as error:
            raise self._failed(error) from None
        finally:
            self.leave(before)
        if isinstance(answer, Failure):
            raise GuestFailed(answer, fatal=False)
        return stream.passed() if stream.local is None else answer

    def finish(self, response: Response, call: CallContext) -> Response:
        """The response phase; see Filter."""
        stream = self._passing
        assert stream is not None
        before = self.enter(call)
        try:
            self._passing = None
            stream.call = call
            stream.answered(response)
            self._upstream_phase(stream)
            answer = self._answer(stream)
            self._end(stream)
            self.check()
        except GUEST_ERRORS as error:
            raise self._failed(error) from None
        finally:
            self.leave(before)
        if isinstance(answer, Failure):
            raise GuestFailed(answer, fatal=False)
        return answer

    def drop(self, call: CallContext) -> None:
        """The request is over without an answer; see Filter."""
        before = self.enter(call)
        try:
            self._end_passing()
            self.check()
        except GUEST_ERRORS as error:
            raise self._failed(error) from None
        finally:
            self.leave(before)

    def _upstream_phase(self, stream: FilteredStream) -> None:
        """Headers, body, trailers of the upstream's answer; what is not there has no callback, as in Envoy."""
        callbacks = self._runtime.callbacks
        body, trailers = stream.response_body, stream.upstream.trailers
        if callbacks.response_headers >= 0:
            count, end = len(stream.map(abi.RESPONSE_HEADERS)), 0 if body or trailers else 1
            stream.response_paused = self._headers(stream, callbacks.response_headers, count, end)
            if stream.response_paused and not self._goes_on(stream):
                return
        if body and callbacks.response_body >= 0 and stream.local is None:
            stream.response_paused = self._step(stream, callbacks.response_body, len(body), 0 if trailers else 1)
            if stream.response_paused and not self._goes_on(stream):
                return
        if trailers and callbacks.response_trailers >= 0 and stream.local is None:
            stream.response_paused = self._step(stream, callbacks.response_trailers, len(trailers))
            self._goes_on(stream)

    def _end_passing(self) -> None:
        stream, self._passing = self._passing, None
        if stream is not None:
            self._end(stream)


def _with_length(headers: Headers, size: int) -> Headers:
    """The headers with a content-length, where there is one, that is true of a changed body."""
    return [(name, str(size) if name == "content-length" else value) for name, value in headers]
