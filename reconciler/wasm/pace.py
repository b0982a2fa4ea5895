"""How fast a guest may call the host: one that calls without end leaves turns to the rest of the process.

A host call runs in the interpreter, which runs one thread at a time. A guest that does nothing but call takes it again
the moment that it let it go, and each time that the event loop wants it, it waits.
"""

import time
from typing import Final, Protocol

SAMPLE: Final = 32
"""One of so many host calls, whoever makes them, asks its guest whether it should pause. A power of two."""
FREE: Final = 32
"""How many times one call into a guest is asked before it pauses: after some thousand host calls."""
PAUSE: Final = 0.000_5
"""Seconds. What is left are some 60,000 host calls a second, for guests that make so many in one call."""


class Paced(Protocol):
    """A call into a guest. `turns`: how many times it was asked, 0 at first."""

    turns: int


def take_turn(call: Paced) -> None:
    """Pause the calling thread, where the call has made more than its share of host calls."""
    call.turns += 1
    if call.turns > FREE:
        time.sleep(PAUSE)
