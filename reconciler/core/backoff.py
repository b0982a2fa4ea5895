"""How long to wait before the next try. Pure: the jitter comes from the name, so a test can tell it."""

from typing import Final
from zlib import crc32

FIRST: Final = 0.1
"""Seconds before the second try."""
LONGEST: Final = 300.0
"""Seconds that no wait exceeds, before jitter."""
JITTER: Final = 0.2
"""Part of the wait by which names spread, so that many plugins that failed together do not come back together."""


def start_delay(failures: int, name: str) -> float:
    """Seconds after the `failures`th failed start in a row (0.1 s doubling to 5 min, plus up to 20 %)."""
    if failures <= 0:
        return 0.0
    wait = min(LONGEST, FIRST * 2.0 ** min(failures - 1, 32))
    return wait * (1.0 + JITTER * (crc32(f"{name}/{failures}".encode()) % 1000) / 1000.0)


def crash_delay(crashes: int, name: str) -> float:
    """Seconds after the `crashes`th crash in a row: the first instance is replaced at once, then as `start_delay`."""
    return start_delay(crashes - 1, name)
