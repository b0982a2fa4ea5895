"""The guest kind: what a proxy-wasm module is, and what all guests of the kind share."""

from typing import Final

from reconciler.core.addresses import HostPolicy
from reconciler.core.revision import InstanceSpec
from reconciler.core.states import Reason
from reconciler.wasm import kind
from reconciler.wasm.egress import HttpClient
from reconciler.wasm.engine import CompiledModule, Engine
from reconciler.wasm.kind import GuestServices, ModuleShape
from reconciler.wasm.pace import take_turn
from reconciler.wasm.proxy_wasm import abi
from reconciler.wasm.proxy_wasm.hostcalls_maps import MapCalls
from reconciler.wasm.proxy_wasm.hostcalls_plugin import PluginCalls
from reconciler.wasm.proxy_wasm.hostcalls_remote import GrpcCalls, HttpCalls, LayottoCalls
from reconciler.wasm.proxy_wasm.hostcalls_shared import MetricCalls, SharedDataCalls
from reconciler.wasm.proxy_wasm.hostcalls_stream import BufferCalls, FlowCalls
from reconciler.wasm.proxy_wasm.hostcalls_wasi import WasiCalls
from reconciler.wasm.proxy_wasm.linking import Links, refused
from reconciler.wasm.proxy_wasm.prepared import NAME, PreparedProxyWasm
from reconciler.wasm.proxy_wasm.shared import SharedSpaces
from reconciler.wasm.proxy_wasm.state import Current
from reconciler.wasm.ticker import has_lasted

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


class ProxyWasmKind:
    """proxy-wasm 0.1.0, 0.2.0, 0.2.1, and Layotto's functions."""

    name = NAME

    def __init__(self, engine: Engine, client: HttpClient, spaces: SharedSpaces) -> None:
        self.engine = engine
        self.client = client
        self.spaces = spaces
        self.current = Current()
        self.overtime = engine.ffi.overtime(self._go_on)
        self.links = Links(engine, [group(self.current) for group in _GROUPS], self._pause)

    def recognise(self, shape: ModuleShape) -> bool:
        """Whether a module exports an ABI version, a callback of the ABI, or Layotto's id."""
        return any(
            name.startswith((abi.VERSION_MARKER, "proxy_on_")) or name == "proxy_get_id" for name in shape.exports
        )

    def _go_on(self) -> int:
        """For how many epochs more a guest may run that reached its deadline (Ffi.overtime)."""
        state = self.current.state
        call = state.call
        if call is None or not call.brief or call.acts or state.spoilt is not None:
            return 0
        return 0 if has_lasted(call) else 1

    def _pause(self) -> None:
        call = self.current.state.call
        if call is not None:
            take_turn(call)

    def prepare(self, module: kind.CompiledModule, spec: InstanceSpec, services: GuestServices) -> PreparedProxyWasm:
        """Link a module. Raises ModuleRefused, as Links.acquire does, and for hosts that are none."""
        if not isinstance(module, CompiledModule):
            raise TypeError("the module is of another engine")
        try:
            policy = HostPolicy.parse(spec.allowed_hosts)
        except ValueError as error:
            raise refused(Reason.INVALID_SPEC, f"capabilities.allowedHosts: {error}") from None
        return PreparedProxyWasm(self, self.links.acquire(module), policy, spec, services)
