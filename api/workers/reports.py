"""What a worker tells besides what pools there are, as plain values; and the sum of what guests measure."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from api.metrics.requests import Counts, Key
from reconciler.core.states import Reason
from reconciler.wasm.proxy_wasm import abi

Measured = tuple[str, int, int, int]
"""A guest's metric: name, kind, value (a histogram's sum), number of records."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests that ended since the last report."""

    counts: Mapping[Key, Counts]


@dataclass(frozen=True, slots=True)
class Connections:
    """How many clients are connected now."""

    number: int


@dataclass(frozen=True, slots=True)
class Loaded:
    """A module was loaded or refused (HostObserver)."""

    plugin: str
    result: Reason
    seconds: float


@dataclass(frozen=True, slots=True)
class Spoilt:
    """An instance failed (HostObserver)."""

    plugin: str
    reason: Reason


@dataclass(frozen=True, slots=True)
class Fetched:
    """A module was fetched, or not."""

    result: str


@dataclass(frozen=True, slots=True)
class Measures:
    """All that guests measure, by namespace."""

    spaces: Mapping[str, Sequence[Measured]]


@dataclass(frozen=True, slots=True)
class Line:
    """A log record, as its attributes."""

    record: Mapping[str, object]

    def write(self) -> None:
        """Hand it to this process's loggers."""
        record = logging.makeLogRecord(dict(self.record))
        logging.getLogger(record.name).handle(record)


@dataclass(frozen=True, slots=True)
class MeasuredSpace:
    """A namespace's metrics, of all workers together."""

    name: str
    values: tuple[Measured, ...]

    def metrics(self) -> tuple[Measured, ...]:
        """All of them."""
        return self.values


class AllMeasures:
    """What guests measure in all workers: counters, histograms and gauges are added up. For any thread.

    What was counted in a worker that is gone still counts, as counters never fall; its gauges do not.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now: dict[int, Measures] = {}
        self._past: dict[tuple[str, str, int], tuple[int, int]] = {}

    def told(self, worker: int, measures: Measures) -> None:
        """What a worker's guests measure now."""
        with self._lock:
            self._now[worker] = measures

    def left(self, worker: int) -> None:
        """The worker is gone."""
        with self._lock:
            gone = self._now.pop(worker, None)
            for space, values in gone.spaces.items() if gone is not None else ():
                for name, kind, value, count in values:
                    if kind != abi.GAUGE:
                        self._add(self._past, (space, name, kind), value, count)

    def snapshot(self) -> tuple[MeasuredSpace, ...]:
        """The namespaces that are in use in some worker."""
        with self._lock:
            used = {space for measures in self._now.values() for space in measures.spaces}
            total = {key: values for key, values in self._past.items() if key[0] in used}
            for measures in self._now.values():
                for space, values in measures.spaces.items():
                    for name, kind, value, count in values:
                        self._add(total, (space, name, kind), value, count)
        spaces: dict[str, list[Measured]] = {}
        for (space, name, kind), (value, count) in sorted(total.items()):
            spaces.setdefault(space, []).append((name, kind, value, count))
        return tuple(MeasuredSpace(name, tuple(values)) for name, values in spaces.items())

    @staticmethod
    def _add(sums: dict[tuple[str, str, int], tuple[int, int]], key: tuple[str, str, int], value: int, n: int) -> None:
        before = sums.get(key, (0, 0))
        sums[key] = (before[0] + value, before[1] + n)
