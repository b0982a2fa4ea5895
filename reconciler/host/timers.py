"""Guests that asked to be called from time to time: when each is due.

The thread `timer` exists only once a guest asked. It runs no guest itself: `due` hands the instance to a starter
thread, so that a slow tick delays no other.
"""

import heapq
import itertools
import threading
from collections.abc import Callable
from typing import Final

from reconciler.host.pool import Pool, Slot

SHORTEST: Final = 0.01
"""Seconds: no guest is called more often."""


class Timers:
    """Calls `due(pool, slot)` about when it was asked to. `clock` gives monotonic seconds."""

    def __init__(self, due: Callable[[Pool, Slot], None], clock: Callable[[], float]) -> None:
        self._due = due
        self._clock = clock
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int, Pool, Slot]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None
        self._closed = False

    def schedule(self, pool: Pool, slot: Slot, period: float) -> None:
        """Call `due` in `period` seconds; once."""
        with self._changed:
            if self._closed:
                return
            heapq.heappush(self._heap, (self._clock() + max(period, SHORTEST), next(self._order), pool, slot))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="timer", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """End the thread. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while (item := self._next()) is not None:
            self._due(*item)

    def _next(self) -> tuple[Pool, Slot] | None:
        with self._changed:
            while not self._closed:
                left = self._heap[0][0] - self._clock() if self._heap else None
                if left is not None and left <= 0:
                    _, _, pool, slot = heapq.heappop(self._heap)
                    return pool, slot
                self._changed.wait(left)
            return None
