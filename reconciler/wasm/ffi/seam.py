"""What crossing the boundary looks like, whichever way it is done."""

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import wasmtime

from reconciler.wasm.ffi.memory import GuestMemory

GuestError = wasmtime.Trap | wasmtime.WasmtimeError
"""What a guest call raises: a trap, or an error of the engine (ExitTrap where the guest exited)."""

GUEST_ERRORS: Final = (wasmtime.Trap, wasmtime.WasmtimeError)
"""The same, for `except`."""


INTERRUPT: Final = "wasm trap: interrupt"
"""The engine's words for a guest that ran past its deadline."""

UNSET: Final = -1
"""No epoch: nothing is known of the deadline."""


class HostFunction(Protocol):
    """A host function: takes unsigned integers as many as its type says, returns a status (or None)."""

    def __call__(self, *values: int) -> int | None:
        """Do it. May raise OutOfBoundsError; anything else is a bug: it is logged, and the guest gets a status."""


class Signature:
    """A host function's type and what it answers when it cannot: `fault` for bad memory, `broken` for a bug."""

    __slots__ = ("broken", "fault", "params", "results")

    def __init__(self, params: Sequence[str], results: Sequence[str], *, fault: int, broken: int) -> None:
        self.params = tuple(params)
        self.results = tuple(results)
        self.fault = fault
        self.broken = broken


class Guest(Protocol):
    """The exported functions of one instance, by their place in the list that `bind` was given."""

    memory: GuestMemory | None
    """The export `memory`, where there is one."""
    due: int
    """For the caller: the epoch that the deadline was set to, so that it is set anew only where it differs."""

    def call(self, function: int, *args: int) -> int:
        """Call an export with 32-bit integers; its first result, 0 without. Raises GuestError."""

    def has(self, function: int) -> bool:
        """Whether the instance exports it."""

    def set_deadline(self, ticks: int) -> None:
        """Trap in that many epochs. `due` is UNSET from then on."""


class UnboundGuest:
    """What stands for an instance while its wasm start function runs: it has no exports and no memory yet."""

    memory: GuestMemory | None = None
    due = UNSET

    def call(self, function: int, *args: int) -> int:
        """Nothing can be called: 0."""
        return 0

    def has(self, function: int) -> bool:
        """Nothing is exported yet."""
        return False

    def set_deadline(self, ticks: int) -> None:
        """The store's own deadline holds."""


class Ffi(Protocol):
    """How guests are linked and called."""

    name: str

    def define(
        self,
        linker: wasmtime.Linker,
        module: str,
        name: str,
        signature: Signature,
        function: HostFunction,
        pause: Callable[[], None],
    ) -> object:
        """Define a host function. What is returned must live as long as any instance that was linked with it.

        `pause` is called at one of pace.SAMPLE host calls, on the guest's thread, while the guest runs.
        """

    def overtime(self, ask: Callable[[], int]) -> object | None:
        """What happens when guests reach their deadline, for `watch`; it must live as long as the stores.

        `ask` says for how many epochs more the guest may run, on its thread; for 0 it traps. None where that cannot
        be had: guests then trap at their deadline.
        """

    def watch(self, store: wasmtime.Store, overtime: object) -> None:
        """Let that happen to the guests of a store."""

    def bind(self, store: wasmtime.Store, instance: wasmtime.Instance, names: Sequence[str]) -> Guest:
        """Make an instance's exports callable. Their types must have been checked: 32-bit integers only."""


def func_type(signature: Signature) -> wasmtime.FuncType:
    """The engine's type for a signature."""
    kinds = {"i32": wasmtime.ValType.i32, "i64": wasmtime.ValType.i64}
    return wasmtime.FuncType(
        [kinds[kind]() for kind in signature.params], [kinds[kind]() for kind in signature.results]
    )
