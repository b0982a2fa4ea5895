"""How much of a plugin's talk reaches the log: a flood costs its own plugin's lines and nobody else's disk.

Belongs here: counting lines. Does not: cutting long ones (reconciler.wasm), writing them (services.py).
"""

import threading
from collections.abc import Callable
from typing import Final

RATE: Final = 500
"""Lines a second that go on being written."""
BURST: Final = 2000
"""Lines that may come at once, after a second or more of less talk."""
LINE: Final = 1024
"""Bytes that count as one line; a longer one counts as several."""


class LogBudget:
    """One plugin's right to log, refilled with time. Safe to use from several threads. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._left = float(BURST)
        self._at = clock()
        self._dropped = 0

    def spend(self, size: int) -> bool:
        """Whether a line of that many bytes is written. What is not is counted."""
        with self._lock:
            now = self._clock()
            self._left = min(BURST, self._left + (now - self._at) * RATE)
            self._at = now
            # Once dry, it stays so until there is room for a while: every pause in a flood is told with its number.
            if self._left < (RATE / 10 if self._dropped else 1):
                self._dropped += 1
                return False
            self._left -= 1 + size // LINE
            return True

    def take_dropped(self) -> int:
        """How many lines were not written since this was last asked."""
        if not self._dropped:
            return 0
        with self._lock:
            dropped, self._dropped = self._dropped, 0
            return dropped
