"""Host functions that reach outside the plugin: HTTP calls, gRPC (not offered), Layotto's state and services."""

from collections.abc import Iterable
from typing import Final

from reconciler.state.errors import StoreUnavailable
from reconciler.wasm.kind import GuestFailed, Request
from reconciler.wasm.proxy_wasm import abi, http_calls, wire
from reconciler.wasm.proxy_wasm.hostcalls import HostCall, HostCallGroup
from reconciler.wasm.proxy_wasm.state import MAX_NAME, GuestState

_MAX_PENDING: Final = 16
"""HTTP calls that one callback may dispatch."""


class HttpCalls(HostCallGroup):
    """HTTP calls: noted here, made when the callback has returned (http_calls.py)."""

    def calls(self) -> Iterable[HostCall]:
        """The functions of the group."""
        return (
            HostCall("proxy_http_call", "iiiiiiiiii", self.dispatch),
            HostCall("proxy_dispatch_http_call", "iiiiiiiiii", self.dispatch),
        )

    def dispatch(  # noqa: PLR0913, PLR0917 - the ABI's parameters
        self,
        upstream: int,
        upstream_size: int,
        headers: int,
        headers_size: int,
        body: int,
        body_size: int,
        trailers: int,
        trailers_size: int,
        milliseconds: int,
        number_at: int,
    ) -> int:
        """Note a call to a host that the plugin's capabilities allow."""
        state = self._current.state
        memory = state.memory
        memory.check(number_at, 4)
        if upstream_size > MAX_NAME or max(headers_size, trailers_size) > wire.MAX_BYTES:
            return abi.BAD_ARGUMENT
        if state.pending is not None and len(state.pending) >= _MAX_PENDING:
            return abi.INTERNAL_FAILURE
        if body_size + http_calls.held(state) > state.facts.spec.limits.response_bytes:
            return abi.INTERNAL_FAILURE
        target = memory.read(upstream, upstream_size).decode("latin-1")
        data = memory.read(body, body_size)
        try:
            fields = wire.decode_pairs(memory.read(headers, headers_size))
            last = wire.decode_pairs(memory.read(trailers, trailers_size))
        except ValueError:
            return abi.BAD_ARGUMENT
        request = http_calls.build_request(state.facts, target, fields, data, last)
        if request is None:
            return abi.BAD_ARGUMENT
        memory.write_u32(number_at, http_calls.note(state, request, milliseconds / 1000))
        return abi.OK


class GrpcCalls(HostCallGroup):
    """gRPC calls answer UNIMPLEMENTED: no SDK needs them and HTTP/2 is not offered here."""

    def calls(self) -> Iterable[HostCall]:
        """The functions of the group, under the names of the specification and of MOSN's fork."""
        names = {
            "proxy_grpc_call": 12,
            "proxy_grpc_stream": 9,
            "proxy_grpc_send": 4,
            "proxy_grpc_cancel": 1,
            "proxy_grpc_close": 1,
            "proxy_dispatch_grpc_call": 12,
            "proxy_open_grpc_stream": 9,
            "proxy_send_grpc_call_message": 4,
            "proxy_cancel_grpc_call": 1,
            "proxy_close_grpc_call": 1,
        }
        return tuple(HostCall(name, "i" * count, self.unimplemented) for name, count in names.items())

    def unimplemented(self, *_values: int) -> int:
        """Not offered."""
        return abi.UNIMPLEMENTED


class LayottoCalls(HostCallGroup):
    """What Layotto adds: a key of a state store, a call of another function."""

    def calls(self) -> Iterable[HostCall]:
        """The functions of the group."""
        return (
            HostCall("proxy_get_state", "iiiiii", self.get_state),
            HostCall("proxy_invoke_service", "iiiiiiii", self.invoke),
        )

    def get_state(self, store: int, store_size: int, key: int, key_size: int, address_at: int, size_at: int) -> int:
        """A key's value; nothing for a key that is not there. A store that is not there is an INTERNAL_FAILURE."""
        state = self._current.state
        if store_size > MAX_NAME or key_size > MAX_NAME:
            return abi.BAD_ARGUMENT
        read = state.memory.read
        name, wanted = (
            read(store, store_size).decode("utf-8", "replace"),
            read(key, key_size).decode("utf-8", "replace"),
        )
        found = state.facts.services.store(name)
        if found is None:
            state.log(abi.ERROR, f"proxy_get_state: there is no store {name!r} for this plugin".encode())
            return abi.INTERNAL_FAILURE
        if found.waits and not state.may_act():
            return abi.INTERNAL_FAILURE
        try:
            value = found.get(wanted)
        except StoreUnavailable as error:
            state.log(abi.ERROR, f"proxy_get_state: {error}".encode())
            return abi.INTERNAL_FAILURE
        return _give_owned(state, value or b"", address_at, size_at)

    def invoke(  # noqa: PLR0913, PLR0917 - the ABI's parameters
        self,
        route: int,
        route_size: int,
        method: int,
        method_size: int,
        param: int,
        param_size: int,
        address_at: int,
        size_at: int,
    ) -> int:
        """Call another plugin by route. Anything but a 200 is an INTERNAL_FAILURE.

        As Layotto does it: a GET with the method's name as path, the parameter as body, and header `id` for the route.
        """
        state = self._current.state
        memory = state.memory
        if max(route_size, method_size) > MAX_NAME or param_size > state.facts.spec.limits.response_bytes:
            return abi.BAD_ARGUMENT
        name = memory.read(route, route_size).decode("utf-8", "replace")
        path = memory.read(method, method_size).decode("latin-1")
        call = state.call
        if call is None:
            return abi.INTERNAL_FAILURE
        request = Request(
            route=name,
            path=path if path.startswith("/") else f"/{path}",
            headers=[("id", name)],
            body=memory.read(param, param_size),
            authority="localhost",
            request_id=call.request_id,
        )
        try:
            response = state.facts.services.invoke(request, call)
        except GuestFailed as error:
            state.log(abi.ERROR, f"proxy_invoke_service {name!r}: {error}".encode())
            return abi.INTERNAL_FAILURE
        if response.status != 200:
            state.log(abi.ERROR, f"proxy_invoke_service {name!r}: status {response.status}".encode())
            return abi.INTERNAL_FAILURE
        return _give_owned(state, response.body, address_at, size_at)


def _give_owned(state: GuestState, data: bytes, address_at: int, size_at: int) -> int:
    """As GuestState.give, but even nothing is allocated: Layotto's SDKs take a null pointer for a failure."""
    if data:
        return state.give(data, address_at, size_at)
    address = state.allocate(0)
    state.memory.write_u32(address_at, address)
    state.memory.write_u32(size_at, 0)
    return abi.OK
