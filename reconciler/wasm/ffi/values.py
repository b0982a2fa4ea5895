"""Component-model values, between the engine's C API and plain Python values.

A value of the C API is 32 bytes: a kind, and a number, a pointer or a small struct. Encoders and decoders are made
once for each type of each function that a component imports; a call then only runs them.

| component model | Python |
|---|---|
| bool, integers, string | bool, int, str |
| list<u8>, list | bytes, list |
| tuple, record | tuple, in the order of the fields |
| variant | (case, payload); enum: the case |
| option, result | None or the value; (is_ok, payload) |
| a resource of this host | decoded: its number (rep); encoded: Own |
| a resource of the engine | decoded: None, and its handle is consumed; encoded: Foreign |

The layouts are those of one version of the package, which FastFfi.unfit and ComponentFfi check.
"""

import ctypes
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import wasmtime.component as model
from wasmtime import _ffi as native

SIZE: Final = 32
"""Bytes of a wasmtime_component_val_t."""
_VALUE: Final = struct.Struct("<B7xQQQ")
_SIGNED: Final = struct.Struct("<B7xqQQ")
_PAIR: Final = struct.Struct("<QQ")
_KIND_NUMBERS: Final = {
    model.U8: native.WASMTIME_COMPONENT_U8.value,
    model.U16: native.WASMTIME_COMPONENT_U16.value,
    model.U32: native.WASMTIME_COMPONENT_U32.value,
    model.U64: native.WASMTIME_COMPONENT_U64.value,
    model.Bool: native.WASMTIME_COMPONENT_BOOL.value,
}
_SIGNED_NUMBERS: Final = {
    model.S8: (native.WASMTIME_COMPONENT_S8.value, 8),
    model.S16: (native.WASMTIME_COMPONENT_S16.value, 16),
    model.S32: (native.WASMTIME_COMPONENT_S32.value, 32),
    model.S64: (native.WASMTIME_COMPONENT_S64.value, 64),
}
_STRING: Final = native.WASMTIME_COMPONENT_STRING.value
_LIST: Final = native.WASMTIME_COMPONENT_LIST.value
_RECORD: Final = native.WASMTIME_COMPONENT_RECORD.value
_TUPLE: Final = native.WASMTIME_COMPONENT_TUPLE.value
_VARIANT: Final = native.WASMTIME_COMPONENT_VARIANT.value
_ENUM: Final = native.WASMTIME_COMPONENT_ENUM.value
_OPTION: Final = native.WASMTIME_COMPONENT_OPTION.value
_RESULT: Final = native.WASMTIME_COMPONENT_RESULT.value
_RESOURCE: Final = native.WASMTIME_COMPONENT_RESOURCE.value
_BYTES: Final = tuple(_VALUE.pack(native.WASMTIME_COMPONENT_U8.value, byte, 0, 0) for byte in range(256))

Decoder = Callable[[int, bytes], Any]
"""Takes the store's context and a value's 32 bytes."""
Encoder = Callable[[int, Any], bytes]
"""Takes the store's context and a value; gives 32 bytes whose memory the engine then owns."""


class Own(NamedTuple):
    """A resource of this host that a guest is given: the number of its type, and its own (rep)."""

    kind: int
    rep: int


class Foreign(NamedTuple):
    """A resource of the engine, such as a stream, that is handed on.

    `address` is that of a wasmtime_component_resource_any_t.
    """

    address: int


class UnknownType(Exception):
    """A type that no function of this host has."""


class Values:
    """Makes encoders and decoders. One for each engine; safe to use from several threads."""

    def __init__(self) -> None:
        # These neither block nor run guest code: letting other threads run meanwhile would cost more.
        library = ctypes.PyDLL(native.dll._name)
        word, size = ctypes.c_void_p, ctypes.c_size_t

        def function(name: str, result: Any, *params: Any) -> Any:
            return ctypes.PYFUNCTYPE(result, *params)((name, library))

        self._new_text = function("wasm_byte_vec_new", None, word, size, ctypes.c_char_p)
        self._new_list = function("wasmtime_component_vallist_new", None, word, size, ctypes.c_char_p)
        self._new_box = function("wasmtime_component_val_new", word, ctypes.c_char_p)
        self._to_host = function("wasmtime_component_resource_any_to_host", word, word, word, word)
        self._rep = function("wasmtime_component_resource_host_rep", ctypes.c_uint32, word)
        self._delete_host = function("wasmtime_component_resource_host_delete", None, word)
        self._new_host = function(
            "wasmtime_component_resource_host_new", word, ctypes.c_bool, ctypes.c_uint32, ctypes.c_uint32
        )
        self._to_any = function("wasmtime_component_resource_host_to_any", word, word, word, word)
        self._drop = function("wasmtime_component_resource_any_drop", word, word, word)
        self._delete_error = function("wasmtime_error_delete", None, word)

    # ---- from the guest

    def decoder(self, kind: Any) -> Decoder:  # noqa: C901 - one branch for each kind of type
        """The decoder of a type. Raises UnknownType."""
        if type(kind) in _KIND_NUMBERS:
            bits = {model.U8: 8, model.U16: 16, model.U32: 32, model.U64: 64, model.Bool: 8}[type(kind)]
            mask = (1 << bits) - 1
            return lambda _context, raw: _VALUE.unpack(raw)[1] & mask
        if type(kind) in _SIGNED_NUMBERS:
            width = _SIGNED_NUMBERS[type(kind)][1]
            return lambda _context, raw: int.from_bytes(raw[8 : 8 + width // 8], "little", signed=True)
        if isinstance(kind, model.String):
            return lambda _context, raw: _text(raw)
        if isinstance(kind, model.ListType):
            return self._list_decoder(kind)
        if isinstance(kind, model.TupleType):
            return _tuple_decoder([self.decoder(element) for element in kind.elements])
        if isinstance(kind, model.RecordType):
            return _record_decoder([self.decoder(field) for _, field in kind.fields])
        if isinstance(kind, model.VariantType):
            return _variant_decoder({name: self._maybe_decoder(case) for name, case in kind.cases})
        if isinstance(kind, model.EnumType):
            return lambda _context, raw: _text(raw)
        if isinstance(kind, model.OptionType):
            inner = self.decoder(kind.payload)
            return lambda context, raw: _boxed(context, _VALUE.unpack(raw)[1], inner)
        if isinstance(kind, model.ResultType):
            return _result_decoder(self._maybe_decoder(kind.ok), self._maybe_decoder(kind.err))
        if isinstance(kind, model.OwnType | model.BorrowType):
            return self._resource
        raise UnknownType(type(kind).__name__)

    def _maybe_decoder(self, kind: Any) -> Decoder | None:
        return None if kind is None else self.decoder(kind)

    def _list_decoder(self, kind: model.ListType) -> Decoder:
        if isinstance(kind.element, model.U8):
            return _byte_list
        element = self.decoder(kind.element)

        def decode(context: int, raw: bytes) -> list[Any]:
            _, count, place, _ = _VALUE.unpack(raw)
            block = ctypes.string_at(place, SIZE * count) if count else b""
            return [element(context, block[at : at + SIZE]) for at in range(0, SIZE * count, SIZE)]

        return decode

    def _resource(self, context: int, raw: bytes) -> int | None:
        """A resource's number; its handle is consumed, as every borrowed one must be before the call ends."""
        address = _VALUE.unpack(raw)[1]
        found = ctypes.c_void_p()
        error = self._to_host(context, address, ctypes.byref(found))
        if error:
            self._delete_error(error)
            error = self._drop(context, address)
            if error:
                self._delete_error(error)
            return None
        rep: int = self._rep(found)
        self._delete_host(found)
        return rep

    # ---- to the guest

    def encoder(self, kind: Any) -> Encoder:  # noqa: C901 - one branch for each kind of type
        """The encoder of a type. Raises UnknownType."""
        if type(kind) in _KIND_NUMBERS:
            number = _KIND_NUMBERS[type(kind)]
            return lambda _context, value: _VALUE.pack(number, value, 0, 0)
        if type(kind) in _SIGNED_NUMBERS:
            signed = _SIGNED_NUMBERS[type(kind)][0]
            return lambda _context, value: _SIGNED.pack(signed, value, 0, 0)
        if isinstance(kind, model.String):
            return lambda _context, value: _VALUE.pack(_STRING, *self._text(value), 0)
        if isinstance(kind, model.ListType):
            return self._list_encoder(kind)
        if isinstance(kind, model.TupleType):
            return self._tuple_encoder([self.encoder(element) for element in kind.elements])
        if isinstance(kind, model.VariantType):
            return self._variant_encoder({name: self._maybe_encoder(case) for name, case in kind.cases})
        if isinstance(kind, model.EnumType):
            return lambda _context, value: _VALUE.pack(_ENUM, *self._text(value), 0)
        if isinstance(kind, model.OptionType):
            inner = self.encoder(kind.payload)
            return lambda context, value: _VALUE.pack(_OPTION, self._box(context, value, inner), 0, 0)
        if isinstance(kind, model.ResultType):
            return self._result_encoder(self._maybe_encoder(kind.ok), self._maybe_encoder(kind.err))
        if isinstance(kind, model.RecordType):
            return self._record_encoder([(name, self.encoder(field)) for name, field in kind.fields])
        if isinstance(kind, model.OwnType):
            return self.own
        raise UnknownType(type(kind).__name__)

    def _maybe_encoder(self, kind: Any) -> Encoder | None:
        return None if kind is None else self.encoder(kind)

    def _text(self, value: str) -> tuple[int, int]:
        data = value.encode("utf-8", "replace")
        vector = (ctypes.c_uint64 * 2)()
        self._new_text(vector, len(data), data)
        return vector[0], vector[1]

    def _list(self, kind: int, values: Sequence[bytes] | bytes, count: int) -> bytes:
        data = values if isinstance(values, bytes) else b"".join(values)
        vector = (ctypes.c_uint64 * 2)()
        self._new_list(vector, count, data)
        return _VALUE.pack(kind, vector[0], vector[1], 0)

    def _list_encoder(self, kind: model.ListType) -> Encoder:
        if isinstance(kind.element, model.U8):
            return lambda _context, value: self._list(_LIST, list(map(_BYTES.__getitem__, value)), len(value))
        element = self.encoder(kind.element)
        return lambda context, value: self._list(_LIST, [element(context, item) for item in value], len(value))

    def _tuple_encoder(self, elements: Sequence[Encoder]) -> Encoder:
        def encode(context: int, value: Sequence[Any]) -> bytes:
            parts = [element(context, item) for element, item in zip(elements, value, strict=True)]
            return self._list(_TUPLE, parts, len(parts))

        return encode

    def _record_encoder(self, fields: Sequence[tuple[str, Encoder]]) -> Encoder:
        def encode(context: int, value: Sequence[Any]) -> bytes:
            parts = [
                _PAIR.pack(*self._text(name)) + element(context, item)
                for (name, element), item in zip(fields, value, strict=True)
            ]
            data = b"".join(parts)
            vector = native.wasmtime_component_valrecord_t()
            entries = (native.wasmtime_component_valrecord_entry_t * len(parts)).from_buffer_copy(data)
            native.wasmtime_component_valrecord_new(ctypes.byref(vector), len(parts), entries)
            return _VALUE.pack(_RECORD, vector.size, ctypes.cast(vector.data, ctypes.c_void_p).value or 0, 0)

        return encode

    def _box(self, context: int, value: Any, inner: Encoder | None) -> int:
        """A pointer to a value of its own; 0 for None."""
        if value is None or inner is None:
            return 0
        place: int = self._new_box(inner(context, value))
        return place

    def _variant_encoder(self, cases: dict[str, Encoder | None]) -> Encoder:
        def encode(context: int, value: tuple[str, Any]) -> bytes:
            name, payload = value
            return _VALUE.pack(_VARIANT, *self._text(name), self._box(context, payload, cases[name]))

        return encode

    def _result_encoder(self, ok: Encoder | None, err: Encoder | None) -> Encoder:
        def encode(context: int, value: tuple[bool, Any]) -> bytes:
            good, payload = value
            return _VALUE.pack(_RESULT, good, self._payload(context, payload, ok if good else err), 0)

        return encode

    def _payload(self, context: int, value: Any, inner: Encoder | None) -> int:
        """As _box, but None is a value: an option inside a result."""
        if inner is None:
            return 0
        place: int = self._new_box(inner(context, value))
        return place

    def own(self, context: int, value: Own | Foreign) -> bytes:
        """A resource, encoded."""
        if isinstance(value, Foreign):
            return _VALUE.pack(_RESOURCE, value.address, 0, 0)
        host = self._new_host(True, value.rep, value.kind)
        found = ctypes.c_void_p()
        error = self._to_any(context, host, ctypes.byref(found))
        self._delete_host(host)
        if error:
            self._delete_error(error)
            raise UnknownType("a resource was refused by the engine")
        return _VALUE.pack(_RESOURCE, found.value or 0, 0, 0)


def _text(raw: bytes) -> str:
    _, size, place, _ = _VALUE.unpack(raw)
    return ctypes.string_at(place, size).decode("utf-8", "replace") if size else ""


def _byte_list(_context: int, raw: bytes) -> bytes:
    _, count, place, _ = _VALUE.unpack(raw)
    return ctypes.string_at(place, SIZE * count)[8::SIZE] if count else b""


def _boxed(context: int, place: int, inner: Decoder | None) -> Any:
    return inner(context, ctypes.string_at(place, SIZE)) if place and inner is not None else None


def _tuple_decoder(elements: Sequence[Decoder]) -> Decoder:
    def decode(context: int, raw: bytes) -> tuple[Any, ...]:
        _, count, place, _ = _VALUE.unpack(raw)
        block = ctypes.string_at(place, SIZE * count)
        return tuple(element(context, block[at * SIZE : (at + 1) * SIZE]) for at, element in enumerate(elements))

    return decode


def _record_decoder(fields: Sequence[Decoder]) -> Decoder:
    entry = SIZE + _PAIR.size

    def decode(context: int, raw: bytes) -> tuple[Any, ...]:
        _, count, place, _ = _VALUE.unpack(raw)
        block = ctypes.string_at(place, entry * count)
        starts = range(_PAIR.size, entry * count, entry)
        return tuple(field(context, block[at : at + SIZE]) for at, field in zip(starts, fields, strict=True))

    return decode


def _variant_decoder(cases: dict[str, Decoder | None]) -> Decoder:
    def decode(context: int, raw: bytes) -> tuple[str, Any]:
        name = _text(raw)
        return name, _boxed(context, _VALUE.unpack(raw)[3], cases[name])

    return decode


def _result_decoder(ok: Decoder | None, err: Decoder | None) -> Decoder:
    def decode(context: int, raw: bytes) -> tuple[bool, Any]:
        _, flag, place, _ = _VALUE.unpack(raw)
        good = bool(flag & 1)
        return good, _boxed(context, place, ok if good else err)

    return decode
