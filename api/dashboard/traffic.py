"""Requests over the last minutes: what the counters say now, less what they said before.

Belongs here: rates and quantiles from counters. Does not: counting (`api.metrics`), drawing (the page).
"""

from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from api.metrics.histogram import quantile
from api.metrics.requests import Counts, Key

EVERY: Final = 2.0
"""Seconds that one sample covers."""
KEPT: Final = 120
"""Samples that are kept: four minutes."""
SHOWN: Final = 100
"""Plugins of one sample that are kept, the busiest ones; the sum is over all."""
ALL: Final = ""
"""The name under which the sum of all plugins stands; requests that reached no plugin are in it."""


class Meter(Protocol):
    """Where requests are counted."""

    def snapshot(self) -> Mapping[Key, Counts]:
        """All counts, which go on changing."""


@dataclass(slots=True)
class _Sum:
    """What was counted of one plugin, by one moment."""

    requests: int = 0
    errors: int = 0
    buckets: Counter[int] = field(default_factory=Counter)

    def add(self, counts: Counts) -> None:
        for status, number in counts.by_status.copy().items():
            self.requests += number
            self.errors += number if status >= 500 else 0
        self.buckets.update({place: number for place, number in enumerate(counts.seconds.counts) if number})

    def since(self, before: "_Sum") -> "_Sum":
        buckets = Counter({place: number - before.buckets[place] for place, number in self.buckets.items()})
        return _Sum(self.requests - before.requests, self.errors - before.errors, buckets)


class Traffic:
    """The recent samples. For one thread, except `recent`. `clock` gives epoch seconds."""

    def __init__(self, meter: Meter, clock: Callable[[], float]) -> None:
        self._meter = meter
        self._clock = clock
        self._bounds: Sequence[float] = ()
        self._before = self._sums()
        self._samples: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def recent(self) -> list[dict[str, Any]]:
        """The samples, the oldest first."""
        return list(self._samples)

    def sample(self) -> dict[str, Any]:
        """Take one: `at`, and by plugin the number of requests, of 5xx answers, and p50 and p99 in milliseconds."""
        now = self._sums()
        moved = {name: total.since(self._before.get(name, _Sum())) for name, total in now.items()}
        # A plugin that was forgotten and counted anew seems to go back; what it did is seen by the next sample.
        busy = sorted((one for one in moved.items() if one[1].requests > 0), key=lambda one: -one[1].requests)
        self._before = now
        made = {
            "at": round(self._clock(), 1),
            "by": {
                name: [
                    delta.requests,
                    max(0, delta.errors),
                    quantile(self._bounds, delta.buckets, 0.5),
                    quantile(self._bounds, delta.buckets, 0.99),
                ]
                for name, delta in busy[: SHOWN + 1]
            },
        }
        self._samples.append(made)
        return made

    def _sums(self) -> dict[str, _Sum]:
        sums: dict[str, _Sum] = {ALL: _Sum()}
        for (_, plugin), counts in self._meter.snapshot().items():
            self._bounds = counts.seconds.bounds
            for name in {plugin, ALL}:
                sums.setdefault(name, _Sum()).add(counts)
        return sums
