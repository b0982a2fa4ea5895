"""The engine's C API over the binding that its package declares, used as the header says: no trick, and no checks.

What a loop in ctypes is that makes the calls of a request and nothing else; an Ffi as far as that needs one.
"""

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import wasmtime
from wasmtime import _ffi as native

from reconciler.wasm.ffi.memory import GuestMemory
from reconciler.wasm.ffi.seam import UNSET, Guest, HostFunction, Signature, func_type


class PlainCtypes:
    """Links and binds."""

    name = "plain ctypes"

    def define(
        self,
        linker: wasmtime.Linker,
        module: str,
        name: str,
        signature: Signature,
        function: HostFunction,
        pause: Callable[[], None],
    ) -> object:
        count = len(signature.params)

        def called(_data: Any, _caller: Any, values: Any, _count: int) -> int:
            values[0].i32 = function(*[values[index].i32 for index in range(count)])
            return 0

        callback = native.wasmtime_func_unchecked_callback_t(called)
        place, text = ctypes.create_string_buffer(module.encode()), ctypes.create_string_buffer(name.encode())
        kind, finalizer = func_type(signature), _NO_FINALIZER()
        error = native.wasmtime_linker_define_func_unchecked(
            linker.ptr(), place, len(module), text, len(name), kind.ptr(), callback, None, finalizer
        )
        assert not error
        return callback

    def bind(self, store: wasmtime.Store, instance: wasmtime.Instance, names: Sequence[str]) -> Guest:
        return _PlainGuest(store, instance, names)


_NO_FINALIZER = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class _PlainGuest:
    """One instance."""

    def __init__(self, store: wasmtime.Store, instance: wasmtime.Instance, names: Sequence[str]) -> None:
        exports = instance.exports(store)
        memory = exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        self._context = store._context()
        self._functions = [exports[name]._func for name in names]  # type: ignore[union-attr]
        self._values = (native.wasmtime_val_raw_t * 16)()
        self._trap = ctypes.POINTER(native.wasm_trap_t)()
        base = ctypes.addressof(memory.data_ptr(store).contents)
        self.memory: GuestMemory | None = GuestMemory(base, lambda: memory.data_len(store))
        self.due = UNSET

    def call(self, function: int, *args: int) -> int:
        values = self._values
        for index, value in enumerate(args):
            values[index].i32 = value
        error = native.wasmtime_func_call_unchecked(
            self._context, self._functions[function], values, max(1, len(args)), self._trap
        )
        assert not error
        assert not self._trap
        result: int = values[0].i32
        return result

    def has(self, function: int) -> bool:
        return True

    def set_deadline(self, ticks: int) -> None:
        return
