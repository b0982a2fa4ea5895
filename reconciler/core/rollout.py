"""Whether a revision that just began to serve is any good. Pure."""

from enum import StrEnum
from typing import Final

from reconciler.core.observed import ObservedPool

FIRST_CALLS: Final = 20
"""Calls by which a revision is judged, where fewer come in its `min_healthy_time`."""
LEAST_BAD: Final = 3
"""Bad calls below which nothing is concluded: one bad request is no bad revision."""
BAD_SHARE: Final = 0.5
"""Share of bad calls from which a revision is bad."""


class Verdict(StrEnum):
    """What is known of a revision.

    WATCHED -> GOOD when its time is over, WATCHED -> BAD when too many of its calls failed meanwhile.
    """

    WATCHED = "watched"
    GOOD = "good"
    BAD = "bad"


def judge(pool: ObservedPool, now: float) -> Verdict:
    """The verdict on a serving pool at `now` (monotonic seconds)."""
    since = pool.serving_since if pool.serving_since is not None else now
    over = now - since >= pool.settings.min_healthy_time
    if pool.bad_calls >= LEAST_BAD and pool.bad_calls >= BAD_SHARE * pool.calls:
        if not over or pool.calls <= FIRST_CALLS:
            return Verdict.BAD
        return Verdict.WATCHED  # bad, but too late to blame the change: it is not called good either
    return Verdict.GOOD if over else Verdict.WATCHED


def judged_in(pool: ObservedPool, now: float) -> float:
    """Seconds until the verdict is due without more calls; 0 where it is there."""
    since = pool.serving_since if pool.serving_since is not None else now
    return max(0.0, since + pool.settings.min_healthy_time - now)
