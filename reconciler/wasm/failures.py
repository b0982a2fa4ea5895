"""What went wrong in a guest: wasmtime's traps and errors as failures.

A failure's message is the engine's own words, then the guest's functions that were being called.
"""

import re
from collections.abc import Sequence
from typing import Final

import wasmtime

from reconciler.core.observed import Failure
from reconciler.core.states import NextStep, Reason
from reconciler.wasm.ffi.seam import INTERRUPT, GuestError

_MAX_FRAMES: Final = 8
_MAX_MESSAGE: Final = 2000

FRAME: Final = re.compile(r"^\s*\d+:\s+0x[0-9a-f]+ - (?:[^!\n]*!)?(.+)$", re.MULTILINE)
"""A line of a backtrace in the text of an engine's error."""

_TRAPS: Final = {
    wasmtime.TrapCode.INTERRUPT: Reason.DEADLINE_EXCEEDED,
    wasmtime.TrapCode.OUT_OF_FUEL: Reason.FUEL_EXHAUSTED,
    wasmtime.TrapCode.STACK_OVERFLOW: Reason.STACK_OVERFLOW,
    wasmtime.TrapCode.ALLOCATION_TOO_LARGE: Reason.OUT_OF_MEMORY,
}

_HOST_IS_FULL: Final = (
    "Cannot allocate memory",
    "os error 12",
    "failed to reserve",
    "mmap failed",
    "maximum concurrent",
)
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
    frames = [frame.func_name or f"function {frame.func_index}" for frame in trap.frames]
    code = trap.trap_code
    reason = Reason.TRAPPED if code is None else _TRAPS.get(code, Reason.TRAPPED)
    return reason, told_in(words, frames)


def told_in(words: str, frames: Sequence[str]) -> str:
    """The engine's words with the guest's functions, the innermost first."""
    return f"{words} (in {' < '.join(frames[:_MAX_FRAMES])})" if frames else words


def _engine_error(text: str) -> tuple[Reason, str]:
    if INTERRUPT in text:
        return Reason.DEADLINE_EXCEEDED, told_in(INTERRUPT, FRAME.findall(text))
    words = " ".join(text.split())
    if any(part in text for part in _HOST_IS_FULL):
        return Reason.CAPACITY_EXHAUSTED, f"this process can hold no more instances: {words}"
    if any(part in text for part in _OVER_LIMIT):
        return Reason.OUT_OF_MEMORY, words
    return Reason.TRAPPED, words
