"""The guest kind: recognising a proxy-wasm module, linking it, starting instances."""

import json
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import wasmtime

from reconciler.core.addresses import HostPolicy
from reconciler.core.observed import Failure, GuestInfo
from reconciler.core.revision import InstanceSpec
from reconciler.core.states import NextStep, Reason
from reconciler.wasm import kind
from reconciler.wasm.egress import HttpClient
from reconciler.wasm.engine import CompiledModule, Engine
from reconciler.wasm.failures import failure_of
from reconciler.wasm.ffi.memory import OutOfBoundsError, no_memory
from reconciler.wasm.ffi.seam import GUEST_ERRORS, UnboundGuest
from reconciler.wasm.kind import CallContext, GuestFailed, GuestServices, ModuleRefused, ModuleShape
from reconciler.wasm.proxy_wasm import abi, wire
from reconciler.wasm.proxy_wasm.callbacks import ABSENT, Callbacks
from reconciler.wasm.proxy_wasm.hostcalls import WASI, HostCall, describe, table
from reconciler.wasm.proxy_wasm.hostcalls_plugin import PluginCalls
from reconciler.wasm.proxy_wasm.hostcalls_remote import GrpcCalls, HttpCalls, LayottoCalls
from reconciler.wasm.proxy_wasm.hostcalls_shared import MetricCalls, SharedDataCalls
from reconciler.wasm.proxy_wasm.hostcalls_stream import BufferCalls, FlowCalls, MapCalls
from reconciler.wasm.proxy_wasm.hostcalls_wasi import WasiCalls
from reconciler.wasm.proxy_wasm.instance import ProxyWasmInstance
from reconciler.wasm.proxy_wasm.shared import SharedSpaces
from reconciler.wasm.proxy_wasm.state import Current, GuestState, PluginFacts
from reconciler.wasm.ticker import ticks

NAME: Final = "proxy-wasm"
_GROUPS: Final = (
    PluginCalls,
    BufferCalls,
    MapCalls,
    FlowCalls,
    SharedDataCalls,
    MetricCalls,
    HttpCalls,
    GrpcCalls,
    LayottoCalls,
    WasiCalls,
)
_WAITING: Final = ("proxy_invoke_service", "proxy_http_call", "proxy_dispatch_http_call", "poll_oneoff")
"""Imports with which a guest can wait for others."""
_MAX_ID: Final = 253
_PLENTY: Final = 1 << 62
"""Fuel for a start, which `limits.startTimeout` bounds."""


class ProxyWasmKind:
    """proxy-wasm 0.1.0, 0.2.0, 0.2.1, and Layotto's functions."""

    name = NAME

    def __init__(self, engine: Engine, client: HttpClient, spaces: SharedSpaces) -> None:
        self.engine = engine
        self.client = client
        self.spaces = spaces
        self.current = Current()
        self.host_calls: Mapping[tuple[str, str], HostCall] = table(group(self.current) for group in _GROUPS)

    def recognise(self, shape: ModuleShape) -> bool:
        """Whether a module exports an ABI version, a callback of the ABI, or Layotto's id."""
        return any(
            name.startswith((abi.VERSION_MARKER, "proxy_on_")) or name == "proxy_get_id" for name in shape.exports
        )

    def prepare(self, module: kind.CompiledModule, spec: InstanceSpec, services: GuestServices) -> "PreparedProxyWasm":
        """Link a module. Raises ModuleRefused: another ABI version, missing imports (all named), no memory."""
        if not isinstance(module, CompiledModule) or module.module is None:
            raise _refused(Reason.UNSUPPORTED_ABI, "this is a component; proxy-wasm modules are core modules")
        versions = [name for name in module.shape.exports if name.startswith(abi.VERSION_MARKER)]
        if versions and not any(name.removeprefix(abi.VERSION_MARKER) in abi.VERSIONS for name in versions):
            known = ", ".join(version.replace("_", ".") for version in abi.VERSIONS)
            raise _refused(Reason.UNSUPPORTED_ABI, f"the module wants {', '.join(versions)}; this host has {known}")
        memory = module.shape.exports.get("memory")
        if memory is None or memory.kind != "memory":
            raise _refused(Reason.MISSING_EXPORT, "the module exports no memory named 'memory'")
        callbacks = Callbacks(module.shape)
        return PreparedProxyWasm(self, module.module, module, callbacks, spec, services)


class PreparedProxyWasm:
    """A module linked for one InstanceSpec; see PreparedGuest."""

    def __init__(
        self,
        owner: ProxyWasmKind,
        native: wasmtime.Module,
        module: CompiledModule,
        callbacks: Callbacks,
        spec: InstanceSpec,
        services: GuestServices,
    ) -> None:
        self.callbacks = callbacks
        self.current = owner.current
        self.ticker = owner.engine.ticker
        self.client = owner.client
        self.layotto = callbacks.get_id != ABSENT
        self.fuel = spec.limits.fuel if module.metered else None
        self.info = GuestInfo(NAME, may_wait=any(item.name in _WAITING for item in module.shape.imports))
        self._owner = owner
        self._module = module
        policy = _policy(spec.allowed_hosts)
        self._linker, self._callables = _link(owner, native, module)
        self._pre = _prelink(self._linker, native)
        self._wasi = any(item.module == WASI for item in module.shape.imports)
        space = owner.spaces.acquire(spec.namespace)
        configuration = _configuration(spec.config, layotto=self.layotto)
        self._facts = PluginFacts(spec, services, space, policy, configuration, callbacks.allocator)
        self._closed = False

    def start(self) -> ProxyWasmInstance:
        """Instantiate, initialise, configure; see PreparedGuest."""
        spec = self._facts.spec
        engine = self._owner.engine
        call = CallContext(time.monotonic() + spec.limits.start_timeout)
        store = engine.store(self._module.metered, spec.limits)
        try:
            state = self._instantiate(store, call)
            instance = ProxyWasmInstance(self, store, state)
            before = instance.enter(call)
            try:
                if self._module.metered:
                    store.set_fuel(_PLENTY)
                self._initialise(state)
                self._configure(state)
                instance.settle()
            finally:
                instance.leave(before)
        except GUEST_ERRORS as error:
            store.close()
            raise GuestFailed(failure_of(error, "start")) from None
        except GuestFailed:
            store.close()
            raise
        return instance

    def close(self) -> None:
        """Free it. Idempotent."""
        if not self._closed:
            self._closed = True
            self._owner.spaces.release(self._facts.space)
            self._pre.close()
            self._linker.close()

    def _instantiate(self, store: wasmtime.Store, call: CallContext) -> GuestState:
        """Instantiate; a wasm start function runs as a guest without memory."""
        if self._wasi:
            wasi = wasmtime.WasiConfig()
            wasi.env = self._facts.spec.env
            store.set_wasi(wasi)
        if self._module.metered:
            store.set_fuel(_PLENTY)
        store.set_epoch_deadline(ticks(call.deadline - time.monotonic()))
        state = GuestState(replace(self._facts, allocator=ABSENT), UnboundGuest(), no_memory())
        before, self.current.state = self.current.state, state
        self.ticker.enter(store)
        try:
            instance = self._pre.instantiate(store)
        finally:
            self.ticker.leave(store)
            self.current.state = before
        guest = self._owner.engine.ffi.bind(store, instance, self.callbacks.names)
        if guest.memory is None:
            raise GuestFailed(Failure(Reason.MISSING_EXPORT, "the module exports no memory", NextStep.STALL))
        return GuestState(self._facts, guest, guest.memory)

    def _initialise(self, state: GuestState) -> None:
        """`_initialize` and then `main`, or `_start`; a guest that exits with 0 from them is a guest that is ready."""
        guest, callbacks = state.guest, self.callbacks
        initialize, start, main = (callbacks.place(name) for name in ("_initialize", "_start", "main"))
        try:
            if initialize >= 0:
                guest.call(initialize)
                if main >= 0:
                    guest.call(main, 0, 0)
            elif start >= 0:
                guest.call(start)
        except wasmtime.ExitTrap as error:
            if error.code:
                raise
            error.close()

    def _configure(self, state: GuestState) -> None:
        """The id, the root context, the VM's start, the plugin's configuration."""
        guest, callbacks = state.guest, self.callbacks
        if self.layotto and not self.info.route_id:
            self.info = replace(self.info, route_id=_ask_id(state, callbacks, self._module.shape))
        if callbacks.context_create >= 0:
            guest.call(callbacks.context_create, abi.ROOT, 0)
        vm_start, configure = callbacks.place("proxy_on_vm_start"), callbacks.place("proxy_on_configure")
        if vm_start >= 0:
            state.starting_vm = True
            if not guest.call(vm_start, abi.ROOT, 0):
                raise GuestFailed(Failure(Reason.START_FAILED, "proxy_on_vm_start answered false"))
            state.starting_vm = False
        if configure >= 0 and not guest.call(configure, abi.ROOT, len(self._facts.configuration)):
            raise GuestFailed(Failure(Reason.START_FAILED, "proxy_on_configure answered false: it refused its config"))


def _link(
    owner: ProxyWasmKind, native: wasmtime.Module, module: CompiledModule
) -> tuple[wasmtime.Linker, tuple[object, ...]]:
    """A linker with what the module imports, and the callbacks that must outlive it. Raises ModuleRefused."""
    engine = owner.engine
    linker = wasmtime.Linker(engine.native(module.metered))
    linker.allow_shadowing = True
    imports = module.shape.imports
    if any(item.module == WASI for item in imports):
        linker.define_wasi()
    missing = []
    callables = []
    with engine.probe(module.metered) as store:
        for item in imports:
            found = owner.host_calls.get((item.module, item.name))
            if found is not None and found.fits(item):
                callables.append(
                    engine.ffi.define(linker, item.module, item.name, found.signature(item), found.function)
                )
            elif found is not None:
                missing.append(f"{describe(item)}: the host has ({', '.join(found.types)}) -> (i32)")
            elif not _defined(linker, store, item.module, item.name):
                missing.append(describe(item))
    if missing:
        linker.close()
        raise _refused(Reason.MISSING_IMPORT, f"the host does not offer {'; '.join(missing)}")
    return linker, tuple(callables)


def _defined(linker: wasmtime.Linker, store: wasmtime.Store, module: str, name: str) -> bool:
    if module != WASI:
        return False
    try:
        linker.get(store, module, name)
    except wasmtime.WasmtimeError as error:
        error.close()
        return False
    return True


def _prelink(linker: wasmtime.Linker, native: wasmtime.Module) -> wasmtime.InstancePre:
    try:
        return linker.instantiate_pre(native)
    except wasmtime.WasmtimeError as error:
        linker.close()
        raise _refused(Reason.MISSING_IMPORT, failure_of(error).message) from None


def _policy(hosts: tuple[str, ...]) -> HostPolicy:
    try:
        return HostPolicy.parse(hosts)
    except ValueError as error:
        raise _refused(Reason.INVALID_SPEC, f"capabilities.allowedHosts: {error}") from None


def _configuration(text: str, *, layotto: bool) -> bytes:
    """The plugin configuration's bytes: a string as it is, a mapping as JSON, or as a map for Layotto's functions."""
    value = json.loads(text) if text else {}
    if isinstance(value, str):
        return value.encode()
    if not value:
        return b""
    if layotto and isinstance(value, dict):
        pairs = [(key, item if isinstance(item, str) else json.dumps(item)) for key, item in value.items()]
        return wire.encode_bytes([(key.encode(), item.encode()) for key, item in pairs])
    return text.encode()


def _ask_id(state: GuestState, callbacks: Callbacks, shape: ModuleShape) -> str:
    """What the module calls itself, in any of the shapes that Layotto's `proxy_get_id` has had.

    () -> () sets the call data, and so may the others. () -> (i32) points at the text; its length comes from
    `proxy_get_id_length`, or a NUL ends it. (i32) -> () is how TinyGo compiles a function that returns a string: it
    writes address and length where the caller says.
    """
    guest, memory, export = state.guest, state.memory, shape.exports["proxy_get_id"]
    try:
        if export.params:
            result = state.allocate(8)
            guest.call(callbacks.get_id, result)
            address, length = memory.read_u32(result), memory.read_u32(result + 4)
        else:
            measure = callbacks.place("proxy_get_id_length")
            length = guest.call(measure) if measure >= 0 else 0
            address = guest.call(callbacks.get_id)
        if state.call_data:
            text = bytes(state.call_data)
        elif export.params or export.results:
            most = max(0, min(length or _MAX_ID, _MAX_ID, memory.size - address))
            text = memory.read(address, most)
        else:
            text = b""
    except OutOfBoundsError:
        raise GuestFailed(Failure(Reason.START_FAILED, "proxy_get_id points outside the guest's memory")) from None
    state.call_data = b""
    return (text if length or not address else text.partition(b"\0")[0]).decode("utf-8", "replace")


def _refused(reason: Reason, message: str) -> ModuleRefused:
    return ModuleRefused(Failure(reason, message, NextStep.STALL))
