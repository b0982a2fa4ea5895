"""Components and a host to run them in."""

import time
from dataclasses import replace
from pathlib import Path

from reconciler.core.revision import InstanceSpec
from reconciler.wasm.egress import HttpClient
from reconciler.wasm.engine import CompiledModule, Engine
from reconciler.wasm.kind import CallContext, Request, Response
from reconciler.wasm.wasi_http.guest import PreparedComponent, PreparedLight, WasiHttpKind
from reconciler.wasm.wasi_http.instance import ComponentSlot
from reconciler.wasm.wasi_http.light import LightSlot
from tests.wasm.world import SPEC, Services, Upstreams

ROOT = Path(__file__).parents[2]
ECHO = ROOT / "examples/components/c/echo.wasm"
SHOUT = ROOT / "examples/components/command/shout.wasm"
PROBE = Path(__file__).parent / "guests/probe.wasm"
LIGHT = Path(__file__).parent / "guests/light.wasm"
"""The probe without what the adapter does not offer."""

Prepared = PreparedComponent | PreparedLight
Slot = ComponentSlot | LightSlot


class Modules:
    """What was compiled, for all tests."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._compiled: dict[tuple[Path, bool], CompiledModule] = {}

    def get(self, path: Path, *, metered: bool = False) -> CompiledModule:
        key = (path, metered)
        if key not in self._compiled:
            self._compiled[key] = self.engine.compile(path.read_bytes(), metered=metered)
        return self._compiled[key]

    def close(self) -> None:
        for module in self._compiled.values():
            module.close()


class World:
    """A host for HTTP components. Closes what it started."""

    def __init__(self, modules: Modules, client: HttpClient | None = None) -> None:
        self.modules = modules
        self.engine = engine = modules.engine
        self.services = Services()
        self.upstreams = Upstreams()
        self.kind = WasiHttpKind(engine, client or self.upstreams)
        self._prepared: list[Prepared] = []
        self._slots: list[Slot] = []

    def prepare(self, path: Path = PROBE, spec: InstanceSpec = SPEC, **limits: float | None) -> Prepared:
        spec = replace(spec, limits=replace(spec.limits, **limits))
        module = self.modules.get(path, metered=spec.limits.fuel is not None)
        self._prepared.append(self.kind.prepare(module, spec, self.services))
        return self._prepared[-1]

    def start(self, path: Path = PROBE, spec: InstanceSpec = SPEC, **limits: float | None) -> Slot:
        self._slots.append(self.prepare(path, spec, **limits).start())
        return self._slots[-1]

    def get(self, path: str, spec: InstanceSpec = SPEC, **limits: float | None) -> Response:
        """What a new probe answers on a path."""
        return handle(self.start(PROBE, spec, **limits), Request("probe", path=path))

    def close(self) -> None:
        for slot in self._slots:
            slot.close()
        for prepared in self._prepared:
            prepared.close()


def handle(slot: Slot, request: Request, seconds: float = 5.0) -> Response:
    return slot.handle(request, CallContext(time.monotonic() + seconds))
