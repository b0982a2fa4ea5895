"""The engine: how wasmtime is configured, how bytes become modules, how its errors become failures.

Belongs here: configuration, compiling, what a module looks like from outside, stores with limits. Does not: calling
a guest (ffi.py, the kinds), where modules come from and the AOT cache (reconciler.host.modules).

Engines are kept, each made when first needed. Counting fuel slows all code down, so only modules whose plugin sets
`limits.fuel` are compiled for it ("metered"). HTTP components that need little ("light": http_adapter) get memory from
slots, for they are instantiated for each request.
"""

import hashlib
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Final

import wasmtime
import wasmtime.component

from reconciler.core.observed import Failure
from reconciler.core.revision import InstanceLimits
from reconciler.core.states import NextStep, Reason
from reconciler.wasm.components import count_memories, is_component, load_component, shape_of
from reconciler.wasm.ffi.fast import FastFfi
from reconciler.wasm.ffi.live import StoreLimits
from reconciler.wasm.ffi.safe import SafeFfi
from reconciler.wasm.ffi.seam import Ffi
from reconciler.wasm.http_adapter.compose import Composer
from reconciler.wasm.kind import ExportShape, ImportShape, ModuleRefused, ModuleShape
from reconciler.wasm.slots import room_for_slots, use_slots
from reconciler.wasm.ticker import EpochTicker

WASM_STACK: Final = 384 * 1024
"""Bytes of native stack for one guest. Guests call guests on one thread of 8 MiB, at most 16 deep."""

_SETTINGS: Final = "epoch,component-model,multi-memory,no-gc,no-memory64,fixed-base,stack384k,v2"
"""Names the configuration in the fingerprint: change it with _config."""

_MAGIC: Final = b"\0asm"
_COMPONENT_MARK: Final = 0x80
_LIGHT_MARK: Final = 0x40
"""Set in the first byte of a cached component, and of a light one; see Engine.serialize."""
_COMPONENT_INSTANCES: Final = 512
"""Core instances in one component: some languages link a dozen modules together."""
_COMPONENT_TABLES: Final = 64
_TABLES: Final = 4
_TABLE_FLOOR: Final = 16_384
_ELEMENT_SHARE: Final = 256
"""Bytes of `limits.memory` for each element that a table may have: four tables of 8-byte elements take an eighth."""
_MEMORIES: Final = 8
_ADAPTER_MEMORIES: Final = 1


def _config(metered: bool) -> wasmtime.Config:
    config = wasmtime.Config()
    config.epoch_interruption = True
    config.consume_fuel = metered
    config.parallel_compilation = True
    config.memory_init_cow = True
    config.max_wasm_stack = WASM_STACK
    config.wasm_component_model = True
    config.wasm_multi_memory = True
    # Objects that the engine collects lie in memory that no module declares, so nothing here could count it.
    config.wasm_gc = False
    # Pointers of every ABI here have 32 bits.
    config.wasm_memory64 = False
    # A memory's base never moves, so a view of it stays good while it grows (ffi.memory).
    config.memory_may_move = False
    return config


class CompiledModule:
    """A module in machine code, shared by the pools that run it: a core `module` or a `component`, the other is None.

    `memories` is how many memories an instance has, counting the one where the engine keeps exceptions: the engine
    bounds each of them by itself, so each gets an equal part of `limits.memory`. The adapter's does not count: it has a
    bound of its own. A `light` component is one with the adapter around it, in an engine whose memory comes from slots.
    """

    __slots__ = ("component", "digest", "light", "memories", "metered", "module", "shape")

    def __init__(
        self,
        module: wasmtime.Module | None,
        shape: ModuleShape,
        digest: str,
        metered: bool,
        memories: int = 1,
        component: wasmtime.component.Component | None = None,
        light: bool = False,
    ) -> None:
        self.module = module
        self.component = component
        self.light = light
        self.memories = memories
        self.shape = shape
        self.digest = digest
        self.metered = metered

    def close(self) -> None:
        """Free it. Idempotent."""
        if self.module is not None:
            self.module.close()
        if self.component is not None:
            self.component.close()


class Engine:
    """wasmtime, narrowed to what guests here need. Safe to use from several threads; close() ends it."""

    def __init__(self, ffi: Ffi | None = None) -> None:
        self.ffi: Ffi = ffi if ffi is not None else _choose_ffi()
        self.ticker = EpochTicker(self._advance)
        self._lock = threading.Lock()
        self._engines: dict[tuple[bool, bool], wasmtime.Engine] = {}
        self._composer = Composer()
        system = f"{platform.system()}-{platform.machine()}".lower()
        settings = hashlib.sha256(f"{_SETTINGS},{self._composer.digest}".encode()).hexdigest()[:8]
        self.fingerprint = f"wasmtime-{version('wasmtime')}-{system}-{settings}"

    def native(self, metered: bool, *, light: bool = False) -> wasmtime.Engine:
        """The wasmtime engine of a variant, made when first asked for."""
        variant = (metered, light)
        engine = self._engines.get(variant)
        if engine is not None:
            return engine
        with self._lock:
            if variant not in self._engines:
                self._engines[variant] = _light(metered) if light else wasmtime.Engine(_config(metered))
            return self._engines[variant]

    def compile(self, wasm: bytes, *, digest: str = "", metered: bool = False) -> CompiledModule:
        """Compile a module: binary, or text (WAT). `digest` is computed where it is not given.

        Raises ModuleRefused.
        """
        digest = digest or f"sha256:{hashlib.sha256(wasm).hexdigest()}"
        try:
            binary = _binary(wasm)
            if is_component(binary):
                made = self._light(binary, digest, metered) or self._component(
                    wasmtime.component.Component(self.native(metered), binary), digest, metered
                )
            else:
                made = self._module(wasmtime.Module(self.native(metered), binary), digest, metered)
        except wasmtime.WasmtimeError as error:
            raise ModuleRefused(Failure(Reason.COMPILE_FAILED, _take_message(error), NextStep.STALL)) from None
        made.memories = count_memories(binary)
        if made.memories > _MEMORIES:
            made.close()
            message = f"the module has {made.memories} memories; an instance may have {_MEMORIES}"
            raise ModuleRefused(Failure(Reason.COMPILE_FAILED, message, NextStep.STALL))
        return made

    def _module(self, module: wasmtime.Module, digest: str, metered: bool) -> CompiledModule:
        return CompiledModule(module, _shape(module), digest, metered)

    def _component(
        self, component: wasmtime.component.Component, digest: str, metered: bool, *, light: bool = False
    ) -> CompiledModule:
        shape = shape_of(component, self.native(metered, light=light))
        return CompiledModule(None, shape, digest, metered, component=component, light=light)

    def _light(self, binary: bytes, digest: str, metered: bool) -> CompiledModule | None:
        """A component with the adapter around it; None for one that wants more than the adapter offers."""
        try:
            composed = self._composer.compose(binary)
            if composed is None:
                return None
            component = wasmtime.component.Component(self.native(metered, light=True), composed)
        except wasmtime.WasmtimeError as error:
            error.close()
            return None
        return self._component(component, digest, metered, light=True)

    def serialize(self, module: CompiledModule) -> bytes:
        """For the AOT cache: a byte with the number of memories and marks for components, then the machine code."""
        if module.component is not None:
            marks = _COMPONENT_MARK | (_LIGHT_MARK if module.light else 0)
            return bytes([module.memories | marks]) + bytes(module.component.serialize())
        return b"" if module.module is None else bytes([module.memories]) + bytes(module.module.serialize())

    def deserialize(self, data: bytes | memoryview, *, digest: str, metered: bool = False) -> CompiledModule:
        """Load what serialize() gave. The caller vouches for the bytes: they become machine code.

        Raises ModuleRefused where they are of another version or configuration.
        """
        light = bool(data[0] & _LIGHT_MARK)
        engine, code = self.native(metered, light=light), bytes(data[1:])
        try:
            if data[0] & _COMPONENT_MARK:
                made = self._component(load_component(engine, code), digest, metered, light=light)
            else:
                made = self._module(wasmtime.Module.deserialize(engine, code), digest, metered)
        except wasmtime.WasmtimeError as error:
            raise ModuleRefused(Failure(Reason.COMPILE_FAILED, _take_message(error), NextStep.RETRY)) from None
        made.memories = data[0] & ~(_COMPONENT_MARK | _LIGHT_MARK)
        return made

    def store(self, metered: bool, limits: InstanceLimits, memories: int = 1) -> wasmtime.Store:
        """A new store within the limits, for a module with that many memories, which share `limits.memory` equally.

        Its first call must set an epoch deadline, and fuel where metered.
        """
        store = wasmtime.Store(self.native(metered))
        store.set_limits(
            memory_size=limits.memory // memories,
            table_elements=max(_TABLE_FLOOR, limits.memory // _ELEMENT_SHARE),
            instances=1,
            tables=_TABLES,
            memories=_MEMORIES,
        )
        return store

    def component_store(self, module: CompiledModule, limits: InstanceLimits) -> wasmtime.Store:
        """As `store`, for a component."""
        store = wasmtime.Store(self.native(module.metered, light=module.light))
        bounds = component_limits(module, limits)
        store.set_limits(bounds.memory, bounds.table_elements, bounds.instances, bounds.tables, bounds.memories)
        return store

    @contextmanager
    def probe(self, metered: bool) -> Iterator[wasmtime.Store]:
        """A store for asking a linker what it has; closed afterwards."""
        store = wasmtime.Store(self.native(metered))
        try:
            yield store
        finally:
            store.close()

    def close(self) -> None:
        """Stop the clock and free the engines; every module and store is closed before. Idempotent."""
        self.ticker.close()
        with self._lock:
            engines = list(self._engines.values())
            self._engines.clear()
        for engine in engines:
            engine.close()

    def _advance(self) -> None:
        for engine in list(self._engines.values()):
            engine.increment_epoch()


def component_limits(module: CompiledModule, limits: InstanceLimits) -> StoreLimits:
    """What an instance of a component may have; see Engine.store."""
    return StoreLimits(
        memory=limits.memory // module.memories,
        table_elements=max(_TABLE_FLOOR, limits.memory // _ELEMENT_SHARE),
        instances=_COMPONENT_INSTANCES,
        tables=_COMPONENT_TABLES,
        memories=_MEMORIES + _ADAPTER_MEMORIES,
    )


def _light(metered: bool) -> wasmtime.Engine:
    config = _config(metered)
    if room_for_slots():
        use_slots(
            config,
            memories=_MEMORIES + _ADAPTER_MEMORIES,
            tables=_COMPONENT_TABLES,
            instances=_COMPONENT_INSTANCES,
        )
    return wasmtime.Engine(config)


def _choose_ffi() -> Ffi:
    """The fast way where the installed package is the one it was written for, else the safe one."""
    return SafeFfi() if FastFfi.unfit() else FastFfi()


def _binary(wasm: bytes) -> bytes:
    """The module as binary: WAT is translated, anything else that is not wasm is refused."""
    if wasm.startswith(_MAGIC):
        return wasm
    if wasm.lstrip()[:1] in (b"(", b";"):
        return bytes(wasmtime.wat2wasm(wasm))
    start = wasm[:4].hex(" ") or "nothing"
    raise ModuleRefused(
        Failure(Reason.COMPILE_FAILED, f"this is not wasm: it starts with {start}, not 00 61 73 6d", NextStep.STALL)
    )


def _shape(module: wasmtime.Module) -> ModuleShape:
    imports = tuple(ImportShape(item.module, item.name or "", *_extern(item.type)) for item in module.imports)
    exports = {item.name: ExportShape(item.name, *_extern(item.type)) for item in module.exports}
    return ModuleShape(imports, exports)


def _extern(kind: object) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """The kind of an import or export and, for a function, its parameters and results."""
    if isinstance(kind, wasmtime.FuncType):
        return "func", tuple(map(str, kind.params)), tuple(map(str, kind.results))
    names = {wasmtime.MemoryType: "memory", wasmtime.TableType: "table", wasmtime.GlobalType: "global"}
    return names.get(type(kind), "other"), (), ()


def _take_message(error: wasmtime.WasmtimeError) -> str:
    """The engine's words; the error is freed."""
    with error:
        return str(error).strip()
