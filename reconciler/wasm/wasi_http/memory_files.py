"""Where the directories of guests' bodies lie: in memory, below one directory for each process.

Guests' files can only be opened by name, so a process that is killed leaves its names behind, and what they hold stays
in memory. The directory of a process is locked while it lives; the next process removes those that nobody holds.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Final

_MEMORY: Final = "/dev/shm"  # noqa: S108 - mkdtemp makes the names in it
_MADE: Final = "wasm-reconciler-"
_BEGUN: Final = ".wasm-reconciler-"
"""Until it is locked it has another name, so that nobody takes it for left behind."""


class MemoryFiles:
    """A directory of this process's own. `place` is where; the system's memory if it has some, else its disk."""

    def __init__(self, place: Path | None = None) -> None:
        """Makes it, and removes what killed processes left beside it. Raises OSError."""
        parent = place or Path(_MEMORY if os.path.isdir(_MEMORY) else tempfile.gettempdir())
        _remove_abandoned(parent)
        begun = Path(tempfile.mkdtemp(prefix=_BEGUN, dir=parent))
        lock = os.open(begun, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        self.path = begun.with_name(begun.name[1:])
        begun.rename(self.path)
        self._end = weakref.finalize(self, _remove, self.path, lock)

    def directory(self) -> str:
        """A new directory in it. Raises OSError."""
        return tempfile.mkdtemp(dir=self.path)

    def close(self) -> None:
        """Remove it; at the latest when the process ends. Idempotent."""
        self._end()


def _remove(path: Path, lock: int) -> None:
    shutil.rmtree(path, ignore_errors=True)
    os.close(lock)


def _remove_abandoned(parent: Path) -> None:
    """Directories that nobody holds. Those of other users cannot be opened."""
    for path in parent.glob(f"{_MADE}*"):
        with contextlib.suppress(OSError):
            held = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(held)
