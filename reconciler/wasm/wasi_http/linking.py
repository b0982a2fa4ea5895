"""What a component imports, and who offers it: the engine, or a function of this package."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import wasmtime
import wasmtime.component as model

from reconciler.core.observed import Failure
from reconciler.core.revision import InstanceSpec
from reconciler.core.states import NextStep, Reason
from reconciler.wasm.engine import CompiledModule
from reconciler.wasm.ffi.components import ComponentFfi
from reconciler.wasm.ffi.values import UnknownType
from reconciler.wasm.kind import ImportShape, ModuleRefused
from reconciler.wasm.wasi_http import bodies, fields, messages, outgoing, stores, system
from reconciler.wasm.wasi_http.run import Current, Resource

Functions = Mapping[str, Callable[..., Any]]
"""Host functions by their names in an interface; each takes the run first."""

_ENGINE_OFFERS: Final = ("wasi:io/", "wasi:cli/", "wasi:clocks/", "wasi:random/", "wasi:filesystem/", "wasi:sockets/")
_ANY_VERSION: Final = ("wasi:config/", "wasi:keyvalue/")
"""Their versions are drafts, which differ in functions that are looked at one by one."""
_RESOURCES: Final[Mapping[str, type[Resource]]] = {
    "fields": fields.Fields,
    "incoming-body": bodies.IncomingBody,
    "future-trailers": bodies.FutureTrailers,
    "outgoing-body": bodies.OutgoingBody,
    "incoming-request": messages.IncomingRequest,
    "response-outparam": messages.ResponseOutparam,
    "outgoing-response": messages.OutgoingResponse,
    "outgoing-request": outgoing.OutgoingRequest,
    "request-options": outgoing.RequestOptions,
    "future-incoming-response": outgoing.FutureResponse,
    "incoming-response": outgoing.IncomingResponse,
    "bucket": stores.Bucket,
    "cas": stores.Swap,
}


def offers(egress: outgoing.Egress, spec: InstanceSpec) -> Mapping[str, Functions]:
    """What this package offers to one plugin: functions by interface."""
    configuration = stores.config_store(stores.config_of(spec.config))
    found: dict[str, Functions] = {
        "wasi:http/types": {**fields.FUNCTIONS, **bodies.FUNCTIONS, **messages.FUNCTIONS, **outgoing.functions(egress)},
        "wasi:http/outgoing-handler": outgoing.handler(egress),
        "wasi:cli/stdin": system.STDIN,
        "wasi:cli/stdout": system.STDOUT,
        "wasi:clocks/monotonic-clock": system.CLOCK,
        "wasi:config/store": configuration,
        "wasi:config/runtime": configuration,
        "wasi:keyvalue/store": stores.STORE,
        "wasi:keyvalue/atomics": stores.ATOMICS,
        "wasi:keyvalue/batch": stores.BATCH,
    }
    if not spec.preopens:
        found["wasi:filesystem/preopens"] = system.NO_DIRECTORIES
    return found


class Linked:
    """A linker with all that a component imports. `close` frees it."""

    def __init__(
        self,
        engine: wasmtime.Engine,
        ffi: ComponentFfi,
        current: Current,
        module: CompiledModule,
        ours: Mapping[str, Functions],
    ) -> None:
        assert module.component is not None
        _refuse_missing(module.shape.imports, ours)
        self.linker = model.Linker(engine)
        self.linker.add_wasip2()
        self.linker.allow_shadowing = True
        self._ffi = ffi
        self._current = current
        self._kept: list[object] = []
        with module.component.type as kind, self.linker.root() as root:
            for name, extern in kind.imports(engine).items():
                functions = ours.get(name.partition("@")[0])
                if functions is not None and isinstance(extern.ty, model.ComponentInstanceType):
                    with root.add_instance(name) as place:
                        self._fill(place, name, extern.ty.exports(engine), functions)

    def close(self) -> None:
        """Free it. Idempotent."""
        self.linker.close()

    def _fill(
        self,
        place: model.LinkerInstance,
        interface: str,
        wanted: Mapping[str, Any],
        offered: Functions,
    ) -> None:
        """Define what the component wants of one interface."""
        current = self._current
        for name, extern in wanted.items():
            item = extern.ty
            if isinstance(item, model.FuncType):
                function = offered[name]
                call = partial(_with_run, current, function)
                try:
                    self._kept.append(self._ffi.define(place, name, item, call))
                except UnknownType as error:
                    raise _missing([f"{interface}#{name}, with a type {error}"]) from None
            elif isinstance(item, model.ResourceType) and name in _RESOURCES:
                number = _RESOURCES[name].number
                self._kept.append(self._ffi.define_resource(place, name, number, partial(_dropped, current)))


def _dropped(current: Current, rep: int) -> None:
    current.run.drop(rep)


def _with_run(current: Current, function: Callable[..., Any], *args: Any) -> Any:
    return function(current.run, *args)


def _refuse_missing(imports: tuple[ImportShape, ...], ours: Mapping[str, Functions]) -> None:
    missing = [
        f"{item.module}#{item.name}" if item.name else item.module for item in imports if not _offered(item, ours)
    ]
    if missing:
        raise _missing(missing)


def _offered(item: ImportShape, ours: Mapping[str, Functions]) -> bool:
    interface, _, version = item.module.partition("@")
    if not version.startswith("0.2.") and not interface.startswith(_ANY_VERSION):
        return False
    functions = ours.get(interface)
    if functions is not None:
        return not item.name or item.name in functions
    return interface.startswith(_ENGINE_OFFERS)


def _missing(names: list[str]) -> ModuleRefused:
    message = f"the host does not offer {', '.join(names)} to a component"
    return ModuleRefused(Failure(Reason.MISSING_IMPORT, message, NextStep.STALL))
