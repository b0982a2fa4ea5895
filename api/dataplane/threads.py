"""The threads that long guests run on. As many run at once as jobs are given, up to a bound."""

import threading
from collections import deque
from collections.abc import Callable

from reconciler.host.priority import give_way

Job = Callable[[], None]


class GuestThreads:
    """A pool of daemon threads that grows as needed; an idle thread ends after a while.

    Not concurrent.futures: its threads stay for ever, and the interpreter's end waits for a guest that does not return.
    """

    def __init__(self, limit: int, idle_seconds: float) -> None:
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._threads = 0
        self._idle = 0
        self._named = 0
        self._closed = False

    @property
    def threads(self) -> int:
        """How many threads there are."""
        return self._threads

    @property
    def idle(self) -> int:
        """How many of them wait for a job."""
        return self._idle

    def run(self, job: Job) -> bool:
        """Run a job on an idle thread or a new one; past the bound it waits for one. False: no thread can be had."""
        with self._changed:
            if self._closed:
                return False
            self._jobs.append(job)
            if self._idle >= len(self._jobs):
                self._changed.notify()
                return True
            if self._threads >= self._limit or self._start() or self._threads:
                return True
            self._jobs.remove(job)
            return False

    def close(self) -> None:
        """No new jobs; idle threads end now, the others when their guest returns. Idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _start(self) -> bool:
        """One more thread; whether the system has one. With the lock held."""
        thread = threading.Thread(target=self._work, name=f"guest-{self._named + 1}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False
        self._named += 1
        self._threads += 1
        return True

    def _work(self) -> None:
        orderly = False
        give_way()
        try:
            while (job := self._next()) is not None:
                job()
                del job  # an idle thread must not keep the last request's body
            orderly = True
        finally:
            if not orderly:
                self._replace()

    def _next(self) -> Job | None:
        """The next job; None when this thread shall end, which is then counted."""
        with self._changed:
            self._idle += 1
            try:
                self._changed.wait_for(lambda: self._jobs or self._closed, self._idle_seconds)
            finally:
                self._idle -= 1
            if self._jobs:
                return self._jobs.popleft()
            self._threads -= 1
            return None

    def _replace(self) -> None:
        """A job raised what it should not, and its thread ends: others may wait for a thread."""
        with self._changed:
            self._threads -= 1
            if len(self._jobs) > self._idle:
                self._start()
