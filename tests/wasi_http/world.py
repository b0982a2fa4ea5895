"""Components and a host to run them in."""

import time
from dataclasses import replace
from pathlib import Path

from reconciler.core.revision import InstanceSpec
from reconciler.wasm.egress import HttpClient
from reconciler.wasm.engine import CompiledModule, Engine
from reconciler.wasm.kind import CallContext, Request, Response
from reconciler.wasm.wasi_http.guest import PreparedComponent, WasiHttpKind
from reconciler.wasm.wasi_http.instance import ComponentSlot
from tests.wasm.world import SPEC, Services, Upstreams

ROOT = Path(__file__).parents[2]
ECHO = ROOT / "examples/components/c/echo.wasm"
PROBE = Path(__file__).parent / "guests/probe.wasm"


class World:
    """A host for HTTP components. Closes what it started."""

    def __init__(self, engine: Engine, client: HttpClient | None = None) -> None:
        self.engine = engine
        self.services = Services()
        self.upstreams = Upstreams()
        self.kind = WasiHttpKind(engine, client or self.upstreams)
        self._modules: dict[tuple[Path, bool], CompiledModule] = {}
        self._prepared: list[PreparedComponent] = []
        self._slots: list[ComponentSlot] = []

    def module(self, path: Path, *, metered: bool = False) -> CompiledModule:
        key = (path, metered)
        if key not in self._modules:
            self._modules[key] = self.engine.compile(path.read_bytes(), metered=metered)
        return self._modules[key]

    def prepare(self, path: Path = PROBE, spec: InstanceSpec = SPEC, **limits: float | None) -> PreparedComponent:
        spec = replace(spec, limits=replace(spec.limits, **limits))
        module = self.module(path, metered=spec.limits.fuel is not None)
        self._prepared.append(self.kind.prepare(module, spec, self.services))
        return self._prepared[-1]

    def start(self, path: Path = PROBE, spec: InstanceSpec = SPEC, **limits: float | None) -> ComponentSlot:
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
        for module in self._modules.values():
            module.close()


def handle(slot: ComponentSlot, request: Request, seconds: float = 5.0) -> Response:
    return slot.handle(request, CallContext(time.monotonic() + seconds))
