"""What instances share through the host: data with compare-and-swap, queues, metrics. Bounded, per namespace.

A namespace is a plugin's own, or one that several plugins name. It lives as long as a prepared guest uses it, so it
outlives a change of revision and not the plugin.
"""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from reconciler.wasm.proxy_wasm import abi

MAX_BYTES: Final = 16 * 2**20
"""Keys, values, names of queues and queued items of one namespace, together."""
MAX_ENTRIES: Final = 65_536
"""Keys, or items in queues."""
MAX_QUEUES: Final = 1024
MAX_METRICS: Final = 4096
Later = list[Callable[[], object]]
"""Changes that are put off."""

_U32: Final = 0xFFFFFFFF
_U64: Final = 0xFFFFFFFFFFFFFFFF


@dataclass(slots=True)
class Queue:
    """A shared queue; `unannounced` counts items that no instance was told of."""

    name: bytes
    items: deque[bytes] = field(default_factory=deque)
    unannounced: int = 0


@dataclass(slots=True)
class Metric:
    """A metric: `value` of a counter or gauge, sum of a histogram; `count` of its records."""

    kind: int
    name: str
    value: int = 0
    count: int = 0


class SharedSpace:
    """One namespace. Safe to use from several threads; methods answer statuses."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.users = 0
        self._lock = threading.Lock()
        self._data: dict[bytes, tuple[bytes, int]] = {}
        self._cas = 0
        self._bytes = 0
        self._queues: list[Queue] = []
        self._queue_ids: dict[bytes, int] = {}
        self._queued = 0
        self._metrics: list[Metric] = []
        self._metric_ids: dict[str, int] = {}

    def get(self, key: bytes) -> tuple[bytes, int] | None:
        """A value and its compare-and-swap number."""
        return self._data.get(key)

    def set(self, key: bytes, value: bytes, cas: int) -> int:
        """Set a value; a `cas` other than 0 must be the current one, where there is a value."""
        with self._lock:
            old = self._data.get(key)
            if old is not None and cas and cas != old[1]:
                return abi.CAS_MISMATCH
            growth = len(value) - len(old[0]) if old is not None else len(key) + len(value)
            if self._bytes + growth > MAX_BYTES or (old is None and len(self._data) >= MAX_ENTRIES):
                return abi.INTERNAL_FAILURE
            self._bytes += growth
            self._cas = self._cas % _U32 + 1
            self._data[key] = (value, self._cas)
            return abi.OK

    def register_queue(self, name: bytes) -> int:
        """The number of a queue, made where there is none; 0 where there are too many."""
        with self._lock:
            number = self._queue_ids.get(name, 0)
            if not number and len(self._queues) < MAX_QUEUES and self._bytes + len(name) <= MAX_BYTES:
                self._bytes += len(name)
                self._queues.append(Queue(name))
                number = len(self._queues)
                self._queue_ids[name] = number
            return number

    def resolve_queue(self, name: bytes) -> int:
        """The number of a queue; 0 for none."""
        return self._queue_ids.get(name, 0)

    def enqueue(self, number: int, item: bytes) -> int:
        """Put an item at a queue's end."""
        with self._lock:
            queue = self._queue(number)
            if queue is None:
                return abi.NOT_FOUND
            if self._queued >= MAX_ENTRIES or self._bytes + len(item) > MAX_BYTES:
                return abi.INTERNAL_FAILURE
            queue.items.append(item)
            queue.unannounced += 1
            self._queued += 1
            self._bytes += len(item)
            return abi.OK

    def dequeue(self, number: int) -> tuple[int, bytes]:
        """The item at a queue's front, with a status."""
        with self._lock:
            queue = self._queue(number)
            if queue is None:
                return abi.NOT_FOUND, b""
            if not queue.items:
                return abi.EMPTY, b""
            item = queue.items.popleft()
            self._queued -= 1
            self._bytes -= len(item)
            return abi.OK, item

    def announcements(self, number: int, most: int) -> int:
        """How many times to tell an instance that the queue is ready; each item is announced once."""
        with self._lock:
            queue = self._queue(number)
            if queue is None or not queue.unannounced:
                return 0
            count = min(queue.unannounced, most)
            queue.unannounced -= count
            return count

    def _queue(self, number: int) -> Queue | None:
        return self._queues[number - 1] if 0 < number <= len(self._queues) else None

    def define_metric(self, kind: int, name: str) -> tuple[int, int]:
        """A status and a metric's number; the same name gives the same number."""
        with self._lock:
            number = self._metric_ids.get(name)
            if number is not None:
                return (abi.OK, number) if self._metrics[number - 1].kind == kind else (abi.BAD_ARGUMENT, 0)
            if len(self._metrics) >= MAX_METRICS:
                return abi.INTERNAL_FAILURE, 0
            self._metrics.append(Metric(kind, name))
            self._metric_ids[name] = len(self._metrics)
            return abi.OK, len(self._metrics)

    def record_metric(self, number: int, value: int, later: Later | None = None) -> int:
        """Set a counter or gauge; add a record to a histogram. With `later`, that is only noted there."""
        metric = self._metric(number)
        if metric is None:
            return abi.NOT_FOUND
        if later is not None:
            later.append(partial(self._record, metric, value))
        else:
            self._record(metric, value)
        return abi.OK

    def increment_metric(self, number: int, delta: int, later: Later | None = None) -> int:
        """Change a counter (up) or gauge (either way). With `later`, that is only noted there."""
        metric = self._metric(number)
        if metric is None:
            return abi.NOT_FOUND
        if metric.kind == abi.HISTOGRAM or (metric.kind == abi.COUNTER and delta < 0):
            return abi.BAD_ARGUMENT
        if later is not None:
            later.append(partial(self._increment, metric, delta))
        else:
            self._increment(metric, delta)
        return abi.OK

    def metric(self, number: int) -> int | None:
        """A metric's value; None where there is no such metric."""
        metric = self._metric(number)
        return None if metric is None else metric.value

    def metrics(self) -> tuple[tuple[str, int, int, int], ...]:
        """All metrics: name, kind, value (a histogram's sum), number of records."""
        with self._lock:
            return tuple((metric.name, metric.kind, metric.value, metric.count) for metric in self._metrics)

    def _metric(self, number: int) -> Metric | None:
        return self._metrics[number - 1] if 0 < number <= len(self._metrics) else None

    def _record(self, metric: Metric, value: int) -> None:
        with self._lock:
            metric.value = metric.value + value if metric.kind == abi.HISTOGRAM else value
            metric.count += 1

    def _increment(self, metric: Metric, delta: int) -> None:
        with self._lock:
            metric.value = (metric.value + delta) & _U64


class SharedSpaces:
    """All namespaces of the host."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spaces: dict[str, SharedSpace] = {}

    def acquire(self, name: str) -> SharedSpace:
        """The namespace, for one more user."""
        with self._lock:
            space = self._spaces.setdefault(name, SharedSpace(name))
            space.users += 1
            return space

    def release(self, space: SharedSpace) -> None:
        """One user fewer; the last one frees it."""
        with self._lock:
            space.users -= 1
            if not space.users:
                self._spaces.pop(space.name, None)

    def snapshot(self) -> tuple[SharedSpace, ...]:
        """The namespaces in use, for showing their metrics."""
        with self._lock:
            return tuple(self._spaces.values())
