"""When followers ask again, so that many of them never ask at once. Pure: chance is handed in.

The simulation in `benchmarks/scale` runs a thousand nodes on these very functions.
"""

from collections.abc import Callable
from typing import Final

Chance = Callable[[], float]
"""A number between 0 and 1, another each time."""

FIRST: Final = 0.2
"""Seconds after the first failure, before chance."""
LONGEST: Final = 10.0
"""Seconds between tries while the server is away: after its return, all are back within that."""
RESYNC: Final = 600.0
"""Seconds after which everything is listed anew, before chance. A watch that told all makes it needless; it is the
answer to one that did not."""
REFRESH: Final = 3600.0
"""Seconds after which an entry is written again though nothing changed: a hub drops those of nodes that are gone."""
WATCH: Final = 300.0
"""Seconds that a watch lasts, before chance."""
SHORTEST_WATCH: Final = 1.0
"""Seconds below which a watch that told nothing counts as a failure."""
WRITES: Final = 50.0
"""Status writes of one object in a second that all its nodes together aim at."""


def retry_delay(failures: int, chance: Chance) -> float:
    """Seconds to wait after the `failures`th failure in a row: doubling, and any time in the upper half of it."""
    ceiling = min(LONGEST, FIRST * 2.0 ** min(failures - 1, 16))
    return ceiling * (0.5 + 0.5 * chance())


def relist_delay(chance: Chance) -> float:
    """Seconds before listing anew after a version expired, which happens to all followers at the same time."""
    return 2.0 * chance()


def resync_delay(chance: Chance) -> float:
    """Seconds until everything is listed anew."""
    return RESYNC * (0.8 + 0.4 * chance())


def watch_seconds(chance: Chance) -> float:
    """How long to ask a watch to last: they shall not all end together."""
    return WATCH * (0.8 + 0.4 * chance())


def report_delay(nodes: int, chance: Chance) -> float:
    """Seconds before a changed status is written, where `nodes` nodes write to the same object.

    They know of each other by the entries of the object, and spread without a leader.
    """
    return 0.02 + nodes / WRITES * chance()
