"""Resource versions: one counter for everything that is served, which never goes backwards, not even over a restart."""

import threading
from typing import Final

HEADROOM: Final = 10**9
"""More changes than one run of the daemon makes; only counts where the clock was set back between two runs."""


def first_number(now: float, last_start: int) -> int:
    """Where to start counting: at the time in microseconds (`now`: epoch seconds), beyond all that an earlier run gave.

    `last_start` is what this function said at the last start, 0 if there was none. Numbers stay below 2**53, so
    that a client which reads them as floating point loses nothing.
    """
    return max(int(now * 1_000_000), last_start + HEADROOM if last_start else 0)


class Numbers:
    """Gives numbers out. For any thread."""

    def __init__(self, first: int) -> None:
        self.first = first
        self._last = first
        self._lock = threading.Lock()

    @property
    def last(self) -> int:
        """The number that was given out last."""
        return self._last

    def next(self) -> int:
        """A number that is larger than all before."""
        with self._lock:
            self._last += 1
            return self._last
