"""How long a call on the event loop kept its thread at work, as against how long it took.

On a busy machine the thread stands still now and then, which says nothing of the guest. The system's count of what a
thread worked takes longer to read than much else that a request needs, so it is read once in a while.
"""

import time
from typing import Final

_FRESH: Final = 0.001
"""Seconds for which a reading serves: by so much, at most, a call seems to have worked longer than it did."""


class LoopClock:
    """Of one pool. For the event loop's thread."""

    __slots__ = ("_read_at", "_worked")

    def __init__(self) -> None:
        self._read_at = float("-inf")
        self._worked = 0.0

    def begin(self, now: float) -> None:
        """A call begins (monotonic seconds)."""
        if now - self._read_at > _FRESH:
            self._read_at = now
            self._worked = time.thread_time()

    def worked(self) -> float:
        """Seconds that the thread worked since about when the call began. Costs as much as a short guest call."""
        return time.thread_time() - self._worked
