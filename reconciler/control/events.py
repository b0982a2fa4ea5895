"""What happened, for people: a bounded list in which repeats are counted instead of repeated.

An event is history, never state: nothing decides by reading it.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from reconciler.core.states import Reason

KEPT: Final = 1000
"""How many different events are remembered; the least recently seen go first."""
KEPT_OF_ONE: Final = 100
"""How many of one name: a plugin that changes all the time does not push out what happened to others."""


_STEPS: Final = frozenset((Reason.CREATED, Reason.DRAINED))
"""Steps on the way to something that has an event of its own: logged for whoever debugs."""

_Key = tuple[str, Reason, str]

log: Final = logging.getLogger("event")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a plugin (or a source), `count` times between `first` and `last` (epoch seconds)."""

    name: str
    kind: str
    reason: Reason
    note: str
    warning: bool
    first: float
    last: float
    count: int = 1
    number: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {
            "kind": self.kind,
            "name": self.name,
            "type": "Warning" if self.warning else "Normal",
            "reason": str(self.reason),
            "note": self.note,
            "firstTimestamp": self.first,
            "lastTimestamp": self.last,
            "count": self.count,
        }


class EventLog:
    """The recent events. Written by the control threads, read by the admin threads. `clock` gives epoch seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._events: OrderedDict[_Key, Event] = OrderedDict()
        self._keys: dict[str, OrderedDict[_Key, None]] = {}
        """The same by name."""
        self._number = 0
        self._listeners: tuple[Callable[[], None], ...] = ()

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each event, on the thread that recorded it."""
        self._listeners = (*self._listeners, listener)

    def record(self, name: str, reason: Reason, note: str, *, warning: bool = False, kind: str = "WasmPlugin") -> None:
        """Remember that this happened now."""
        now, key = self._clock(), (name, reason, note)
        with self._lock:
            self._number += 1
            before = self._events.pop(key, None)
            if before is None:
                event = Event(name, kind, reason, note, warning, now, now, 1, self._number)
            else:
                event = replace(before, last=now, count=before.count + 1, number=self._number)
            self._events[key] = event
            same = self._keys.setdefault(name, OrderedDict())
            same[key] = None
            same.move_to_end(key)
            if len(same) > KEPT_OF_ONE:
                self._forget(next(iter(same)))
            if len(self._events) > KEPT:
                self._forget(next(iter(self._events)))
        for listener in self._listeners:
            listener()
        level = logging.WARNING if warning else logging.DEBUG if reason in _STEPS else logging.INFO
        log.log(level, "%s", note, extra={"reason": reason, "object": name})

    def _forget(self, key: _Key) -> None:
        del self._events[key]
        same = self._keys[key[0]]
        del same[key]
        if not same:
            del self._keys[key[0]]

    def list(self) -> list[dict[str, Any]]:
        """All remembered events, the oldest first."""
        with self._lock:
            return [event.to_dict() for event in self._events.values()]
