"""The reconcile thread: takes names from the queue and makes a pass over each.

The one place of the project that catches every exception: a pass that fails is logged with its stack, told as an
event, and tried again later; the others go on.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from reconciler.control.events import EventLog
from reconciler.control.observer import LoopObserver, NoLoopObserver, PassResult
from reconciler.control.reconcile import Reconciler
from reconciler.control.workqueue import QueueClosed, WorkQueue
from reconciler.core.backoff import start_delay
from reconciler.core.states import Reason

log = logging.getLogger("reconcile")


RESYNC: Final = 10.0
"""Seconds between two looks at everything, for what no event told."""

SOON: Final = 0.003
"""Seconds between a hint that files changed and the look: a burst of hints is one look."""


class ReconcileLoop:
    """Owns the thread named `reconcile`. `names` lists every plugin that is desired or has a pool."""

    def __init__(
        self,
        queue: WorkQueue,
        reconciler: Reconciler,
        events: EventLog,
        names: Callable[[], Iterable[str]],
        observer: LoopObserver | None = None,
    ) -> None:
        self._names = names
        self._resync_at = time.monotonic() + RESYNC
        self._queue = queue
        self._reconciler = reconciler
        self._events = events
        self._observer = observer or NoLoopObserver()
        self._broken: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run, name="reconcile", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def stop(self) -> None:
        """End after the pass under way. Idempotent."""
        self._queue.close()
        if self._thread.is_alive():
            self._thread.join()

    def resync_soon(self) -> None:
        """Something that plugins are made of may have changed: look at all of them, cheaply."""
        self._resync_at = min(self._resync_at, time.monotonic() + SOON)
        self._queue.wake()

    def _run(self) -> None:
        try:
            while True:
                item = self._queue.get(self._resync_at)
                if item is not None:
                    self._pass(*item)
                elif time.monotonic() >= self._resync_at:
                    self._resync()
        except QueueClosed:
            return

    def _resync(self) -> None:
        """Queue the plugins whose inputs or pools differ from what their last quiet pass saw."""
        self._resync_at = time.monotonic() + RESYNC
        self._queue.add(self._reconciler.stale(self._names()))

    def _pass(self, name: str, waited: float) -> None:
        began = time.monotonic()
        self._observer.began(name, waited)
        try:
            after = self._reconciler.reconcile(name)
        except Exception as error:
            failures = self._broken[name] = self._broken.get(name, 0) + 1
            log.exception("pass failed", extra={"plugin": name})
            self._events.record(name, Reason.INTERNAL, f"{type(error).__name__}: {error}", warning=True)
            after = start_delay(failures, name)
            result = PassResult.ERROR
        else:
            self._broken.pop(name, None)
            result = PassResult.SUCCESS if after is None else PassResult.REQUEUE_AFTER
        seconds = time.monotonic() - began
        self._observer.ended(name, result, seconds)
        log.debug("pass", extra={"plugin": name, "waited": waited, "seconds": seconds})
        if after is not None:
            self._queue.add_after(name, after)
