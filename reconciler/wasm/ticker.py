"""The epoch: the clock that guest code checks, so that a guest past its deadline traps.

The ticker advances the engine's epoch once in TICK seconds, by wall clock, while guest calls run. When none has run
for a while its thread sleeps on an event: an idle daemon burns nothing.
"""

import math
import threading
import time
from collections.abc import Callable
from typing import Final

from reconciler.wasm.kind import CallContext

TICK: Final = 0.01
"""Seconds between two epochs. A deadline fires between 0 and 2 ticks late, never early."""

_LINGER: Final = 100
"""Ticks without a guest call before the thread sleeps; waking it costs a request some ten microseconds."""


def has_lasted(call: CallContext) -> bool:
    """Whether a brief call lasts; asked on its thread at each epoch.

    It is found to last by what its thread works from one epoch to the next, not by the clock: on a busy machine a
    thread may stand still for longer than such a call may take.
    """
    worked = time.thread_time()
    if call.worked is None:
        call.worked = worked
    return worked - call.worked >= TICK / 2


class EpochTicker:
    """Calls `advance` in step with the wall clock while calls run. Started on first use, stopped by close()."""

    def __init__(self, advance: Callable[[], None]) -> None:
        self._advance = advance
        self._calls: set[object] = set()
        self._awake = threading.Event()
        self._up = False  # as the event, which takes longer to ask
        self._closed = False
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._began: float | None = None
        self._first = 0
        self._done = 0
        self.epoch = 0
        """How many epochs there were. The engine may be one ahead, never behind."""

    def ticks(self, seconds: float) -> int:
        """How many epochs from now a deadline in `seconds` lies.

        A busy process may let the thread fall behind the clock; it will catch up, so what it owes is added.
        """
        wanted = math.ceil(max(seconds, 0.0) / TICK) + 1
        began = self._began
        return wanted if began is None else wanted + max(0, int((time.monotonic() - began) / TICK) - self._done)

    def due(self, deadline: float) -> int:
        """The epoch in which a deadline (monotonic seconds) is over, while the clock runs; as late as `ticks` says.

        Deadlines within one tick are due in the same epoch, so whoever calls a guest often need not tell the engine
        each time.
        """
        began = self._began
        if began is None:
            return self.epoch + self.ticks(deadline - time.monotonic())
        return self._first + int((deadline - began) / TICK) + 2

    def enter(self, call: object) -> None:
        """A guest call starts. `call` is any hashable thing that is not in a call already.

        The order matters: the call is in the set before `_up` is looked at, and the thread clears that
        before it looks at the set. So either the thread sees the call or the call sees that it must wake it.
        """
        self._calls.add(call)
        if not self._up:
            self._wake()

    def leave(self, call: object) -> None:
        """That guest call ended, however it did."""
        self._calls.discard(call)

    def close(self) -> None:
        """End the thread. Idempotent."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        self._awake.set()
        if thread is not None:
            thread.join()

    @property
    def awake(self) -> bool:
        """Whether the clock runs."""
        return self._awake.is_set() and self._thread is not None

    def _wake(self) -> None:
        with self._lock:
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="epoch", daemon=True)
                self._thread.start()
        self._awake.set()

    def _run(self) -> None:
        while not self._closed:
            self._up = False
            self._awake.clear()
            if not self._calls:
                self._awake.wait()
            self._awake.set()
            self._up = True
            self._tick()

    def _tick(self) -> None:
        began = time.monotonic()
        self._done = 0
        self._first = self.epoch
        self._began = began
        idle = 0
        while idle < _LINGER and not self._closed:
            time.sleep(TICK)
            due = int((time.monotonic() - began) / TICK)
            while self._done < due:
                self._advance()
                self.epoch += 1
                self._done += 1
            idle = 0 if self._calls else idle + 1
        self._began = None
