"""The boundary over the package's public API: about ten times slower, whatever the version."""

import ctypes
import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Final

import wasmtime

from reconciler.wasm.ffi.memory import GuestMemory, OutOfBoundsError
from reconciler.wasm.ffi.seam import UNSET, Guest, HostFunction, Signature, func_type
from reconciler.wasm.pace import SAMPLE

logger: Final = logging.getLogger(__name__)
_MASK: Final = 0xFFFFFFFF


class SafeFfi:
    """The same over the package's public API: about ten times slower, whatever the version."""

    name = "safe"

    def __init__(self) -> None:
        self._count = itertools.count(1).__next__

    def define(
        self,
        linker: wasmtime.Linker,
        module: str,
        name: str,
        signature: Signature,
        function: HostFunction,
        pause: Callable[[], None],
    ) -> object:
        """Define a host function; see Ffi."""
        fault = signature.fault
        masks = tuple(_MASK if kind == "i32" else (1 << 64) - 1 for kind in signature.params)
        returns = bool(signature.results)
        count = self._count

        def called(*values: int) -> int | None:
            try:
                if not count() % SAMPLE:
                    pause()
                result = function(*(value & mask for value, mask in zip(values, masks, strict=True)))
            except OutOfBoundsError:
                result = fault
            except BaseException:
                # The package would keep it in a place that all threads share, and raise it in another's call.
                logger.exception("host function %s failed", name)
                result = signature.broken
            return _signed(result or 0) if returns else None

        linker.define_func(module, name, func_type(signature), called)
        return called

    def overtime(self, ask: Callable[[], int]) -> object | None:
        """Not to be had; see Ffi."""

    def watch(self, store: wasmtime.Store, overtime: object) -> None:
        """Nothing happens; see Ffi."""

    def bind(self, store: wasmtime.Store, instance: wasmtime.Instance, names: Sequence[str]) -> Guest:
        """Make exports callable; see Ffi."""
        return _SafeGuest(store, instance, names)


class _SafeGuest:
    """An instance over the public API."""

    __slots__ = ("_functions", "_store", "due", "memory")

    def __init__(self, store: wasmtime.Store, instance: wasmtime.Instance, names: Sequence[str]) -> None:
        exports = instance.exports(store)
        found = [exports.get(name) for name in names]
        self._store = store
        self.due = UNSET
        self._functions = tuple(item if isinstance(item, wasmtime.Func) else None for item in found)
        memory = exports.get("memory")
        self.memory: GuestMemory | None = None
        if isinstance(memory, wasmtime.Memory):
            base = ctypes.addressof(memory.data_ptr(store).contents)
            self.memory = GuestMemory(base, lambda: memory.data_len(store))

    def call(self, function: int, *args: int) -> int:
        """Call an export; see Guest."""
        found = self._functions[function]
        if found is None:
            raise LookupError(function)
        result = found(self._store, *map(_signed, args))
        return 0 if result is None else int(result) & _MASK

    def has(self, function: int) -> bool:
        """Whether the instance exports it."""
        return self._functions[function] is not None

    def set_deadline(self, ticks: int) -> None:
        """Trap in that many epochs; see Guest."""
        self.due = UNSET
        self._store.set_epoch_deadline(ticks)


def _signed(value: int) -> int:
    return value - (1 << 32) if value > 0x7FFFFFFF else value
