"""Linking: a module with the host functions that it imports, once for all plugins that run the module."""

import threading
from collections.abc import Callable, Iterable, Mapping

import wasmtime

from reconciler.core.observed import Failure
from reconciler.core.states import NextStep, Reason
from reconciler.wasm import preview1
from reconciler.wasm.engine import CompiledModule, Engine
from reconciler.wasm.failures import failure_of
from reconciler.wasm.kind import ModuleRefused, ModuleShape
from reconciler.wasm.proxy_wasm import abi
from reconciler.wasm.proxy_wasm.callbacks import Callbacks
from reconciler.wasm.proxy_wasm.hostcalls import HostCall, HostCallGroup, describe, table


class LinkedModule:
    """A module ready to be instantiated. `callables` are what native code calls: they live as long as it."""

    __slots__ = ("callables", "callbacks", "linker", "module", "pre", "users", "wasi")

    def __init__(
        self,
        module: CompiledModule,
        callbacks: Callbacks,
        linker: wasmtime.Linker,
        pre: wasmtime.InstancePre,
        callables: tuple[object, ...],
    ) -> None:
        self.module = module
        self.callbacks = callbacks
        self.linker = linker
        self.pre = pre
        self.callables = callables
        self.wasi = _uses_wasi(module.shape)
        self.users = 0


class Links:
    """The linked modules in use. Safe to use from several threads."""

    def __init__(self, engine: Engine, groups: Iterable[HostCallGroup], pause: Callable[[], None]) -> None:
        self._engine = engine
        self._pause = pause
        self._calls: Mapping[tuple[str, str], HostCall] = table(groups)
        self._lock = threading.Lock()
        self._linked: dict[CompiledModule, LinkedModule] = {}

    def acquire(self, module: CompiledModule) -> LinkedModule:
        """The module, linked, for one more user.

        Raises ModuleRefused: a component, another ABI version, no memory, missing imports (all of them named).
        """
        with self._lock:
            linked = self._linked.get(module)
            if linked is None:
                linked = self._link(module)
                self._linked[module] = linked
            linked.users += 1
            return linked

    def release(self, linked: LinkedModule) -> None:
        """One user fewer; the last one frees it. Its instances are closed before."""
        with self._lock:
            linked.users -= 1
            if linked.users:
                return
            del self._linked[linked.module]
        linked.pre.close()
        linked.linker.close()

    def _link(self, module: CompiledModule) -> LinkedModule:
        if module.module is None:
            raise refused(Reason.UNSUPPORTED_ABI, "this is a component; proxy-wasm modules are core modules")
        _check(module.shape)
        callbacks = Callbacks(module.shape)
        linker = wasmtime.Linker(self._engine.native(module.metered))
        try:
            callables = self._define(linker, module)
            pre = linker.instantiate_pre(module.module)
        except ModuleRefused:
            linker.close()
            raise
        except wasmtime.WasmtimeError as error:
            linker.close()
            raise refused(Reason.MISSING_IMPORT, failure_of(error).message) from None
        return LinkedModule(module, callbacks, linker, pre, callables)

    def _define(self, linker: wasmtime.Linker, module: CompiledModule) -> tuple[object, ...]:
        """Define what the module imports, with the types that it declares."""
        ffi = self._engine.ffi
        linker.allow_shadowing = True
        if _uses_wasi(module.shape):
            linker.define_wasi()
        missing = []
        callables = []
        with self._engine.probe(module.metered) as store:
            for item in module.shape.imports:
                found = self._calls.get((item.module, item.name))
                if found is not None and found.fits(item):
                    signature = found.signature(item)
                    kept = ffi.define(linker, item.module, item.name, signature, found.function, self._pause)
                    callables.append(kept)
                elif found is not None:
                    missing.append(f"{describe(item)}: the host has ({', '.join(found.types)}) -> (i32)")
                elif item.module != preview1.MODULE or not _defined(linker, store, item.name):
                    missing.append(describe(item))
        if missing:
            raise refused(Reason.MISSING_IMPORT, f"the host does not offer {'; '.join(missing)}")
        return tuple(callables)


def refused(reason: Reason, message: str) -> ModuleRefused:
    """A refusal that only another module or spec changes."""
    return ModuleRefused(Failure(reason, message, NextStep.STALL))


def _check(shape: ModuleShape) -> None:
    versions = [name for name in shape.exports if name.startswith(abi.VERSION_MARKER)]
    if versions and not any(name.removeprefix(abi.VERSION_MARKER) in abi.VERSIONS for name in versions):
        known = ", ".join(version.replace("_", ".") for version in abi.VERSIONS)
        raise refused(Reason.UNSUPPORTED_ABI, f"the module wants {', '.join(versions)}; this host has {known}")
    memory = shape.exports.get("memory")
    if memory is None or memory.kind != "memory":
        raise refused(Reason.MISSING_EXPORT, "the module exports no memory named 'memory'")


def _uses_wasi(shape: ModuleShape) -> bool:
    return any(item.module == preview1.MODULE for item in shape.imports)


def _defined(linker: wasmtime.Linker, store: wasmtime.Store, name: str) -> bool:
    """Whether the engine's own WASI has a function."""
    try:
        linker.get(store, preview1.MODULE, name)
    except wasmtime.WasmtimeError as error:
        error.close()
        return False
    return True
