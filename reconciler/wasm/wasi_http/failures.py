"""What went wrong in a component: the engine's errors as failures.

The C API gives a component's trap as a text: a backtrace, then the causes, the innermost last.
"""

import re
from typing import Final

from reconciler.core.observed import Failure
from reconciler.core.states import NextStep, Reason
from reconciler.wasm.failures import FRAME, failure_of, told_in
from reconciler.wasm.ffi.seam import INTERRUPT, GuestError

_MAX_MESSAGE: Final = 2000
_CAUSE: Final = re.compile(r"^\s*\d+: ")
_TRAPS: Final = (
    (INTERRUPT, Reason.DEADLINE_EXCEEDED),
    ("all fuel consumed", Reason.FUEL_EXHAUSTED),
    ("call stack exhausted", Reason.STACK_OVERFLOW),
    ("allocation too large", Reason.OUT_OF_MEMORY),
)


def component_failure(error: GuestError) -> Failure:
    """The failure that an error of a component is; frees the error."""
    text = str(error)
    known = failure_of(error)
    if "backtrace" not in text or "\n" not in text:
        return known
    lines = [line for line in text.splitlines() if line.strip()]
    words = _CAUSE.sub("", lines[-1]).strip()
    reason = next((reason for part, reason in _TRAPS if part in text), known.reason)
    return Failure(reason, told_in(words, FRAME.findall(text))[:_MAX_MESSAGE], NextStep.RETRY)
