"""Host functions about the request and its answer: bodies, headers and trailers, local responses, pausing."""

from collections.abc import Iterable
from typing import Final

from reconciler.wasm.kind import Headers, Response
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


_UNKNOWN_MAP: Final = abi.BAD_ARGUMENT


class MapCalls(HostCallGroup):
    """Headers and trailers."""

    def calls(self) -> Iterable[HostCall]:
        """The functions of the group."""
        return (
            HostCall("proxy_get_header_map_size", "ii", self.size),
            HostCall("proxy_get_header_map_pairs", "iii", self.pairs),
            HostCall("proxy_set_header_map_pairs", "iii", self.set_pairs),
            HostCall("proxy_get_header_map_value", "iiiii", self.value),
            HostCall("proxy_add_header_map_value", "iiiii", self.add),
            HostCall("proxy_replace_header_map_value", "iiiii", self.replace),
            HostCall("proxy_remove_header_map_value", "iii", self.remove),
        )

    def size(self, kind: int, size_at: int) -> int:
        """How many bytes the serialised map has."""
        state = self._current.state
        found = _map(state, kind)
        if found is None:
            return abi.NOT_FOUND if kind < abi.MAPS else _UNKNOWN_MAP
        state.memory.write_u32(size_at, wire.encoded_size(found))
        return abi.OK

    def pairs(self, kind: int, address_at: int, size_at: int) -> int:
        """The whole map, serialised."""
        state = self._current.state
        found = _map(state, kind)
        if found is None:
            return abi.NOT_FOUND if kind < abi.MAPS else _UNKNOWN_MAP
        return state.give(wire.encode_pairs(found), address_at, size_at)

    def set_pairs(self, kind: int, address: int, size: int) -> int:
        """Replace the whole map."""
        state = self._current.state
        data = state.memory.read(address, min(size, wire.MAX_BYTES + 1))
        found = _changeable(state, kind)
        if found is None:
            return _UNKNOWN_MAP
        try:
            found[:] = wire.decode_pairs(data)
        except ValueError:
            return abi.PARSE_FAILURE
        return abi.OK

    def value(self, kind: int, key: int, key_size: int, address_at: int, size_at: int) -> int:
        """The values of one key, joined with a comma where there are several, as Envoy does."""
        state = self._current.state
        name = _text(state, key, key_size).lower()
        found = _map(state, kind)
        if found is None:
            return abi.NOT_FOUND if kind < abi.MAPS else _UNKNOWN_MAP
        values = [value for key_there, value in found if key_there == name]
        if not values:
            return abi.NOT_FOUND
        return state.give(",".join(values).encode("latin-1", "replace"), address_at, size_at)

    def add(self, kind: int, key: int, key_size: int, value: int, value_size: int) -> int:
        """Add a key with a value."""
        state = self._current.state
        pair = (_text(state, key, key_size).lower(), _text(state, value, value_size))
        found = _changeable(state, kind)
        if found is None:
            return _UNKNOWN_MAP
        if len(found) >= wire.MAX_PAIRS:
            return abi.INTERNAL_FAILURE
        found.append(pair)
        return abi.OK

    def replace(self, kind: int, key: int, key_size: int, value: int, value_size: int) -> int:
        """Give a key one value, at its first place; add it where there is none."""
        state = self._current.state
        name, text = _text(state, key, key_size).lower(), _text(state, value, value_size)
        found = _changeable(state, kind)
        if found is None:
            return _UNKNOWN_MAP
        places = [index for index, pair in enumerate(found) if pair[0] == name]
        if places:
            found[places[0]] = (name, text)
            for index in reversed(places[1:]):
                del found[index]
            return abi.OK
        if len(found) >= wire.MAX_PAIRS:
            return abi.INTERNAL_FAILURE
        found.append((name, text))
        return abi.OK

    def remove(self, kind: int, key: int, key_size: int) -> int:
        """Remove a key with all its values."""
        state = self._current.state
        name = _text(state, key, key_size).lower()
        found = _changeable(state, kind)
        if found is None:
            return _UNKNOWN_MAP
        found[:] = [pair for pair in found if pair[0] != name]
        return abi.OK


def _text(state: GuestState, address: int, size: int) -> str:
    return state.memory.read(address, size).decode("latin-1")


def _map(state: GuestState, kind: int) -> Headers | None:
    if kind <= abi.RESPONSE_TRAILERS:
        return None if state.stream is None else state.stream.map(kind)
    if state.result is not None and kind == abi.HTTP_CALL_HEADERS:
        return state.result.headers
    return state.result.trailers if state.result is not None and kind == abi.HTTP_CALL_TRAILERS else None


def _changeable(state: GuestState, kind: int) -> Headers | None:
    return state.stream.map(kind) if state.stream is not None and kind <= abi.RESPONSE_TRAILERS else None


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
