"""A histogram that is cheap to add to. Read while it is written: a reader may see one observation half."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final

SECONDS: Final = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
"""Upper bounds for what a guest does: most calls take well below a millisecond."""


class Histogram:
    """Counts of observations below each bound, and their sum. One writer at a time."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float) -> None:
        """One observation."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def merge(self, other: "Histogram") -> None:
        """Add all observations of another one with the same bounds."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound and cumulated count, as Prometheus writes them."""
        bounds = [*(repr(bound) for bound in self.bounds), "+Inf"]
        return list(zip(bounds, accumulate(self.counts), strict=True))


def quantile(bounds: Sequence[float], buckets: Mapping[int, int], share: float) -> float:
    """About below which time that share of the observations lies, in milliseconds: straight lines inside a bucket."""
    total = sum(buckets.values())
    wanted, seen = share * total, 0
    for place in sorted(buckets):
        number = buckets[place]
        if number > 0 and seen + number >= wanted:
            if place >= len(bounds):
                break
            low = bounds[place - 1] if place else 0.0
            return float(f"{(low + (bounds[place] - low) * (wanted - seen) / number) * 1000:.3g}")
        seen += max(0, number)
    return bounds[-1] * 1000 if total and bounds else 0.0
