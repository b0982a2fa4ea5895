"""The guest kind: which components are of it, and how one is prepared for a pool."""

import threading
import time
from typing import Final

import wasmtime.component as model

from reconciler.core.addresses import HostPolicy
from reconciler.core.observed import Failure, GuestInfo
from reconciler.core.revision import InstanceSpec
from reconciler.core.states import NextStep, Reason
from reconciler.wasm import kind
from reconciler.wasm.egress import HttpClient
from reconciler.wasm.engine import CompiledModule, Engine
from reconciler.wasm.ffi.components import ComponentFfi, Interrupted
from reconciler.wasm.http_adapter.compose import HANDLER, RUN
from reconciler.wasm.kind import GuestServices, ModuleRefused, ModuleShape
from reconciler.wasm.wasi_http.instance import ComponentSlot, Parts
from reconciler.wasm.wasi_http.light import LightHost, LightParts, LightSlot
from reconciler.wasm.wasi_http.linking import Linked, offers
from reconciler.wasm.wasi_http.memory_files import MemoryFiles
from reconciler.wasm.wasi_http.outgoing import Egress
from reconciler.wasm.wasi_http.run import Current
from reconciler.wasm.wasi_http.streams import Lender, Spools

NAME: Final = "wasi-http"

_WITH_FILES: Final = ("wasi:http/outgoing-handler", "wasi:cli/stdin")
BUFFERED: Final = 8 * 2**20
"""Bytes of an answer: where it may be larger, it never is made on an event loop, which would have to hold all of it."""
_WAITS: Final = ("wasi:http/outgoing-handler", "wasi:keyvalue/", "wasi:clocks/monotonic-clock")


class WasiHttpKind:
    """Components that export `wasi:http/incoming-handler` 0.2."""

    name = NAME

    def __init__(self, engine: Engine, client: HttpClient) -> None:
        self.engine = engine
        self.client = client
        self.ffi = ComponentFfi()
        self.current = Current()
        self.check = self.ffi.epoch_check(self._check)
        self._lock = threading.Lock()
        self._lenders: dict[bool, Lender] = {}
        self.light = LightHost(engine, self.ffi)
        self._memory: MemoryFiles | None = None

    def recognise(self, shape: ModuleShape) -> bool:
        """Whether a module is a component with an HTTP handler. What it imports is judged, and named, by `prepare`."""
        return shape.component and any(name.startswith(HANDLER) for name in shape.exports)

    def prepare(
        self, module: kind.CompiledModule, spec: InstanceSpec, services: GuestServices
    ) -> "PreparedComponent | PreparedLight":
        """Link a component. Raises ModuleRefused: no component, a missing import."""
        if not isinstance(module, CompiledModule) or module.component is None:
            raise _refused(Reason.UNSUPPORTED_ABI, "this is a core module; an HTTP component is a component")
        unfit = self.ffi.unfit()
        if unfit:
            raise _refused(Reason.UNSUPPORTED_ABI, f"HTTP components cannot be run: {unfit}")
        if module.light:
            return PreparedLight(self.light, module, spec, services)
        try:
            policy = HostPolicy.parse(spec.allowed_hosts)
        except ValueError as error:
            raise _refused(Reason.INVALID_SPEC, f"capabilities.allowedHosts: {error}") from None
        return PreparedComponent(self, module, spec, services, Egress(self.client, policy))

    def lender(self, metered: bool) -> Lender:
        """The component that lends streams, for stores of that engine."""
        with self._lock:
            if metered not in self._lenders:
                self._memory = self._memory or MemoryFiles()
                self._lenders[metered] = Lender(self.engine.native(metered), self.ffi, self._memory)
            return self._lenders[metered]

    def _check(self) -> None:
        """At each epoch of a running guest: whether it may go on. Raises Interrupted."""
        run = self.current.run
        limits = run.spec.limits
        if run.flow is not None and run.flow.stopped is not None:
            run.stopped = run.flow.stopped
        elif time.monotonic() >= run.call.deadline:
            run.stopped = Failure(Reason.DEADLINE_EXCEEDED, "the component's time is over")
        elif run.streams.written() > limits.response_bytes + limits.request_bytes:
            run.stopped = Failure(
                Reason.BAD_RESPONSE, f"the component wrote more than limits.responseBytes ({limits.response_bytes})"
            )
        if run.stopped is not None:
            raise Interrupted(run.stopped.message)


class PreparedComponent:
    """A component linked for one InstanceSpec; see PreparedGuest."""

    def __init__(
        self, owner: WasiHttpKind, module: CompiledModule, spec: InstanceSpec, services: GuestServices, egress: Egress
    ) -> None:
        assert module.component is not None
        engine = owner.engine.native(module.metered)
        ours = offers(egress, spec)
        self._linked = Linked(engine, owner.ffi, owner.current, module, ours)
        self._spools = Spools()
        imports = {item.module for item in module.shape.imports}
        waits = bool(spec.preopens) or any(name.startswith(_WAITS) for name in imports)
        self.info = GuestInfo(NAME, may_wait=waits or spec.limits.response_bytes > BUFFERED, streams=True)
        self._parts = Parts(
            engine=owner.engine,
            ffi=owner.ffi,
            current=owner.current,
            check=owner.check,
            lender=owner.lender(module.metered),
            module=module,
            linker=self._linked.linker,
            entry=_entry(module.component, module.shape),
            spec=spec,
            services=services,
            spools=self._spools,
            files=any(name.startswith(_WITH_FILES) for name in imports),
        )

    def start(self) -> ComponentSlot:
        """A slot for requests. The component is instantiated, for its first request. Raises GuestFailed."""
        slot = ComponentSlot(self._parts)
        slot.warm_up()
        return slot

    def close(self) -> None:
        """Free it. Idempotent."""
        self._spools.close()
        self._linked.close()


class PreparedLight:
    """A component with the adapter around it, for one InstanceSpec; see PreparedGuest."""

    def __init__(self, host: LightHost, module: CompiledModule, spec: InstanceSpec, services: GuestServices) -> None:
        assert module.component is not None
        self.info = GuestInfo(NAME, may_wait=spec.limits.response_bytes > BUFFERED, streams=True)
        entry = _entry(module.component, module.shape, RUN)
        self._parts = LightParts(host, host.recipe(module, entry, spec), spec, services)

    def start(self) -> LightSlot:
        """A slot for requests. The component is instantiated, for its first request. Raises GuestFailed."""
        slot = LightSlot(self._parts)
        slot.warm_up()
        return slot

    def close(self) -> None:
        """Free it. Idempotent."""
        self._parts.recipe.close()


def _entry(component: model.Component, shape: ModuleShape, function: str = "handle") -> model.ExportIndex:
    """Where the handler is."""
    name = next(name for name in shape.exports if name.startswith(HANDLER))
    interface = component.get_export_index(name)
    entry = interface and component.get_export_index(function, interface)
    if entry is None:
        raise _refused(Reason.MISSING_EXPORT, f"{name} has no function '{function}'")
    return entry


def _refused(reason: Reason, message: str) -> ModuleRefused:
    return ModuleRefused(Failure(reason, message, NextStep.STALL))
