"""The guest kinds of this host, and which of them a module is of."""

from collections.abc import Sequence
from typing import Final

from reconciler.core.observed import Failure
from reconciler.core.states import NextStep, Reason
from reconciler.wasm.egress import HttpClient
from reconciler.wasm.engine import Engine
from reconciler.wasm.kind import GuestKind, ModuleRefused, ModuleShape
from reconciler.wasm.proxy_wasm.guest import ProxyWasmKind
from reconciler.wasm.proxy_wasm.shared import SharedSpaces
from reconciler.wasm.wasi_command import WasiCommandKind
from reconciler.wasm.wasi_http.command import CommandComponentKind
from reconciler.wasm.wasi_http.guest import WasiHttpKind

AUTO: Final = "auto"


class Kinds:
    """The kinds, asked in order: the first that recognises a module has it."""

    def __init__(self, kinds: Sequence[GuestKind]) -> None:
        self._kinds = tuple(kinds)

    def choose(self, shape: ModuleShape, abi: str = AUTO) -> GuestKind:
        """The kind of a module. `abi` names the kind that a spec asks for; `auto` takes what fits.

        Raises ModuleRefused where the module is of no kind, or not of the one asked for.
        """
        names = ", ".join(dict.fromkeys(kind.name for kind in self._kinds))
        what = "component" if shape.component else "module"
        if abi == AUTO:
            for kind in self._kinds:
                if kind.recognise(shape):
                    return kind
            exports = ", ".join(sorted(shape.exports)[:12]) or "nothing"
            raise _refused(f"the {what} is of no kind that this host runs ({names}); it exports {exports}")
        named = [kind for kind in self._kinds if kind.name == abi]
        if not named:
            raise _refused(f"this host runs {names}, not {abi}")
        for kind in named:
            if kind.recognise(shape):
                return kind
        raise _refused(f"the {what} is no {abi} module")


def standard_kinds(engine: Engine, client: HttpClient, spaces: SharedSpaces) -> Kinds:
    """All kinds of this host, around one engine."""
    components = WasiHttpKind(engine, client)
    return Kinds(
        (
            ProxyWasmKind(engine, client, spaces),
            WasiCommandKind(engine),
            components,
            CommandComponentKind(components),
        )
    )


def _refused(message: str) -> ModuleRefused:
    return ModuleRefused(Failure(Reason.UNSUPPORTED_ABI, message, NextStep.STALL))
