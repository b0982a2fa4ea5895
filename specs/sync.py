"""The thread that lists: after every poke and, in case one was lost, from time to time.

Belongs here: when to list. Does not: what a listing means (store.py), where pokes come from (watch.py, writer.py).
"""

import logging
import threading
import time
from typing import Final

from specs.errors import SpecError
from specs.store import DesiredStore

QUIET: Final = 0.003
"""Seconds without a poke before a listing begins: several events of one change are one listing."""

LONGEST: Final = 0.05
"""Seconds that pokes can hold a listing back in total."""

_log: Final = logging.getLogger(__name__)


class SyncLoop:
    """Keeps a store up to date, on a thread called `sync`. `resync`: seconds between listings when nothing happens."""

    def __init__(self, store: DesiredStore, *, resync: float = 10.0) -> None:
        self._store = store
        self._resync = resync
        self._changed = threading.Condition()
        self._asked = 0
        self._done = 0
        self._last_poke = 0.0
        self._first_poke: float | None = None
        self._urgent = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)

    def start(self) -> None:
        """Begin; the first listing is made at once."""
        self.poke()
        self._thread.start()

    def stop(self) -> None:
        """End, and wait for a listing that is being made. Stopping twice is fine."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def poke(self, source: str | None = None) -> None:
        """Something may have changed (in `source`, which is not needed: all are listed). Never blocks for long."""
        now = time.monotonic()
        with self._changed:
            self._asked += 1
            self._last_poke = now
            if self._first_poke is None:
                self._first_poke = now
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until a listing that began after this call is done; False where `timeout` seconds were not enough."""
        with self._changed:
            self._asked += 1
            mine = self._asked
            self._urgent = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._done >= mine, timeout)

    def _run(self) -> None:
        again: float | None = None
        while (asked := self._wait(again)) is not None:
            try:
                again = self._store.refresh()
            except (SpecError, OSError):
                _log.exception("the sources could not be listed; what is desired stays as it is")
                again = None
            with self._changed:
                self._done = asked
                self._changed.notify_all()

    def _wait(self, again: float | None) -> int | None:
        """Wait until it is time to list. Returns how many requests the listing answers, or None: stop."""
        due = time.monotonic() + (self._resync if again is None else min(again, self._resync))
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                at = due
                if self._first_poke is not None:
                    at = min(due, self._first_poke + LONGEST, self._last_poke + QUIET)
                if self._urgent or now >= at:
                    self._urgent, self._first_poke = False, None
                    return self._asked
                self._changed.wait(at - now)
        return None
