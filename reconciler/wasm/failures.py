"""What went wrong in a guest: wasmtime's traps and errors as failures.

A failure's message is the engine's own words, then the guest's functions that were being called.
"""

from typing import Final

import wasmtime

from reconciler.core.observed import Failure
from reconciler.core.states import NextStep, Reason
from reconciler.wasm.ffi.seam import GuestError

_MAX_FRAMES: Final = 8
_MAX_MESSAGE: Final = 2000

_TRAPS: Final = {
    wasmtime.TrapCode.INTERRUPT: Reason.DEADLINE_EXCEEDED,
    wasmtime.TrapCode.OUT_OF_FUEL: Reason.FUEL_EXHAUSTED,
    wasmtime.TrapCode.STACK_OVERFLOW: Reason.STACK_OVERFLOW,
    wasmtime.TrapCode.ALLOCATION_TOO_LARGE: Reason.OUT_OF_MEMORY,
}

_HOST_IS_FULL: Final = ("Cannot allocate memory", "os error 12", "failed to reserve", "mmap failed")
_OVER_LIMIT: Final = ("exceeds memory limits", "exceeds table limits", "exceeds memory", "memory minimum size")


def failure_of(error: GuestError, what: str = "") -> Failure:
    """The failure that a trap or an engine's error is; frees the error. `what` says what was being done."""
    with error:
        if isinstance(error, wasmtime.ExitTrap):
            reason, text = Reason.GUEST_EXITED, f"the guest exited with status {error.code}"
        elif isinstance(error, wasmtime.Trap):
            reason, text = _trap(error)
        else:
            reason, text = _engine_error(str(error))
    message = f"{what}: {text}" if what else text
    return Failure(reason, message[:_MAX_MESSAGE], NextStep.RETRY)


def _trap(trap: wasmtime.Trap) -> tuple[Reason, str]:
    text = trap.message.split("\n\nCaused by:")[-1] if "\n\nCaused by:" in trap.message else trap.message
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    words = lines[-1] if lines else "trap"
    frames = [frame.func_name or f"function {frame.func_index}" for frame in trap.frames[:_MAX_FRAMES]]
    code = trap.trap_code
    reason = Reason.TRAPPED if code is None else _TRAPS.get(code, Reason.TRAPPED)
    return reason, f"{words} (in {' < '.join(frames)})" if frames else words


def _engine_error(text: str) -> tuple[Reason, str]:
    words = " ".join(text.split())
    if any(part in text for part in _HOST_IS_FULL):
        return Reason.CAPACITY_EXHAUSTED, f"this process can hold no more instances: {words}"
    if any(part in text for part in _OVER_LIMIT):
        return Reason.OUT_OF_MEMORY, words
    return Reason.TRAPPED, words
