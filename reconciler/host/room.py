"""How much a directory of files holds, known without listing it for each file that is added.

Belongs here: counting. Does not: which files go when there are too many (aot.py, content.py).
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

RECOUNT: Final = 100
"""Files added until the directory is counted again: other processes may add some too."""


class Room:
    """Bytes against a bound. `count` counts what is there; it may raise OSError. One thread at a time."""

    def __init__(self, most: int, count: Callable[[], int]) -> None:
        self.most = most
        self._count = count
        self._held = 0
        self._known_for = 0

    def add(self, size: int) -> bool:
        """A file of that size was added; whether there is too much now. Raises OSError."""
        if self._known_for == 0:
            self.recount()
        else:
            self._held += size
            self._known_for -= 1
        return self._held > self.most

    def recount(self) -> None:
        """Count what is there. Raises OSError."""
        self._held = self._count()
        self._known_for = RECOUNT


def sizes(directory: Path) -> Iterator[int]:
    """The sizes of all files below a directory, one by one: there may be very many. Raises OSError."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from sizes(Path(entry.path))
            elif not entry.is_symlink():
                yield entry.stat(follow_symlinks=False).st_size
