"""Host functions about the request and its answer: bodies, local responses, pausing."""

from collections.abc import Iterable

from reconciler.wasm.kind import Response
from reconciler.wasm.proxy_wasm import abi, wire
from reconciler.wasm.proxy_wasm.hostcalls import HostCall, HostCallGroup
from reconciler.wasm.proxy_wasm.state import MAX_CALL_DATA, GuestState
from reconciler.wasm.proxy_wasm.stream import Body


class BufferCalls(HostCallGroup):
    """Bodies, configurations and Layotto's call data."""

    def calls(self) -> Iterable[HostCall]:
        """The functions of the group."""
        return (
            HostCall("proxy_get_buffer_bytes", "iiiii", self.get),
            HostCall("proxy_set_buffer_bytes", "iiiii", self.set),
            HostCall("proxy_get_buffer_status", "iii", self.status),
            HostCall("proxy_get_configuration", "ii", self.configuration),
        )

    def get(self, kind: int, start: int, length: int, address_at: int, size_at: int) -> int:
        """Up to `length` bytes from `start`, in memory that the guest then owns."""
        state = self._current.state
        buffer = _buffer(state, kind)
        if buffer is None:
            return abi.NOT_FOUND if kind < abi.BUFFERS else abi.BAD_ARGUMENT
        if start or length < len(buffer):
            if start > len(buffer) or start + length > 0xFFFFFFFF:
                return abi.BAD_ARGUMENT
            buffer = buffer[start : start + length]
        return state.give(buffer, address_at, size_at)

    def set(self, kind: int, start: int, length: int, address: int, size: int) -> int:
        """Replace `length` bytes from `start`: 0, 0 prepends; a start at or beyond the end appends.

        Layotto's host takes any write at 0 into an empty buffer as a replacement, which is the same thing.
        """
        state = self._current.state
        data = state.memory.read(address, size)
        stream = state.stream
        if kind == abi.CALL_DATA:
            if size > MAX_CALL_DATA:
                return abi.BAD_ARGUMENT
            state.call_data = _splice(state.call_data, start, length, data)
            return abi.OK
        if stream is None or kind > abi.RESPONSE_BODY:
            return abi.NOT_FOUND if kind < abi.BUFFERS else abi.BAD_ARGUMENT
        old = stream.request_body if kind == abi.REQUEST_BODY else stream.response_body
        if len(old) + size > state.facts.spec.limits.response_bytes and _length(old, start, length, size) > (
            state.facts.spec.limits.response_bytes
        ):
            stream.overflow = True
            return abi.INTERNAL_FAILURE
        new = _splice(old, start, length, data)
        if kind == abi.REQUEST_BODY:
            stream.request_body = new
        else:
            stream.response_body = new
        return abi.OK

    def status(self, kind: int, size_at: int, unused_at: int) -> int:
        """The size of a buffer."""
        state = self._current.state
        buffer = _buffer(state, kind)
        if buffer is None:
            return abi.NOT_FOUND if kind < abi.BUFFERS else abi.BAD_ARGUMENT
        state.memory.write_u32(size_at, len(buffer))
        state.memory.write_u32(unused_at, 0)
        return abi.OK

    def configuration(self, address_at: int, size_at: int) -> int:
        """The VM's or the plugin's configuration, by the callback that asks (0.1.0 only)."""
        state = self._current.state
        return state.give(b"" if state.starting_vm else state.facts.configuration, address_at, size_at)


def _buffer(state: GuestState, kind: int) -> Body | None:
    if kind <= abi.RESPONSE_BODY:
        stream = state.stream
        if stream is None:
            return None
        return stream.request_body if kind == abi.REQUEST_BODY else stream.response_body
    if kind == abi.HTTP_CALL_BODY:
        return None if state.result is None else state.result.body
    if kind == abi.PLUGIN_CONFIGURATION:
        return state.facts.configuration
    if kind == abi.VM_CONFIGURATION:
        return b""
    return state.call_data if kind == abi.CALL_DATA else None


def _splice(old: Body, start: int, length: int, data: bytes) -> Body:
    """The buffer with `length` bytes from `start` replaced. Appending is cheap however often it is done."""
    if not old or (start == 0 and length >= len(old)):
        return data
    if start < len(old):
        return b"".join((old[:start], data, old[start + length :]))
    grown = old if isinstance(old, bytearray) else bytearray(old)
    grown += data
    return grown


def _length(old: Body, start: int, length: int, size: int) -> int:
    """How long the spliced buffer would be."""
    return size + min(start, len(old)) + max(0, len(old) - start - length)


class FlowCalls(HostCallGroup):
    """Local responses; going on with a paused stream; ending one.

    `proxy_send_http_response`, `proxy_resume_http_*` and `proxy_resume_*stream` are what MOSN's fork calls them.
    """

    def calls(self) -> Iterable[HostCall]:
        """The functions of the group."""
        return (
            HostCall("proxy_send_local_response", "iiiiiiii", self.respond),
            HostCall("proxy_send_http_response", "iiiiiiii", self.respond),
            HostCall("proxy_continue_stream", "i", self.resume),
            HostCall("proxy_close_stream", "i", self.close),
            HostCall("proxy_continue_request", "", self.resume_request),
            HostCall("proxy_continue_response", "", self.resume_response),
            HostCall("proxy_resume_http_request", "", self.resume_request),
            HostCall("proxy_resume_http_response", "", self.resume_response),
            HostCall("proxy_resume_downstream", "", self.unimplemented),
            HostCall("proxy_resume_upstream", "", self.unimplemented),
            HostCall("proxy_clear_route_cache", "", self.nothing),
        )

    def respond(
        self,
        status: int,
        _details: int,
        _details_size: int,
        body: int,
        body_size: int,
        headers: int,
        headers_size: int,
        _grpc: int,
    ) -> int:
        """Answer the request here and now; the upstream is not asked."""
        state = self._current.state
        data = state.memory.read(body, body_size)
        pairs = state.memory.read(headers, headers_size)
        stream = state.stream
        if stream is None or stream.local is not None:
            return abi.BAD_ARGUMENT
        if body_size > state.facts.spec.limits.response_bytes:
            stream.overflow = True
            return abi.INTERNAL_FAILURE
        try:
            decoded = wire.decode_pairs(pairs)
        except ValueError:
            return abi.PARSE_FAILURE
        if not 200 <= status <= 599:
            return abi.BAD_ARGUMENT
        stream.local = Response(status, [pair for pair in decoded if not pair[0].startswith(":")], data)
        return abi.OK

    def resume(self, kind: int) -> int:
        """Go on with a paused request or response."""
        if kind == abi.STREAM_REQUEST:
            return self.resume_request()
        if kind == abi.STREAM_RESPONSE:
            return self.resume_response()
        return abi.UNIMPLEMENTED if kind < abi.STREAMS else abi.BAD_ARGUMENT

    def close(self, kind: int) -> int:
        """Reset the stream: its request ends without an answer."""
        if kind >= abi.STREAMS:
            return abi.BAD_ARGUMENT
        stream = self._current.state.stream
        if stream is not None and kind <= abi.STREAM_RESPONSE:
            stream.closed = True
        return abi.OK

    def resume_request(self) -> int:
        """Go on with a paused request."""
        stream = self._current.state.stream
        if stream is not None:
            stream.request_paused = False
        return abi.OK

    def resume_response(self) -> int:
        """Go on with a paused response."""
        stream = self._current.state.stream
        if stream is not None:
            stream.response_paused = False
        return abi.OK

    def unimplemented(self) -> int:
        """There are no raw TCP streams here."""
        return abi.UNIMPLEMENTED

    def nothing(self) -> int:
        """Routes are not cached."""
        return abi.OK
