"""The thread that lists: after every poke and, in case one was lost, from time to time.

A poke that names files has only these looked at; every resync, and whatever cannot be told by names, lists all.

Belongs here: when to look. Does not: what is found (store.py), where pokes come from (watch.py, writer.py).
"""

import logging
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from specs.errors import SpecError
from specs.store import DesiredStore

QUIET: Final = 0.003
"""Seconds without a poke before a look begins: several events of one change are one look."""

LONGEST: Final = 0.05
"""Seconds that pokes can hold a look back in total."""

MANY: Final = 200
"""Files that are looked at one by one; of more, some may have been missed by whoever told of them: all are listed."""

_log: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class _Pokes:
    """Pokes that were not answered yet. `due` is when to answer, never where there is none."""

    first: float | None = None
    due: float = float("inf")

    def add(self, now: float) -> None:
        """One more."""
        if self.first is None:
            self.first = now
        if self.due:
            self.due = min(now + QUIET, self.first + LONGEST)

    def hurry(self) -> None:
        """Answer now: somebody waits."""
        self.due = 0.0

    def clear(self) -> None:
        """They are answered."""
        self.first, self.due = None, float("inf")


class SyncLoop:
    """Keeps a store up to date, on a thread called `sync`. `resync`: seconds between listings when nothing happens."""

    def __init__(self, store: DesiredStore, *, resync: float = 10.0) -> None:
        self._store = store
        self._resync = resync
        self._changed = threading.Condition()
        self._asked = 0
        self._listed = 0
        self._looked = 0
        self._whole = _Pokes()
        self._single = _Pokes()
        self._files: dict[str, set[str]] = {}
        self._resync_at = 0.0
        self._again_at = float("inf")
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="sync", daemon=True)

    def start(self) -> None:
        """Begin; the first listing is made at once."""
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

    def poke(self, source: str | None = None, files: Collection[str] | None = None) -> None:
        """Something may have changed: those files of the source at that path, or anything. Never blocks for long."""
        now = time.monotonic()
        with self._changed:
            if source is None or files is None:
                self._whole.add(now)
            else:
                self._single.add(now)
                self._files.setdefault(source, set()).update(files)
            self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until a listing that began after this call is done; False where `timeout` seconds were not enough."""
        with self._changed:
            self._asked += 1
            mine = self._asked
            self._whole.hurry()
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._listed >= mine, timeout)

    def look(self, source: str, file: str, timeout: float) -> bool:
        """As flush, for one file (relative to the source at that path), which may be much quicker.

        One that is being written is waited for: once this returns True, what it said is in force.
        """
        with self._changed:
            self._asked += 1
            mine = self._asked
            self._files.setdefault(source, set()).add(file)
            self._single.hurry()
            self._changed.notify_all()
            return self._changed.wait_for(
                lambda: self._looked >= mine and self._store.is_settled(source, file), timeout
            )

    def _run(self) -> None:
        while (task := self._wait()) is not None:
            asked, files = task
            try:
                again = self._store.refresh() if files is None else self._store.look(files)
            except (SpecError, OSError):
                _log.exception("the sources could not be listed; what is desired stays as it is")
                again = None
            with self._changed:
                self._again_at = float("inf") if again is None else time.monotonic() + again
                self._looked = asked
                if files is None:
                    self._listed = asked
                self._changed.notify_all()

    def _wait(self) -> tuple[int, Mapping[str, Collection[str]] | None] | None:
        """Wait until it is time to look. Returns which requests that answers, and at what (None: all). None: stop."""
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                whole, single = min(self._whole.due, self._resync_at), min(self._single.due, self._again_at)
                if now >= min(whole, single):
                    files, self._files = self._files, {}
                    self._single.clear()
                    if now < whole and sum(map(len, files.values())) <= MANY:
                        return self._asked, files
                    self._whole.clear()
                    self._resync_at = now + self._resync
                    return self._asked, None
                self._changed.wait(min(whole, single) - now)
        return None
