"""What pages are told: everything at first, then what changed, each change encoded once for all pages.

One thread gathers: whatever changes pokes it, and several changes within a moment become one message. While no page
is open it only samples the traffic. A page that falls behind is told everything again, so nothing ever waits for one.

Belongs here: what was told, and what is new. Does not: what things look like (`objects.py`), HTTP (`stream.py`).
"""

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from api.dashboard.objects import plugin_data, pools_data, sources_data
from api.dashboard.traffic import EVERY, Traffic
from api.ports import DesiredReader, StatusReader
from reconciler.core.observed import ObservedPlugin
from specs.store import SourceStatus

GATHER: Final = 0.25
"""Seconds between two messages, at least."""
LOOK: Final = 1.0
"""Seconds between two looks at what does not tell of itself: pools, queues, sources."""
KEPT: Final = 64
"""Messages that are remembered for pages that are slower than others."""
EVENTS: Final = 300
"""Events that a page is told when it opens."""


class DesiredState(DesiredReader, Protocol):
    """Desired state, read and followed."""

    def subscribe(self, callback: Callable[[frozenset[str]], None]) -> None:
        """Call back with the names that changed."""


class Statuses(StatusReader, Protocol):
    """Statuses, read and followed."""

    def subscribe(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Call back with the names whose status changed."""


class History(Protocol):
    """Events, read and followed."""

    def list(self) -> Sequence[Mapping[str, Any]]:
        """The remembered events, the oldest first, as JSON-able data."""

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call back after each event."""


class Pools(Protocol):
    """The pool host, as one who looks on sees it."""

    def observe(self, plugin: str) -> ObservedPlugin:
        """What there is of a plugin."""

    def plugins(self) -> Sequence[str]:
        """The plugins that have a pool."""

    def queued(self) -> Mapping[str, int]:
        """How many requests wait, by route."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Where everything that pages show comes from."""

    desired: DesiredState
    status: Statuses
    events: History
    pools: Pools


@dataclass(slots=True)
class _Told:
    """What pages know."""

    plugins: dict[str, Any] = field(default_factory=dict)
    pools: dict[str, Any] = field(default_factory=dict)
    queued: Mapping[str, int] = field(default_factory=dict)
    events: dict[tuple[str, str, str], tuple[int, float]] = field(default_factory=dict)
    recent: list[Mapping[str, Any]] = field(default_factory=list)
    sources: tuple[SourceStatus, ...] = ()
    sources_data: list[dict[str, Any]] = field(default_factory=list)


class Feed:
    """Messages with numbers, for any number of readers. `about` is what every page is told first."""

    def __init__(self, watched: Watched, traffic: Traffic, about: Callable[[], Mapping[str, Any]]) -> None:
        self._watched = watched
        self._traffic = traffic
        self._about = about
        self._told = _Told()
        self._lock = threading.Lock()
        self._messages: deque[bytes] = deque(maxlen=KEPT)
        self._last = 0
        self._readers = 0
        self._changed = threading.Condition()
        self._note_lock = threading.Lock()  # held for a moment only: control threads note
        self._noted: set[str] = set(watched.desired.list().plugins)
        self._events_noted = True
        self._poked = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        watched.desired.subscribe(self._note)
        watched.status.subscribe(self._note)
        watched.events.subscribe(self._note_events)

    @property
    def closed(self) -> bool:
        """Whether readers should end."""
        return self._stopping.is_set()

    def start(self) -> None:
        """Gather on a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and every wait. Idempotent."""
        self._stopping.set()
        self._poked.set()
        with self._changed:
            self._changed.notify_all()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def join(self) -> tuple[int, bytes]:
        """One more reader: everything as of now, and its number. `leave` once for each."""
        with self._lock:
            self._readers += 1
        return self.everything()

    def leave(self) -> None:
        """One reader less."""
        with self._lock:
            self._readers -= 1

    def everything(self) -> tuple[int, bytes]:
        """All that there is to tell, and the number from which changes go on."""
        with self._lock:
            self._publish(self._changes(look=True))
            told = self._told
            return self._last, _encode(
                {
                    "about": dict(self._about()),
                    "plugins": told.plugins,
                    "pools": told.pools,
                    "queued": told.queued,
                    "events": told.recent[-EVENTS:],
                    "sources": told.sources_data,
                    "traffic": self._traffic.recent(),
                }
            )

    def since(self, number: int) -> list[bytes] | None:
        """The messages after a number; None where some are forgotten."""
        with self._lock:
            missing = self._last - number
            if missing > len(self._messages):
                return None
            return list(self._messages)[len(self._messages) - missing :]

    def wait(self, number: int, timeout: float) -> None:
        """Block until there is a message after that number, or `timeout` seconds are over, or the feed ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._last != number or self.closed, timeout)

    def _note(self, names: frozenset[str]) -> None:
        with self._note_lock:
            self._noted |= names
        self._poked.set()

    def _note_events(self) -> None:
        self._events_noted = True
        self._poked.set()

    def _run(self) -> None:
        next_sample = time.monotonic() + EVERY
        next_look = 0.0
        while not self.closed:
            now = time.monotonic()
            with self._lock:
                sample = None
                if now >= next_sample:
                    sample, next_sample = self._traffic.sample(), now + EVERY
                if self._readers:
                    look = now >= next_look
                    next_look = now + LOOK if look else next_look
                    changes = self._changes(look=look)
                    self._publish(changes | {"traffic": [sample]} if sample else changes)
            self._poked.wait(max(0.0, min(next_sample, next_look if self._readers else next_sample) - now))
            self._stopping.wait(GATHER)
            self._poked.clear()

    def _publish(self, changes: Mapping[str, Any]) -> None:
        if not changes:
            return
        self._messages.append(_encode(changes))
        with self._changed:
            self._last += 1
            self._changed.notify_all()

    def _changes(self, *, look: bool) -> dict[str, Any]:
        """What is not told yet; `look` includes what has to be looked at."""
        changes: dict[str, Any] = {}
        if plugins := self._changed_plugins():
            changes["plugins"] = plugins
        if self._events_noted and (events := self._new_events()):
            changes["events"] = events
        if look:
            changes |= self._looked_at()
        return changes

    def _changed_plugins(self) -> dict[str, Any]:
        with self._note_lock:
            noted, self._noted = self._noted, set()
        changed = {}
        for name in sorted(noted):
            entry = self._watched.desired.get(name)
            data = None if entry is None else plugin_data(entry, self._watched.status.get(name))
            if data != self._told.plugins.get(name):
                changed[name] = data
        _merge(self._told.plugins, changed)
        return changed

    def _new_events(self) -> list[Mapping[str, Any]]:
        self._events_noted = False
        known, told, new = self._told.events, {}, []
        self._told.recent = list(self._watched.events.list())
        for event in self._told.recent:
            key = (event["name"], event["reason"], event["note"])
            told[key] = (event["count"], event["lastTimestamp"])
            if known.get(key) != told[key]:
                new.append(event)
        self._told.events = told
        return new

    def _looked_at(self) -> dict[str, Any]:
        changes: dict[str, Any] = {}
        told, pools = self._told, self._watched.pools
        present = {name: pools_data(pools.observe(name)) for name in pools.plugins()}
        changed: dict[str, Any] = {name: data for name, data in present.items() if told.pools.get(name) != data}
        changed |= dict.fromkeys(told.pools.keys() - present.keys())
        if changed:
            _merge(told.pools, changed)
            changes["pools"] = changed
        queued = {route: waiting for route, waiting in pools.queued().items() if waiting}
        if queued != told.queued:
            told.queued = changes["queued"] = queued
        sources = tuple(self._watched.desired.sources())
        if sources != told.sources:
            told.sources, told.sources_data = sources, sources_data(sources)
            changes["sources"] = told.sources_data
        return changes


def _merge(known: dict[str, Any], changed: Mapping[str, Any]) -> None:
    """Take over changes; None removes."""
    for name, data in changed.items():
        if data is None:
            known.pop(name, None)
        else:
            known[name] = data


def _encode(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()
