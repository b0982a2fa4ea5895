"""All host functions of the kind, by import name, and how a module's imports are matched with them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from reconciler.wasm import preview1
from reconciler.wasm.ffi.seam import Signature
from reconciler.wasm.kind import ImportShape
from reconciler.wasm.proxy_wasm import abi
from reconciler.wasm.proxy_wasm.state import Current


@dataclass(frozen=True, slots=True)
class HostCall:
    """A host function: `params` has a letter for each, `i` (32 bits) or `I` (64)."""

    name: str
    params: str
    function: Callable[..., int]
    module: str = "env"
    returns: bool = True

    @property
    def types(self) -> tuple[str, ...]:
        """The parameters' wasm types."""
        return tuple("i64" if letter == "I" else "i32" for letter in self.params)

    def fits(self, wanted: ImportShape) -> bool:
        """Whether the module declares it as it is.

        A function without a result in one ABI version has a status in another, so the result may be left out.
        """
        return wanted.kind == "func" and wanted.params == self.types and wanted.results in ((), ("i32",))

    def signature(self, wanted: ImportShape) -> Signature:
        """Its type as the module declares it, and what it answers for bad memory and for a bug of ours."""
        wasi = self.module == preview1.MODULE
        return Signature(
            wanted.params,
            wanted.results,
            fault=preview1.FAULT if wasi else abi.INVALID_MEMORY_ACCESS,
            broken=preview1.IO if wasi else abi.INTERNAL_FAILURE,
        )


class HostCallGroup:
    """Some host functions that belong together. `current` tells which instance calls."""

    def __init__(self, current: Current) -> None:
        self._current = current

    def calls(self) -> Iterable[HostCall]:
        """The functions of the group."""
        raise NotImplementedError


def table(groups: Iterable[HostCallGroup]) -> Mapping[tuple[str, str], HostCall]:
    """All host functions by module and name."""
    return {(call.module, call.name): call for group in groups for call in group.calls()}


def describe(wanted: ImportShape) -> str:
    """An import in words: `env.proxy_log (i32, i32, i32) -> (i32)`."""
    if wanted.kind != "func":
        return f"{wanted.module}.{wanted.name} ({wanted.kind})"
    return f"{wanted.module}.{wanted.name} ({', '.join(wanted.params)}) -> ({', '.join(wanted.results)})"
