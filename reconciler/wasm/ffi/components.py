"""The boundary to components: host functions, resources, calls, over the engine's C API.

The package's own component API asks for a function's type at every call and keeps callbacks in process-global tables;
a request costs it a millisecond. Here types are looked at once, when a function is defined. As in `fast`, nothing ever
raises into native code: a host function that refuses, or fails, is an error for the guest, which traps.

Guest calls release the interpreter's lock: a guest may wait, and the engine's own threads serve its streams.
"""

import ctypes
import logging
from collections.abc import Callable
from typing import Any, Final

import wasmtime
import wasmtime.component as model
from wasmtime import _ffi as native

from reconciler.wasm.ffi.fast import FastFfi, native_address
from reconciler.wasm.ffi.values import SIZE, Values

logger: Final = logging.getLogger(__name__)


class GuestRefused(Exception):
    """A host function refuses: the guest traps with this message."""


class Interrupted(Exception):
    """Raised by the check of an epoch: the guest traps with this message."""


class ComponentFfi:
    """Components over the C API. Safe to use from several threads; a store is used by one at a time."""

    def __init__(self) -> None:
        self.values = Values()
        library = ctypes.CDLL(native.dll._name)
        word, size = ctypes.c_void_p, ctypes.c_size_t
        self._callback = ctypes.CFUNCTYPE(size, word, word, word, word, size, word, size)
        self._destructor = ctypes.CFUNCTYPE(size, word, word, ctypes.c_uint32)
        self._epoch = ctypes.CFUNCTYPE(size, word, word, word, word)

        def function(name: str, result: Any, *params: Any) -> Any:
            return ctypes.CFUNCTYPE(result, *params)((name, library))

        self._add_function = function(
            "wasmtime_component_linker_instance_add_func", word, word, ctypes.c_char_p, size, self._callback, word, word
        )
        self._add_resource = function(
            "wasmtime_component_linker_instance_add_resource",
            word, word, ctypes.c_char_p, size, word, self._destructor, word, word,
        )  # fmt: skip
        self._call = function("wasmtime_component_func_call", word, word, word, word, size, word, size)
        self._on_epoch = function("wasmtime_store_epoch_deadline_callback", None, word, self._epoch, word, word)
        self._printer = ctypes.CFUNCTYPE(ctypes.c_ssize_t, word, word, size)
        self._print_to = function("wasi_config_set_stderr_custom", None, word, self._printer, word, word)
        self._delete_value = function("wasmtime_component_val_delete", None, word)
        self._new_error = function("wasmtime_error_new", word, ctypes.c_char_p)

    @staticmethod
    def unfit() -> str:
        """Why the installed package cannot be used this way; empty where it can."""
        value = native.wasmtime_component_val_t
        if FastFfi.unfit():
            return FastFfi.unfit()
        layout = (ctypes.sizeof(value), value.of.offset, ctypes.sizeof(native.wasmtime_component_valrecord_entry_t))
        return (
            ""
            if layout == (SIZE, 8, SIZE + 16)
            else f"the layout of component values is not the expected one: {layout}"
        )

    def define(
        self, place: model.LinkerInstance, name: str, kind: model.FuncType, function: Callable[..., Any]
    ) -> object:
        """Define a host function of that type. What is returned must live as long as the linker.

        `function` takes and gives values as `values` tells; it may raise GuestRefused. Raises UnknownType.
        """
        decoders = tuple(self.values.decoder(param) for _, param in kind.params)
        result = kind.result
        encode = None if result is None else self.values.encoder(result)
        places = tuple((decode, at * SIZE, (at + 1) * SIZE) for at, decode in enumerate(decoders))
        size = SIZE * len(decoders)
        lone = decoders[0] if len(decoders) == 1 else None  # most functions: a method of a resource
        read, write = ctypes.string_at, ctypes.memmove

        def called(_data: Any, context: int, _type: Any, args: int, _count: int, results: int, _results: int) -> int:
            try:
                if lone is not None:
                    value = function(lone(context, read(args, SIZE)))
                else:
                    raw = read(args, size) if size else b""
                    value = function(*[decode(context, raw[start:end]) for decode, start, end in places])
                if encode is not None:
                    write(results, encode(context, value), SIZE)
                return 0
            except GuestRefused as refused:
                return self.error(str(refused))
            except BaseException:
                logger.exception("host function %s failed", name)
                return self.error(f"the host failed in {name}")

        callback = self._callback(called)
        text = name.encode()
        _check(self._add_function(native_address(place), text, len(text), callback, None, None))
        return callback

    def define_resource(
        self, place: model.LinkerInstance, name: str, number: int, dropped: Callable[[int], None]
    ) -> object:
        """Define a resource type of this host. `dropped` is told the number (rep) of one whose owner let it go."""

        def called(_data: Any, _context: Any, rep: int) -> int:
            try:
                dropped(rep)
                return 0
            except BaseException:
                logger.exception("the destructor of %s failed", name)
                return self.error(f"the host failed to drop a {name}")

        destructor = self._destructor(called)
        text = name.encode()
        with model.ResourceType.host(number) as kind:
            added = self._add_resource(
                native_address(place), text, len(text), native_address(kind), destructor, None, None
            )
            _check(added)
        return destructor

    def epoch_check(self, check: Callable[[], None]) -> object:
        """A check that `watch` runs whenever the epoch of a running guest advances. It may raise Interrupted."""

        def called(_context: Any, _data: Any, delta: int, _kind: Any) -> int:
            try:
                check()
                ctypes.c_uint64.from_address(delta).value = 1
                return 0
            except Interrupted as interrupted:
                return self.error(str(interrupted))
            except BaseException:
                logger.exception("the check of an epoch failed")
                return self.error("the host failed")

        return self._epoch(called)

    def watch(self, store: wasmtime.Store, check: Any) -> None:
        """Run a check from epoch_check at every epoch of a store; the store's first deadline is the next epoch."""
        self._on_epoch(native_address(store), check, None, None)
        store.set_epoch_deadline(1)

    def printer(self, take: Callable[[int, bytes], None]) -> Any:
        """What takes what guests print, from threads of the engine: their number, and the bytes. It must not raise."""

        def called(number: int, data: int, count: int) -> int:
            take(number, ctypes.string_at(data, count))
            return count

        return self._printer(called)

    def print_to(self, config: wasmtime.WasiConfig, printer: Any, number: int) -> None:
        """Let what the guest of that number writes to stderr go to a printer."""
        self._print_to(native_address(config), printer, number, None)

    def call(self, store: wasmtime.Store, function: model.Func, *args: bytes) -> bytes:
        """Call an exported function with encoded numbers; the 32 bytes of its result. Raises WasmtimeError.

        A function that gives nothing is called with call_void.
        """
        result = (ctypes.c_uint64 * (SIZE // 8))()
        data = b"".join(args)
        called = ctypes.addressof(function._func)
        _check(self._call(called, address_of(store), data, len(args), ctypes.addressof(result), 1))
        return bytes(result)

    def call_void(self, store: wasmtime.Store, function: model.Func, *args: bytes) -> None:
        """Call an exported function that gives nothing; the values are used up. Raises WasmtimeError."""
        data = ctypes.create_string_buffer(b"".join(args), SIZE * len(args))
        try:
            _check(self._call(ctypes.addressof(function._func), address_of(store), data, len(args), None, 0))
        finally:
            for at in range(len(args)):
                self._delete_value(ctypes.addressof(data) + at * SIZE)

    def error(self, message: str) -> int:
        """A new error of the engine, which it then owns."""
        address: int = self._new_error(message.encode("utf-8", "replace").replace(b"\0", b" "))
        return address


def address_of(store: wasmtime.Store) -> int:
    """The context of a store, as encoders want it."""
    return ctypes.addressof(store._context().contents)


def _check(error: int | None) -> None:
    """Raise the engine's error, where there is one."""
    if error:
        raise wasmtime.WasmtimeError._from_ptr(ctypes.cast(error, ctypes.POINTER(native.wasmtime_error_t)))
