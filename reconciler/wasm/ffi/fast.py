"""The boundary over the C API, unchecked: what is passed must have the types that were declared."""

import contextlib
import ctypes
import itertools
import logging
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import wasmtime
from wasmtime import _ffi as native

from reconciler.wasm.ffi.memory import GuestMemory, OutOfBoundsError
from reconciler.wasm.ffi.seam import INTERRUPT, UNSET, Guest, GuestError, HostFunction, Signature, func_type
from reconciler.wasm.pace import SAMPLE

logger: Final = logging.getLogger(__name__)
_WRITTEN_FOR: Final = "50."
_SLOT: Final = 16
"""Bytes of a wasmtime_val_raw_t."""
_WORDS: Final = _SLOT // 4
_MAX_PARAMS: Final = 16
_FUNC: Final = 16
"""Bytes of a wasmtime_func_t."""
_ABSENT: Final = object()
"""Stands for an export that is missing; ctypes refuses to pass it on."""
_Values: Final = ctypes.c_uint32 * (_MAX_PARAMS * _WORDS)
_SLOTS: Final = ctypes.c_size_t(_MAX_PARAMS)
"""How many value slots a call is given, needed or not: making the number for each call takes longer."""
_PACK: Final = tuple(struct.Struct("<" + "I12x" * count).pack_into for count in range(_MAX_PARAMS + 1))
"""Puts that many 32-bit arguments into value slots."""
_FIRST: Final = 3
"""So many arguments are always put into slots, as zeros where there are fewer: that is quicker than counting."""
_PACK_FIRST: Final = _PACK[_FIRST]
_UNPACK: Final = {"i32": "I12x", "i64": "Q8x"}
"""How a parameter lies in its value slot."""
_RESULT: Final = struct.Struct("<I").pack_into
_Everything: Final = ctypes.c_char * (1 << 62)
"""All memory. What the engine's addresses are read and written through: making a pointer for each takes longer."""


class FastFfi:
    """The C API, unchecked: what is passed must have the types that were declared."""

    name = "fast"

    def __init__(self) -> None:
        self._count = itertools.count(1).__next__
        self._tables: dict[int, Any] = {}
        path = native.dll._name
        releasing, holding = ctypes.CDLL(path), ctypes.PyDLL(path)
        word = ctypes.c_void_p
        # Without declared argument types, and with pointers made once by byref, ctypes converts nothing: a third of
        # the time of a call.
        self.call = releasing.wasmtime_func_call_unchecked
        self.call.restype = ctypes.c_size_t
        # These only read or write a field of the store: letting other threads run meanwhile would cost more.
        self.export = holding.wasmtime_instance_export_get
        self.export.restype = ctypes.c_bool
        self.base = holding.wasmtime_memory_data
        self.base.restype = ctypes.c_size_t
        self.measure = holding.wasmtime_memory_data_size
        self.measure.restype = ctypes.c_size_t
        self.deadline = holding.wasmtime_context_set_epoch_deadline
        self.deadline.restype = None
        text, size = ctypes.c_char_p, ctypes.c_size_t
        self._epoch_type = ctypes.CFUNCTYPE(size, word, word, word, word)
        self._on_epoch = ctypes.CFUNCTYPE(None, word, self._epoch_type, word, word)(
            ("wasmtime_store_epoch_deadline_callback", releasing)
        )
        self._new_error = ctypes.CFUNCTYPE(word, text)(("wasmtime_error_new", releasing))
        self._callback_type = ctypes.CFUNCTYPE(size, size, size, size, size)
        self._everything = memoryview(_Everything.from_address(0)).cast("B")
        self._define = ctypes.CFUNCTYPE(word, word, text, size, text, size, word, self._callback_type, word, word)(
            ("wasmtime_linker_define_func_unchecked", releasing)
        )

    @staticmethod
    def unfit() -> str:
        """Why the installed package cannot be used this way; empty where it can."""
        installed = version("wasmtime")
        if not installed.startswith(_WRITTEN_FOR):
            return f"wasmtime {installed} is not {_WRITTEN_FOR}x"
        if sys.byteorder != "little":
            return "this machine is not little-endian"
        sizes = (
            ctypes.sizeof(native.wasmtime_val_raw_t),
            ctypes.sizeof(native.wasmtime_func_t),
            ctypes.sizeof(ctypes.c_void_p),
        )
        return "" if sizes == (_SLOT, _FUNC, 8) else f"the layout of values is not the expected one: {sizes}"

    def define(
        self,
        linker: wasmtime.Linker,
        module: str,
        name: str,
        signature: Signature,
        function: HostFunction,
        pause: Callable[[], None],
    ) -> object:
        """Define a host function as an unchecked callback; see Ffi."""
        callback = self._callback_type(_unchecked(name, signature, function, self._everything, self._count, pause))
        kind = func_type(signature)
        place, called = module.encode(), name.encode()
        error = self._define(
            native_address(linker),
            place,
            len(place),
            called,
            len(called),
            native_address(kind),
            callback,
            None,
            None,
        )
        if error:
            raise _error(error)
        return callback

    def table(self, count: int) -> Any:
        """Room for that many functions. Its type is made once: types are only freed by the garbage collector."""
        kind = self._tables.get(count)
        if kind is None:
            kind = self._tables[count] = native.wasmtime_func_t * count
        return kind()

    def overtime(self, ask: Callable[[], int]) -> object | None:
        """What happens at a deadline; see Ffi."""

        def reached(_context: Any, _data: Any, delta: int, _kind: Any) -> int:
            more = 0
            try:
                more = ask()
            except BaseException:
                with contextlib.suppress(BaseException):
                    logger.exception("nobody could say whether a guest may go on")
            if not more:
                return int(self._new_error(INTERRUPT.encode()))
            ctypes.c_uint64.from_address(delta).value = more
            return 0

        return self._epoch_type(reached)

    def watch(self, store: wasmtime.Store, overtime: Any) -> None:
        """Let that happen to a store; see Ffi."""
        self._on_epoch(native_address(store), overtime, None, None)

    def bind(self, store: wasmtime.Store, instance: wasmtime.Instance, names: Sequence[str]) -> Guest:
        """Make exports callable; see Ffi."""
        return _FastGuest(self, store, instance, names)


def _unchecked(
    name: str,
    signature: Signature,
    function: HostFunction,
    memory: memoryview,
    count: Callable[[], int],
    pause: Callable[[], None],
) -> Callable[[int, int, int, int], int]:
    """A callback that reads its arguments from the engine's value slots. It never raises.

    It is called from native code: ctypes would answer an exception with garbage, which the engine takes for a trap's
    address, and the daemon would be gone. So here everything is caught, and a bug of ours is a status for the guest.
    """
    fault, broken = signature.fault, signature.broken
    arguments = struct.Struct("<" + "".join(_UNPACK[kind] for kind in signature.params)).unpack_from
    answer = _RESULT if signature.results else _no_result

    def called(_data: int, _caller: int, slots: int, _count: int) -> int:
        try:
            if not count() % SAMPLE:
                pause()
            answer(memory, slots, function(*arguments(memory, slots)))
        except OutOfBoundsError:
            answer(memory, slots, fault)
        except BaseException:
            answer(memory, slots, broken)
            with contextlib.suppress(BaseException):  # not even logging it may raise
                logger.exception("host function %s failed", name)
        return 0

    return called


def _no_result(_memory: memoryview, _slots: int, _value: int | None) -> None:
    """Where the module declares no result, there is no slot for one."""


class _FastGuest:
    """An instance over the C API.

    The argument slots are its own: a guest runs one call at a time, and a nested one (malloc in a host function) is
    over before the outer result is written.
    """

    __slots__ = (
        "_call",
        "_context",
        "_deadline",
        "_functions",
        "_slots",
        "_table",
        "_trap",
        "_trap_slot",
        "_values",
        "due",
        "memory",
    )

    def __init__(self, ffi: FastFfi, store: wasmtime.Store, instance: wasmtime.Instance, names: Sequence[str]) -> None:
        self._call = ffi.call
        self._deadline = ffi.deadline
        self._context = ctypes.byref(store._context().contents)
        slots = _Values()
        self._slots = ctypes.byref(slots)
        self._values = memoryview(slots).cast("B").cast("I")  # quicker to read and write than the array itself
        self._trap = ctypes.c_void_p()
        self._trap_slot = ctypes.byref(self._trap)
        self._table = ffi.table(len(names))
        self._functions = tuple(self._find(ffi, instance, names))
        self.memory = self._memory(ffi, instance)
        self.due = UNSET

    def _find(self, ffi: FastFfi, instance: wasmtime.Instance, names: Sequence[str]) -> Iterator[Any]:
        """Pointers to the functions of those names, kept in `_table`."""
        found = native.wasmtime_extern_t()
        for index, name in enumerate(names):
            text = name.encode()
            size = ctypes.c_size_t(len(text))
            exists = ffi.export(self._context, ctypes.byref(instance._instance), text, size, ctypes.byref(found))
            if exists and int(found.kind) == native.WASMTIME_EXTERN_FUNC.value:
                self._table[index] = found.of.func
                yield ctypes.byref(self._table, index * _FUNC)
            else:
                yield _ABSENT

    def _memory(self, ffi: FastFfi, instance: wasmtime.Instance) -> GuestMemory | None:
        found = native.wasmtime_extern_t()
        where = ctypes.byref(instance._instance)
        if not ffi.export(self._context, where, b"memory", ctypes.c_size_t(6), ctypes.byref(found)):
            return None
        if int(found.kind) != native.WASMTIME_EXTERN_MEMORY.value:
            native.wasmtime_extern_delete(ctypes.byref(found))
            return None
        memory = native.wasmtime_memory_t.from_buffer_copy(found.of.memory)
        base: int = ffi.base(self._context, ctypes.byref(memory))
        return GuestMemory(base, partial(ffi.measure, self._context, ctypes.byref(memory)))

    def call(self, function: int, first: int = 0, second: int = 0, third: int = 0, *more: int) -> int:
        """Call an export; see Guest."""
        values = self._values
        _PACK_FIRST(values, 0, first, second, third)
        if more:
            _PACK[len(more)](values, _FIRST * _SLOT, *more)
        error = self._call(self._context, self._functions[function], self._slots, _SLOTS, self._trap_slot)
        if error or self._trap:
            raise self._failure(error)
        result: int = values[0]
        return result

    def _failure(self, error: int | None) -> GuestError:
        trap, self._trap.value = self._trap.value, None
        if error or trap is None:
            return _error(error or 0)
        return wasmtime.Trap._from_ptr(ctypes.cast(trap, ctypes.POINTER(native.wasm_trap_t)))

    def has(self, function: int) -> bool:
        """Whether the instance exports it."""
        return self._functions[function] is not _ABSENT

    def set_deadline(self, ticks: int) -> None:
        """Trap in that many epochs; see Guest."""
        self.due = UNSET
        self._deadline(self._context, ctypes.c_uint64(ticks))


def native_address(managed: Any) -> int:
    """Where the package's object keeps its native one. Not by ctypes.cast: that leaves a cycle in the pointer."""
    return ctypes.addressof(managed.ptr().contents)


def _error(address: int) -> wasmtime.WasmtimeError:
    return wasmtime.WasmtimeError._from_ptr(ctypes.cast(address, ctypes.POINTER(native.wasmtime_error_t)))
