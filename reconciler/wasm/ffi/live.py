"""Components that live for one request: a store, its limits, an instance and a function, made and called by address.

The package wraps each of these in an object that checks and converts at every step, which takes longer than the steps.
As in `fast`, addresses are plain numbers here and types are those of the C API.

Only what runs guest code lets go of the interpreter's lock: what does not is over sooner than the lock changes hands.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import wasmtime
import wasmtime.component as model
from wasmtime import _ffi as native

from reconciler.wasm.ffi.values import SIZE

_RESULT: Final = 0
_INSTANCE: Final = SIZE
_FUNCTION: Final = _INSTANCE + ctypes.sizeof(native.wasmtime_component_instance_t)
_SLOTS: Final = _FUNCTION + ctypes.sizeof(native.wasmtime_component_func_t)


@dataclass(frozen=True, slots=True)
class StoreLimits:
    """What an instance may have in all; bytes for each memory."""

    memory: int
    table_elements: int
    instances: int
    tables: int
    memories: int


class Recipe:
    """What live components of one kind are made of.

    `linker` is the recipe's own. `callbacks` are what native code calls of this host: the check of an epoch first, then
    the linker's functions.
    """

    __slots__ = ("_linker", "check", "component", "engine", "entry", "kept", "limits", "linker", "metered")

    def __init__(
        self,
        engine: wasmtime.Engine,
        linker: model.Linker,
        component: model.Component,
        entry: model.ExportIndex,
        limits: StoreLimits,
        callbacks: Sequence[Any],
        *,
        metered: bool,
    ) -> None:
        self.kept = (engine, component, entry, callbacks)
        self._linker = linker
        self.engine = _address(engine)
        self.linker = _address(linker)
        self.component = _address(component)
        self.entry = _address(entry)
        self.limits = (limits.memory, limits.table_elements, limits.instances, limits.tables, limits.memories)
        self.check = callbacks[0]
        self.metered = metered

    def close(self) -> None:
        """Free it; its components are closed before. Idempotent."""
        self._linker.close()


class Live:
    """A component in a store of its own. Used by one thread at a time; closed by name."""

    __slots__ = ("context", "place", "slots", "store")

    def __init__(self, store: int, context: int) -> None:
        self.store = store
        self.context = context
        self.slots = ctypes.create_string_buffer(_SLOTS)
        self.place = ctypes.addressof(self.slots)


class LiveFfi:
    """Makes, calls and frees live components. Safe to use from several threads."""

    def __init__(self) -> None:
        holding = ctypes.PyDLL(native.dll._name)
        letting_go = ctypes.CDLL(native.dll._name)
        word, size, count = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64

        def quick(name: str, result: Any, *params: Any) -> Any:
            return ctypes.PYFUNCTYPE(result, *params)((name, holding))

        def slow(name: str, result: Any, *params: Any) -> Any:
            return ctypes.CFUNCTYPE(result, *params)((name, letting_go))

        self._new_store = quick("wasmtime_store_new", word, word, word, word)
        self._context = quick("wasmtime_store_context", word, word)
        self._limit = quick("wasmtime_store_limiter", None, word, count, count, count, count, count)
        self._on_epoch = quick("wasmtime_store_epoch_deadline_callback", None, word, word, word, word)
        self._set_deadline = quick("wasmtime_context_set_epoch_deadline", None, word, ctypes.c_uint64)
        self._set_fuel = quick("wasmtime_context_set_fuel", word, word, ctypes.c_uint64)
        self._find = quick("wasmtime_component_instance_get_func", ctypes.c_bool, word, word, word, word)
        self._delete_store = quick("wasmtime_store_delete", None, word)
        self._instantiate = slow("wasmtime_component_linker_instantiate", word, word, word, word, word)
        self._call = slow("wasmtime_component_func_call", word, word, word, word, size, word, size)

    def start(self, recipe: Recipe, fuel: int) -> Live:
        """Instantiate a component, with that much fuel where it is metered. Raises WasmtimeError.

        It is stopped by the recipe's check (ComponentFfi.epoch_check), which runs at every epoch.
        """
        store = self._new_store(recipe.engine, None, None)
        live = Live(store, self._context(store))
        try:
            self._limit(store, *recipe.limits)
            self._on_epoch(store, recipe.check, None, None)
            self._begin(live, fuel if recipe.metered else None)
            instance = live.place + _INSTANCE
            _raise(self._instantiate(recipe.linker, live.context, recipe.component, instance))
            if not self._find(instance, live.context, recipe.entry, live.place + _FUNCTION):
                raise wasmtime.WasmtimeError("the component does not export what its type says")
        except BaseException:
            self.close(live)
            raise
        return live

    def call(self, live: Live, fuel: int | None) -> int:
        """Call its function, which takes nothing and gives a byte. Raises WasmtimeError."""
        self._begin(live, fuel)
        _raise(self._call(live.place + _FUNCTION, live.context, None, 0, live.place + _RESULT, 1))
        return live.slots.raw[8]

    def close(self, live: Live) -> None:
        """Free it. Not idempotent."""
        self._delete_store(live.store)

    def _begin(self, live: Live, fuel: int | None) -> None:
        self._set_deadline(live.context, 1)
        if fuel is not None:
            _raise(self._set_fuel(live.context, fuel))


def _address(managed: Any) -> int:
    return ctypes.cast(managed.ptr(), ctypes.c_void_p).value or 0


def _raise(error: int | None) -> None:
    if error:
        raise wasmtime.WasmtimeError._from_ptr(ctypes.cast(error, ctypes.POINTER(native.wasmtime_error_t)))
