"""A directory as a source: every .yaml, .yml and .json file in it and below.

A listing finds all of it, whatever was told or missed before; to look at single files is only a shorter way to the same
end, after an event that names them. A listing that fails (unreadable, vanished) changes nothing: an unmounted volume
must not uninstall everything, an emptied directory does. In a Kubernetes ConfigMap mount the visible names are symlinks
that lead through the hidden `..data`; hidden names are skipped and symlinks are followed, so the mount just works.

Belongs here: finding files. Does not: reading them (followed.py).
"""

import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
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

_SWAPPED: Final = ".."
"""What begins the names through which a ConfigMap mount is turned to another content, all at once."""

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
        self._states: Mapping[str, FileState] = {}
        self._calm: dict[str, Signature] = {}
        self._due: dict[str, float] = {}
        self._trusted: set[str] = set()
        self._walked: _Walked | None = None

    def trust(self, file: str) -> None:
        """See Source.trust."""
        self._trusted.add(file)

    def listing(self) -> Listing:
        """See Source.listing."""
        try:
            self._walked = walked = _walk(self.path)
        except OSError as ex:
            self._walked = None
            for followed in self._files.values():
                followed.forgive()
            place = os.fsdecode(ex.filename) if isinstance(ex.filename, (str, bytes)) else str(self.path)
            return Listing(self._states, f"{place} cannot be listed: {ex.strerror}", again=RETRY)
        found = walked.found
        trusted = tuple(self._trusted)
        if trusted or found != self._calm or len(found) != len(self._files):
            looked = [name for name, signature in found.items() if self._calm.get(name) != signature]
            missed = self._files.keys() - found
            self._see({name: found.get(name) for name in (*looked, *trusted, *missed)})
        return self._listing()

    def look(self, files: Collection[str]) -> Listing:
        """See Source.look."""
        now = self._clock()
        names = {*files, *(name for name, due in self._due.items() if due <= now)}
        if self._walked is None or any(_is_swapped(name) for name in names):
            return self.listing()
        if names:
            try:
                seen = {name: self._stat(name) for name in names if self._counts(name)}
            except _NotTold:
                return self.listing()
            self._see(seen)
        return self._listing()

    def _counts(self, name: str) -> bool:
        """Whether a walk would find a file of that name. Raises _NotTold where only a walk can tell."""
        if any(part[:1] in _HIDDEN for part in name.split("/")):
            return False
        walked = self._walked
        assert walked is not None
        if not name.endswith(SUFFIXES):
            if name in walked.folders or (self.path / name).is_dir():
                raise _NotTold
            return False
        if name not in self._files and (name.rpartition("/")[0] not in walked.folders or len(self._files) >= MAX_FILES):
            raise _NotTold
        return True

    def _stat(self, name: str) -> Signature | None:
        """The signature of a file, None where it is not there. Raises _NotTold where only a walk can tell."""
        walked = self._walked
        try:
            assert walked is not None
            if _place(self.path.stat()) != walked.top:
                raise _NotTold
            found = (self.path / name).stat()
        except FileNotFoundError:
            if self.path.is_dir():
                return None
            raise _NotTold from None
        except OSError as ex:
            raise _NotTold from ex
        if stat.S_ISDIR(found.st_mode):
            raise _NotTold
        return signature_of(found)

    def _see(self, seen: Mapping[str, Signature | None]) -> None:
        """Take in what files look like now; None: there is no such file."""
        now = self._clock()
        states, changed = dict(self._states), False
        for name, signature in seen.items():
            followed = self._files.get(name)
            if followed is None:
                if signature is None:
                    self._trusted.discard(name)
                    continue
                followed = self._files[name] = FollowedFile(self.path / name, name)
            if name in self._trusted:
                self._trusted.discard(name)
                followed.trust()
            wait = followed.missing(now) if signature is None else followed.look(signature, now)
            self._note(name, followed, None if wait is None else now + wait)
            if signature is None and wait is None:
                del self._files[name], states[name]
                changed = True
            elif states.get(name) is not followed.state:
                states[name] = followed.state
                changed = True
        if changed:
            self._states = states

    def _note(self, name: str, followed: FollowedFile, due: float | None) -> None:
        """Remember when to look at a file again, and what it looks like while there is no reason to."""
        if due is None:
            self._due.pop(name, None)
        else:
            self._due[name] = due
        calm = followed.calm
        if calm is None:
            self._calm.pop(name, None)
        else:
            self._calm[name] = calm

    def _listing(self) -> Listing:
        if not self._due:
            return Listing(self._states)
        again = max(0.0, min(self._due.values()) - self._clock())
        unsettled = frozenset(name for name in self._due if self._files[name].unsettled)
        return Listing(self._states, again=again, unsettled=unsettled)


class _NotTold(Exception):
    """A file alone does not tell what a walk would find."""


_Place = tuple[int, int]
"""Device and inode of a folder."""


@dataclass(frozen=True, slots=True)
class _Walked:
    """What a walk found: all spec files and all folders by relative name, and which folder it began in."""

    found: dict[str, Signature]
    folders: frozenset[str]
    top: _Place


def _walk(path: Path) -> _Walked:
    """Raises OSError where any folder cannot be listed."""
    found: dict[str, Signature] = {}
    top = _place(path.stat())
    folders, walked, seen = [""], [""], {top}
    while folders:
        folder = folders.pop()
        with os.scandir(path / folder) as entries:
            for relative, status in _visible(entries, f"{folder}/" if folder else ""):
                if not stat.S_ISDIR(status.st_mode):
                    found[relative] = signature_of(status)
                elif (place := _place(status)) not in seen:  # symlinks may lead in circles
                    seen.add(place)
                    folders.append(relative)
                    walked.append(relative)
        if len(found) > MAX_FILES or len(seen) > MAX_FOLDERS:
            raise OSError(0, f"more than {MAX_FILES} files or {MAX_FOLDERS} folders", str(path))
    if _place(path.stat()) != top:
        raise OSError(0, "it was replaced while it was being listed", str(path))
    return _Walked(found, frozenset(walked), top)


def _visible(entries: Iterable["os.DirEntry[str]"], prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    """The folders and spec files in a folder."""
    for entry in entries:
        name = entry.name
        if name[0] in _HIDDEN or not (name.endswith(SUFFIXES) or entry.is_dir()):
            continue
        try:
            yield prefix + name, entry.stat()
        except FileNotFoundError:
            continue  # it went between listing and looking, or is a symlink to nothing


def _place(status: os.stat_result) -> _Place:
    return status.st_dev, status.st_ino


def _is_swapped(name: str) -> bool:
    return any(part.startswith(_SWAPPED) for part in name.split("/"))
