"""The watch cache: objects with resource versions, and the recent changes in their order.

A feed says which objects changed; the cache compares them with what it has, numbers what differs, and remembers the
last changes so that a watcher can go on from any of them. It works only when somebody asks: a poke costs the thread
that pokes a few microseconds, and what changed meanwhile is looked at by the next reader or watcher.

Belongs here: versions, snapshots, changes. Does not: what objects look like (feeds), HTTP, encodings.
"""

import json
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Protocol

from api.kube.numbers import Numbers

KEPT: Final = 5000
"""Changes that are remembered: enough for a cold start of a thousand plugins. A watcher further behind is cut."""


class Feed(Protocol):
    """Where a cache's objects come from."""

    def changes(self) -> Iterable[tuple[str, dict[str, Any] | None]]:
        """Objects that may have changed since the last call, by name; None for those that are gone.

        An object has no resourceVersion yet and is not touched again by the feed.
        """


@dataclass(frozen=True)
class Item:
    """An object at one version. `data` is shared and must not be changed."""

    name: str
    version: int
    data: Mapping[str, Any]

    @cached_property
    def json(self) -> bytes:
        """It as JSON, made once for all who ask."""
        return json.dumps(self.data, separators=(",", ":")).encode()


@dataclass(frozen=True)
class Change:
    """What happened to one object: created (`before` None), changed, or gone.

    What is gone is told with `after` None, and `before` at the version of its removal.
    """

    version: int
    before: Item | None
    after: Item | None


@dataclass(frozen=True, slots=True)
class View:
    """All objects at one version, sorted by name."""

    version: int
    items: tuple[Item, ...]


class TooOld(Exception):
    """That version is older than what is remembered."""


class TooNew(Exception):
    """That version has not been given out yet."""


class WatchCache:
    """Objects of one kind. For any thread."""

    def __init__(self, feed: Feed, numbers: Numbers, kept: int = KEPT) -> None:
        self._feed = feed
        self._numbers = numbers
        self._kept = kept
        self._lock = threading.Lock()
        self._items: dict[str, Item] = {}
        self._view = View(numbers.first, ())
        self._changes: deque[Change] = deque()
        self._floor = numbers.first
        self._signal = threading.Condition()
        self._pokes = 0
        self._closed = False

    @property
    def pokes(self) -> int:
        """How often the cache was poked; see `wait`."""
        return self._pokes

    @property
    def closed(self) -> bool:
        """Whether watches should end."""
        return self._closed

    @property
    def floor(self) -> int:
        """The oldest version that a watch can start from."""
        return self._floor

    def poke(self) -> None:
        """The feed has news. Never blocks for long."""
        with self._signal:
            self._pokes += 1
            self._signal.notify_all()

    def wait(self, pokes: int, timeout: float) -> None:
        """Block until there was a poke after `pokes`, or `timeout` seconds are over, or the cache is closed."""
        with self._signal:
            self._signal.wait_for(lambda: self._pokes != pokes or self._closed, timeout)

    def close(self) -> None:
        """End every wait. Idempotent."""
        with self._signal:
            self._closed = True
            self._signal.notify_all()

    def view(self) -> View:
        """Everything, now."""
        with self._lock:
            return self._current()

    def get(self, name: str) -> Item | None:
        """One object, now."""
        with self._lock:
            self._drain()
            return self._items.get(name)

    def at(self, version: int) -> View:
        """Everything as it was at a version. Raises TooOld, TooNew."""
        with self._lock:
            now = self._current()
            later = self._later(version)
        if not later:
            return now
        items: dict[str, Item] = {item.name: item for item in now.items}
        for change in reversed(later):
            if change.after is not None:
                items.pop(change.after.name, None)
            if change.before is not None:
                items[change.before.name] = change.before
        return View(version, tuple(items[name] for name in sorted(items)))

    def since(self, version: int) -> tuple[list[Change], int]:
        """The changes after a version, and the version that they lead to. Raises TooOld, TooNew."""
        with self._lock:
            self._drain()
            later = self._later(version)
            return later, later[-1].version if later else version

    def _later(self, version: int) -> list[Change]:
        if version < self._floor:
            raise TooOld
        if version > self._numbers.last:
            raise TooNew
        later: list[Change] = []
        for change in reversed(self._changes):
            if change.version <= version:
                break
            later.append(change)
        later.reverse()
        return later

    def _current(self) -> View:
        self._drain()
        last = self._changes[-1].version if self._changes else self._numbers.first
        if self._view.version != last:
            self._view = View(last, tuple(self._items[name] for name in sorted(self._items)))
        return self._view

    def _drain(self) -> None:
        for name, data in self._feed.changes():
            before = self._items.get(name)
            if data is None:
                if before is not None:
                    self._remove(before)
            elif before is None:
                self._put(data, None, name)
            elif before.data["metadata"].get("uid") != data["metadata"].get("uid"):
                self._remove(before)
                self._put(data, None, name)
            elif not _same(before.data, data):
                self._put(data, before, name)

    def _put(self, data: dict[str, Any], before: Item | None, name: str) -> None:
        version = self._numbers.next()
        item = Item(name, version, _versioned(data, version))
        self._items[name] = item
        self._remember(Change(version, before, item))

    def _remove(self, before: Item) -> None:
        del self._items[before.name]
        self._remember(Change(self._numbers.next(), before, None))

    def _remember(self, change: Change) -> None:
        self._changes.append(change)
        while len(self._changes) > self._kept:
            self._floor = self._changes.popleft().version


def _versioned(data: Mapping[str, Any], version: int) -> dict[str, Any]:
    return {**data, "metadata": {**data["metadata"], "resourceVersion": str(version)}}


def _same(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether two objects are equal but for the version, which the new one does not have yet."""
    if {key: value for key, value in old.items() if key != "metadata"} != {
        key: value for key, value in new.items() if key != "metadata"
    }:
        return False
    metadata = {key: value for key, value in old["metadata"].items() if key != "resourceVersion"}
    return bool(metadata == new["metadata"])
