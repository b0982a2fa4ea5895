"""Something made of files that is made anew when they change, and stays as it was while they are broken.

Belongs here: noticing a change. Does not: what the files mean. For small files that are asked for at every request;
directories of specs have a watcher.
"""

import hashlib
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Generic, TypeVar

T = TypeVar("T")

SETTLED: Final = 2.0
"""Seconds after which a file's time is trusted: two writes within one tick of the file system's clock look alike."""

MAX_BYTES: Final = 4 * 2**20
"""Largest file that is read."""

logger = logging.getLogger(__name__)


class Unusable(Exception):
    """The files do not say what they should. `str()` is a sentence for the user that names the file."""


class Followed(Generic[T]):
    """A value and the files it is made of. `load` reads them and raises Unusable.

    Safe to use from several threads. Raises Unusable when it is made, later never.
    """

    def __init__(self, files: Sequence[Path], load: Callable[[], T]) -> None:
        self._files = tuple(files)
        self._load = load
        self._lock = threading.Lock()
        self._stamp, self._settled = self._look()
        self._seen = self._digest()
        self._problem = ""
        self._value = load()

    def current(self) -> T:
        """The value as the files have it now, or as they last had it while they cannot be used (which is logged)."""
        stamp, settled = self._look()
        if stamp == self._stamp and self._settled:
            return self._value
        with self._lock:
            self._refresh()
            self._stamp, self._settled = stamp, settled
        return self._value

    def _refresh(self) -> None:
        try:
            seen = self._digest()
            if seen != self._seen:
                self._value = self._load()
                logger.info("changed files are in use", extra={"files": ", ".join(map(str, self._files))})
            self._seen, self._problem = seen, ""
        except Unusable as error:
            if str(error) != self._problem:
                message = "changed files cannot be used, and what they said before counts"
                logger.warning(message, extra={"reason": str(error)})
            self._problem = str(error)

    def _look(self) -> tuple[tuple[tuple[int, ...], ...], bool]:
        """What tells one state of the files from another, taken before they are read; and whether it can be trusted."""
        found = [_stat(file) for file in self._files]
        newest = max((max(entry.st_mtime, entry.st_ctime) for entry in found if entry is not None), default=0.0)
        stamps = tuple(
            () if entry is None else (entry.st_mtime_ns, entry.st_ctime_ns, entry.st_ino, entry.st_size)
            for entry in found
        )
        return stamps, newest < time.time() - SETTLED

    def _digest(self) -> str:
        total = hashlib.sha256()
        for file in self._files:
            total.update(hashlib.sha256(read_file(file)).digest())
        return total.hexdigest()


def read_file(path: Path) -> bytes:
    """A small file. Raises Unusable."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise Unusable(f"{path} cannot be read: {error.strerror}") from error
    if len(raw) > MAX_BYTES:
        raise Unusable(f"{path} has more than {MAX_BYTES} bytes")
    return raw


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
