"""A directory as a source: every .yaml, .yml and .json file in it and below.

It is listed whole every time. A listing that fails (unreadable, vanished) changes nothing: an unmounted volume must not
uninstall everything, an emptied directory does. In a Kubernetes ConfigMap mount the visible names are symlinks that
lead through the hidden `..data`; hidden names are skipped and symlinks are followed, so the mount just works.

Belongs here: finding files. Does not: reading them (followed.py).
"""

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from specs.followed import FileState, FollowedFile, Signature, signature_of
from specs.source import Listing

SUFFIXES: Final = (".yaml", ".yml", ".json")

_HIDDEN: Final = ".#~"
"""What begins the names of hidden and temporary files."""

RETRY: Final = 1.0
"""Seconds after which a directory that could not be listed is tried again."""

MAX_FILES: Final = 20_000
"""Most spec files in a directory; more are taken for a mistake, such as the wrong directory."""

MAX_FOLDERS: Final = 5_000
"""Most folders below it."""


class DirectorySource:
    """Follows a directory. `clock` gives monotonic seconds."""

    kind: Final = "directory"

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path: Final = path
        self.id: Final = f"dir:{path}"
        self._clock = clock
        self._files: dict[str, FollowedFile] = {}
        self._states: tuple[FileState, ...] = ()
        self._trusted: set[str] = set()

    def trust(self, file: str) -> None:
        """See Source.trust."""
        self._trusted.add(file)

    def listing(self) -> Listing:
        """See Source.listing."""
        try:
            found = self._walk()
        except OSError as ex:
            for followed in self._files.values():
                followed.forgive()
            place = os.fsdecode(ex.filename) if isinstance(ex.filename, (str, bytes)) else str(self.path)
            return Listing(self._states, f"{place} cannot be listed: {ex.strerror}", again=RETRY)
        now = self._clock()
        waits = [*self._look(found, now), *self._miss(found, now)]
        self._states = tuple(followed.state for _, followed in sorted(self._files.items()))
        return Listing(self._states, again=min(waits, default=None))

    def _look(self, found: dict[str, Signature], now: float) -> list[float]:
        waits = []
        for name, signature in found.items():
            followed = self._files.get(name)
            if followed is None:
                followed = self._files[name] = FollowedFile(self.path / name, name)
            if name in self._trusted:
                self._trusted.discard(name)
                followed.trust()
            wait = followed.look(signature, now)
            if wait is not None:
                waits.append(wait)
        return waits

    def _miss(self, found: dict[str, Signature], now: float) -> list[float]:
        waits = []
        for name in [name for name in self._files if name not in found]:
            if name in self._trusted:
                self._trusted.discard(name)
                self._files[name].trust()
            wait = self._files[name].missing(now)
            if wait is None:
                del self._files[name]
            else:
                waits.append(wait)
        return waits

    def _walk(self) -> dict[str, Signature]:
        """All spec files now, by relative name. Raises OSError where any folder cannot be listed."""
        found: dict[str, Signature] = {}
        top = self.path.stat()
        folders = [""]
        seen = {(top.st_dev, top.st_ino)}
        while folders:
            folder = folders.pop()
            with os.scandir(self.path / folder) as entries:
                for entry in entries:
                    name = entry.name
                    if name[0] in _HIDDEN or not (name.endswith(SUFFIXES) or entry.is_dir()):
                        continue
                    try:
                        status = entry.stat()
                    except FileNotFoundError:
                        continue  # it went between listing and looking, or is a symlink to nothing
                    relative = f"{folder}/{name}" if folder else name
                    if not stat.S_ISDIR(status.st_mode):
                        found[relative] = signature_of(status)
                    elif (place := (status.st_dev, status.st_ino)) not in seen:  # symlinks may lead in circles
                        seen.add(place)
                        folders.append(relative)
            if len(found) > MAX_FILES or len(seen) > MAX_FOLDERS:
                raise OSError(0, f"more than {MAX_FILES} files or {MAX_FOLDERS} folders", str(self.path))
        again = self.path.stat()
        if (again.st_dev, again.st_ino) != (top.st_dev, top.st_ino):
            raise OSError(0, "it was replaced while it was being listed", str(self.path))
        return found
