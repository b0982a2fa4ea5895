"""Counts requests while they end, on the event loop: a few dictionary look-ups for each."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from api.metrics.histogram import Histogram, quantile

Key = tuple[str, str]
"""Route and plugin. The plugin is empty where no instance was found, the route where there is none such."""


@dataclass(slots=True)
class Counts:
    """The requests of one route that one plugin answered (or, with no plugin, that none did)."""

    by_status: dict[int, int] = field(default_factory=dict)
    seconds: Histogram = field(default_factory=Histogram)
    waited: Histogram = field(default_factory=Histogram)
    on_loop: int = 0


class RequestMeter:
    """An Observer of the data plane. `request` is for one thread; everything else for any."""

    def __init__(self) -> None:
        self._counts: dict[Key, Counts] = {}
        self._by_plugin: dict[str, tuple[Counts, ...]] = {}
        self._lock = threading.Lock()

    def request(
        self, route: str, plugin: str, status: int, seconds: float, waited_seconds: float, on_loop: bool = False
    ) -> None:
        """A request ended. `waited` holds the waits of those only that had to wait for an instance."""
        counts = self._counts.get((route, plugin))
        if counts is None:
            counts = self._add((route, plugin))
        by_status = counts.by_status
        by_status[status] = by_status.get(status, 0) + 1
        counts.seconds.add(seconds)
        if on_loop:
            counts.on_loop += 1
        if waited_seconds:
            counts.waited.add(waited_seconds)

    def merge(self, key: Key, counted: Counts) -> None:
        """Add what was counted elsewhere. In place of `request`, for one thread."""
        counts = self._counts.get(key) or self._add(key)
        for status, number in counted.by_status.items():
            counts.by_status[status] = counts.by_status.get(status, 0) + number
        counts.on_loop += counted.on_loop
        counts.seconds.merge(counted.seconds)
        counts.waited.merge(counted.waited)

    def snapshot(self) -> Mapping[Key, Counts]:
        """All counts, which go on changing."""
        with self._lock:
            return dict(self._counts)

    def latency(self, plugin: str, share: float) -> float | None:
        """The milliseconds below which that share of a plugin's requests ended, of all since it was first counted."""
        buckets: Counter[int] = Counter()
        bounds: Sequence[float] = ()
        for counts in self._by_plugin.get(plugin, ()):
            bounds = counts.seconds.bounds
            buckets.update({place: number for place, number in enumerate(counts.seconds.counts) if number})
        return quantile(bounds, buckets, share) if buckets else None

    def keep(self, plugins: Set[str], routes: Set[str]) -> None:
        """Forget the plugins and the routes that are not among these, so that series end with what they are about.

        A route that a kept plugin answered (by the name that its module gives itself) is kept as well.
        """

        def kept(key: Key) -> bool:
            route, plugin = key
            return plugin in plugins if plugin else not route or route in known

        with self._lock:
            known = {*routes, *(route for route, plugin in self._counts if plugin in plugins)}
            for key in [key for key in self._counts if not kept(key)]:
                del self._counts[key]
                self._by_plugin.pop(key[1], None)

    def _add(self, key: Key) -> Counts:
        with self._lock:
            counts = self._counts[key] = Counts()
            if key[1]:
                self._by_plugin[key[1]] = (*self._by_plugin.get(key[1], ()), counts)
            return counts
