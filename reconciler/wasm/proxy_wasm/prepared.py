"""A proxy-wasm module made ready for one plugin: starting instances of it."""

import json
import time
from dataclasses import replace
from typing import Final, Protocol

import wasmtime

from reconciler.core.addresses import HostPolicy
from reconciler.core.observed import Failure, GuestInfo
from reconciler.core.revision import InstanceSpec
from reconciler.core.states import NextStep, Reason
from reconciler.wasm.egress import HttpClient
from reconciler.wasm.engine import Engine
from reconciler.wasm.failures import failure_of
from reconciler.wasm.ffi.memory import OutOfBoundsError, no_memory
from reconciler.wasm.ffi.seam import GUEST_ERRORS, UnboundGuest
from reconciler.wasm.kind import CallContext, GuestFailed, GuestServices, ModuleShape
from reconciler.wasm.proxy_wasm import abi, wire
from reconciler.wasm.proxy_wasm.callbacks import ABSENT, Callbacks
from reconciler.wasm.proxy_wasm.filtering import ProxyWasmFilter
from reconciler.wasm.proxy_wasm.instance import ProxyWasmInstance
from reconciler.wasm.proxy_wasm.linking import LinkedModule, Links
from reconciler.wasm.proxy_wasm.shared import SharedSpaces
from reconciler.wasm.proxy_wasm.state import Current, GuestState, PluginFacts

NAME: Final = "proxy-wasm"
"""The kind's name, as specs spell it."""

_WAITING: Final = ("proxy_invoke_service", "proxy_http_call", "proxy_dispatch_http_call", "poll_oneoff")
"""Imports with which a guest can wait for others."""
_SHARING: Final = (
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_register_shared_queue",
    "proxy_resolve_shared_queue",
)
"""Imports with which instances share data or queues through the host."""
_MAX_ID: Final = 253
_PLENTY: Final = 1 << 62
"""Fuel for a start, which `limits.startTimeout` bounds."""


class Host(Protocol):
    """What all prepared guests of a process share."""

    engine: Engine
    client: HttpClient
    spaces: SharedSpaces
    current: Current
    overtime: object | None
    links: Links


class PreparedProxyWasm:
    """A module linked for one InstanceSpec; see PreparedGuest."""

    def __init__(
        self, host: Host, linked: LinkedModule, policy: HostPolicy, spec: InstanceSpec, services: GuestServices
    ) -> None:
        callbacks = linked.callbacks
        self.callbacks = callbacks
        self.current = host.current
        self.ticker = host.engine.ticker
        self.watched = host.overtime is not None
        self.client = host.client
        self.layotto = callbacks.get_id != ABSENT
        self.fuel = spec.limits.fuel if linked.module.metered else None
        imports = {item.name for item in linked.module.shape.imports}
        self.info = GuestInfo(
            NAME,
            may_wait=not imports.isdisjoint(_WAITING),
            filter=not self.layotto,
            shares=not imports.isdisjoint(_SHARING),
        )
        self._host = host
        self._linked = linked
        self._facts = PluginFacts(
            spec,
            services,
            host.spaces.acquire(spec.namespace),
            policy,
            _configuration(spec.config, layotto=self.layotto),
            callbacks.allocator,
        )
        self._unborn = GuestState(replace(self._facts, allocator=ABSENT), UnboundGuest(), no_memory())
        """What host functions see while a wasm start function runs: all guests' alike, for it has nothing."""
        self._closed = False

    def start(self) -> ProxyWasmInstance:
        """Instantiate, initialise, configure; see PreparedGuest."""
        spec = self._facts.spec
        engine = self._host.engine
        call = CallContext(time.monotonic() + spec.limits.start_timeout)
        module = self._linked.module
        store = engine.store(module.metered, spec.limits, module.memories)
        if self._host.overtime is not None:
            engine.ffi.watch(store, self._host.overtime)
        try:
            state = self._instantiate(store, call)
            instance = (ProxyWasmInstance if self.layotto else ProxyWasmFilter)(self, store, state)
            before = instance.enter(call)
            try:
                if module.metered:
                    store.set_fuel(_PLENTY)
                self._initialise(state)
                self._configure(state)
                instance.settle()
                instance.check()
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
            self._host.spaces.release(self._facts.space)
            self._host.links.release(self._linked)

    def _instantiate(self, store: wasmtime.Store, call: CallContext) -> GuestState:
        """Instantiate; a wasm start function runs as a guest without memory."""
        if self._linked.wasi:
            wasi = wasmtime.WasiConfig()
            wasi.env = self._facts.spec.env
            store.set_wasi(wasi)
        if self._linked.module.metered:
            store.set_fuel(_PLENTY)
        store.set_epoch_deadline(self.ticker.ticks(call.deadline - time.monotonic()))
        before, self.current.state = self.current.state, self._unborn
        self.ticker.enter(store)
        try:
            instance = self._linked.pre.instantiate(store)
        finally:
            self.ticker.leave(store)
            self.current.state = before
        guest = self._host.engine.ffi.bind(store, instance, self.callbacks.names)
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
            self.info = replace(self.info, route_id=_ask_id(state, callbacks, self._linked.module.shape))
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
