"""Components from outside: what one imports and exports, how many memories it has; loading a compiled one.

Belongs here: what is done with a component without running it. Does not: compiling (engine.py), which kind of guest it
is (kinds.py), what its imports do (wasi_http).
"""

import ctypes
from collections.abc import Iterator, Mapping
from typing import Any, Final

import wasmtime
import wasmtime.component as model
from wasmtime import _ffi as native

from reconciler.wasm.kind import ExportShape, ImportShape, ModuleShape

LAYER: Final = b"\x01\x00"
"""What a component's binary has at byte 6, in place of a core module's `00 00`."""

_MODULE_SECTION: Final = 1
_COMPONENT_SECTION: Final = 4
_MEMORY_SECTION: Final = 5
_TAG_SECTION: Final = 13


def is_component(binary: bytes) -> bool:
    """Whether a wasm binary is a component."""
    return binary[6:8] == LAYER


def shape_of(component: model.Component, engine: wasmtime.Engine) -> ModuleShape:
    """The shape of a component: each function of each imported interface, and the names of what it exports."""
    with component.type as kind:
        imports = tuple(_imports(kind, engine))
        exports = {name: ExportShape(name, "instance") for name in _close(kind.exports(engine))}
    return ModuleShape(imports, exports, component=True)


def _imports(kind: model.ComponentType, engine: wasmtime.Engine) -> Iterator[ImportShape]:
    for name, extern in kind.imports(engine).items():
        item = extern.ty
        if not isinstance(item, model.ComponentInstanceType):
            yield ImportShape(name, "", "func" if isinstance(item, model.FuncType) else "other")
            continue
        members = item.exports(engine)
        if not any(isinstance(member.ty, model.FuncType) for member in members.values()):
            yield ImportShape(name, "", "instance")
        for member, member_extern in members.items():
            if isinstance(member_extern.ty, model.FuncType):
                yield ImportShape(name, member, "func")


def _close(items: Mapping[str, Any]) -> list[str]:
    for extern in items.values():
        extern.close()
    return list(items)


def load_component(engine: wasmtime.Engine, code: bytes) -> model.Component:
    """What was serialized: as the package does it, without one more copy of tens of megabytes. Raises WasmtimeError."""
    found = ctypes.POINTER(native.wasmtime_component_t)()
    place = ctypes.cast(ctypes.c_char_p(code), ctypes.POINTER(ctypes.c_uint8))
    error = native.wasmtime_component_deserialize(engine.ptr(), place, len(code), ctypes.byref(found))
    if error:
        raise wasmtime.WasmtimeError._from_ptr(error)
    return model.Component._from_ptr(found)


def count_memories(binary: bytes) -> int:
    """How many memories an instance of a core module or component has, one at least.

    A module with exceptions counts one more, where the engine keeps them. The engine found the binary valid before.
    """
    return max(1, _count(binary, 0, len(binary)))


def _count(binary: bytes, start: int, end: int) -> int:
    component = binary[start + 6 : start + 8] == LAYER
    memories = exceptions = 0
    at = start + 8
    while at < end:
        section, at = binary[at], at + 1
        size, at = read_number(binary, at)
        if component:
            if section in (_MODULE_SECTION, _COMPONENT_SECTION):
                memories += _count(binary, at, at + size)
        elif section == _MEMORY_SECTION:
            memories += read_number(binary, at)[0]
        elif section == _TAG_SECTION:
            exceptions = 1
        at += size
    return memories + exceptions


def read_number(binary: bytes, at: int) -> tuple[int, int]:
    """The LEB128 number at a place, and the place after it."""
    value = shift = 0
    while True:
        byte = binary[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
