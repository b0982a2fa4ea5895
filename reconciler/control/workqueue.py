"""One queue of names, each at most once: many events about one plugin become one pass.

Belongs here: order and time. Does not: why a name is queued; the reconciler finds out by looking.
"""

import heapq
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable


class QueueClosed(Exception):
    """There will be no more work."""


class WorkQueue:
    """A deduplicating delay queue for one consumer thread. `clock` gives monotonic seconds.

    `added` counts what was ever queued, `delayed` what was queued for later.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._ready: OrderedDict[str, float] = OrderedDict()  # name -> when it was added, in the order of work
        self._delayed: list[tuple[float, str]] = []
        self._due: dict[str, float] = {}
        self._closed = False
        self._woken = False
        self.added = 0
        self.delayed = 0

    def add(self, names: Iterable[str]) -> None:
        """Queue names to be looked at now. One that waits already is not queued twice."""
        now = self._clock()
        with self._changed:
            for name in names:
                self.added += 1
                self._due.pop(name, None)
                self._ready.setdefault(name, now)
            self._changed.notify()

    def add_after(self, name: str, seconds: float) -> None:
        """Queue a name for later. An earlier time, or being queued already, wins."""
        due = self._clock() + seconds
        with self._changed:
            if name in self._ready or self._due.get(name, due + 1.0) <= due:
                return
            self.delayed += 1
            self._due[name] = due
            heapq.heappush(self._delayed, (due, name))
            self._changed.notify()

    def get(self, until: float) -> tuple[str, float] | None:
        """The next name and the seconds it waited; None when `until` has come or at `wake`. Raises QueueClosed."""
        with self._changed:
            while not self._closed:
                self._promote()
                if self._ready:
                    name, added = self._ready.popitem(last=False)
                    return name, self._clock() - added
                if self._woken:
                    self._woken = False
                    return None
                wake = min(until, self._delayed[0][0]) if self._delayed else until
                left = wake - self._clock()
                if left <= 0 and wake == until:
                    return None
                self._changed.wait(max(0.0, left))
            raise QueueClosed

    def wake(self) -> None:
        """Have the consumer ask anew: it may want to wait less long than it said."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def close(self) -> None:
        """Wake the consumer and end its work. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __len__(self) -> int:
        """How many names wait to be looked at now."""
        return len(self._ready)

    def _promote(self) -> None:
        now = self._clock()
        while self._delayed and self._delayed[0][0] <= now:
            due, name = heapq.heappop(self._delayed)
            if self._due.get(name) == due:  # otherwise it was queued again meanwhile
                del self._due[name]
                self._ready.setdefault(name, now)
