"""Host functions about headers and trailers."""

from collections.abc import Iterable
from typing import Final

from reconciler.wasm.kind import Headers
from reconciler.wasm.proxy_wasm import abi, wire
from reconciler.wasm.proxy_wasm.hostcalls import HostCall, HostCallGroup
from reconciler.wasm.proxy_wasm.state import GuestState

_SMALL: Final = 1024
_FEW: Final = 32
"""A pair of so many bytes is added to a map of fewer pairs than that without counting what the map holds."""


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
            return abi.NOT_FOUND if kind < abi.MAPS else abi.BAD_ARGUMENT
        state.memory.write_u32(size_at, wire.encoded_size(found))
        return abi.OK

    def pairs(self, kind: int, address_at: int, size_at: int) -> int:
        """The whole map, serialised."""
        state = self._current.state
        found = _map(state, kind)
        if found is None:
            return abi.NOT_FOUND if kind < abi.MAPS else abi.BAD_ARGUMENT
        return state.give(wire.encode_pairs(found), address_at, size_at)

    def set_pairs(self, kind: int, address: int, size: int) -> int:
        """Replace the whole map."""
        state = self._current.state
        data = state.memory.read(address, min(size, wire.MAX_BYTES + 1))
        found = _changeable(state, kind)
        if found is None:
            return abi.BAD_ARGUMENT
        try:
            found[:] = wire.decode_pairs(data)
        except ValueError:
            return abi.PARSE_FAILURE
        return abi.OK

    def value(self, kind: int, key: int, key_size: int, address_at: int, size_at: int) -> int:
        """The values of one key, joined with a comma where there are several, as Envoy does."""
        state = self._current.state
        if key_size > wire.MAX_BYTES:
            return abi.BAD_ARGUMENT
        name = _text(state, key, key_size).lower()
        found = _map(state, kind)
        if found is None:
            return abi.NOT_FOUND if kind < abi.MAPS else abi.BAD_ARGUMENT
        values = [value for key_there, value in found if key_there == name]
        if not values:
            return abi.NOT_FOUND
        return state.give(",".join(values).encode("latin-1", "replace"), address_at, size_at)

    def add(self, kind: int, key: int, key_size: int, value: int, value_size: int) -> int:
        """Add a key with a value."""
        state = self._current.state
        if key_size + value_size > wire.MAX_BYTES:
            return abi.BAD_ARGUMENT
        read = state.memory.read
        pair = (read(key, key_size).decode("latin-1").lower(), read(value, value_size).decode("latin-1"))
        found = _changeable(state, kind)
        if found is None:
            return abi.BAD_ARGUMENT
        if _is_full(found, key_size + value_size):
            return abi.INTERNAL_FAILURE
        found.append(pair)
        return abi.OK

    def replace(self, kind: int, key: int, key_size: int, value: int, value_size: int) -> int:
        """Give a key one value, at its first place; add it where there is none."""
        state = self._current.state
        if key_size + value_size > wire.MAX_BYTES:
            return abi.BAD_ARGUMENT
        name, text = _text(state, key, key_size).lower(), _text(state, value, value_size)
        found = _changeable(state, kind)
        if found is None:
            return abi.BAD_ARGUMENT
        places = [index for index, pair in enumerate(found) if pair[0] == name]
        if _is_full(found, key_size + value_size, pairs=0 if places else 1):
            return abi.INTERNAL_FAILURE
        if places:
            found[places[0]] = (name, text)
            for index in reversed(places[1:]):
                del found[index]
            return abi.OK
        found.append((name, text))
        return abi.OK

    def remove(self, kind: int, key: int, key_size: int) -> int:
        """Remove a key with all its values."""
        state = self._current.state
        if key_size > wire.MAX_BYTES:
            return abi.BAD_ARGUMENT
        name = _text(state, key, key_size).lower()
        found = _changeable(state, kind)
        if found is None:
            return abi.BAD_ARGUMENT
        found[:] = [pair for pair in found if pair[0] != name]
        return abi.OK


def _is_full(found: Headers, size: int, *, pairs: int = 1) -> bool:
    """Whether a map has no room for some more pairs with `size` bytes in all. A few small ones always have it."""
    if size <= _SMALL and len(found) < _FEW:
        return False
    return len(found) + pairs > wire.MAX_PAIRS or wire.encoded_size(found) + size > wire.MAX_BYTES


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
