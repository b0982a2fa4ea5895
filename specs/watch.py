"""Tells that something changed somewhere, as soon as the system says so. The only importer of watchdog.

An event never says more than "look again" and, where it knows, at which files: its kind is not passed on. What no event
tells (a full event queue, a network file system, a file behind a symlink) is found by the resync, so nothing depends on
this module but speed.

Belongs here: turning paths into watches and events into pokes. Does not: reading files, deciding anything.
"""

import errno
import logging
import os
import queue
import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final, Protocol

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.observers.polling import PollingObserver

POLL_SECONDS: Final = 1.0
"""How often to look where the system cannot tell."""

_EXHAUSTED: Final = (errno.ENOSPC, errno.EMFILE)
_GONE: Final = (errno.ENOENT, errno.ENOTDIR)

_log: Final = logging.getLogger(__name__)

# Opening a file and closing it after reading are left out: looking at a file must not be a reason to look again.
_EVENTS: Final[tuple[type[FileSystemEvent], ...]] = (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
)


_Key = tuple[str, bool]
"""What a watch is for: a directory, and whether all below it counts as well."""


class _What(Enum):
    """What something happened to: a file, a folder below the watched one, or that one itself, which is gone."""

    FILE = auto()
    FOLDER = auto()
    GONE = auto()


@dataclass(frozen=True, slots=True)
class _Spot:
    """A directory that is watched for a path. `names`: only these entries of it count; None: all, and all below."""

    folder: str
    names: frozenset[str] | None

    @property
    def key(self) -> _Key:
        return self.folder, self.names is None


@dataclass(frozen=True, slots=True)
class _Watch:
    """A watch, and which directory it was made on: another may have taken its name since."""

    scheduled: ObservedWatch
    inode: tuple[int, int]


class Poke(Protocol):
    """Told whenever something happened at or below a path, on a thread of the watcher. Quick; must not raise."""

    def __call__(self, path: str, files: Collection[str] | None, /) -> None:
        """`path` as it was given; `files` below it, relative to it. None: anything."""


class Watcher:
    """Watches paths, files or directories, that may come and go. Of a file only itself, of a directory all below.

    `poke` is told of what happens. `native` makes the observer that is tried first.
    """

    def __init__(self, poke: Poke, native: Callable[[], BaseObserver] = Observer) -> None:
        self._poke = poke
        self._lock = threading.Lock()
        # Replaced, never changed: the observer's thread reads it without the lock.
        self._spots: dict[str, tuple[_Spot, ...]] = {}
        self._watches: dict[_Key, _Watch] = {}
        self._stale: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self.polling = ""
        """Why directories are polled; empty where the system tells of changes."""
        self._observer = self._begin(native)
        self._thread = threading.Thread(target=self._rearm, name="watch", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Watcher":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def watch(self, path: str | Path) -> None:
        """Watch a path. Watching it twice is fine."""
        with self._lock:
            self._arm(str(path))

    def unwatch(self, path: str | Path) -> None:
        """Watch it no longer."""
        with self._lock:
            self._spots = {known: spots for known, spots in self._spots.items() if known != str(path)}
            self._prune()

    def close(self) -> None:
        """Stop, and wait for the threads. Closing twice is fine."""
        self._stale.put(None)
        self._thread.join()
        with self._lock:
            self._end()

    def _begin(self, native: Callable[[], BaseObserver]) -> BaseObserver:
        try:
            observer = native()
            observer.start()
        except OSError as ex:
            if ex.errno not in _EXHAUSTED:
                raise
            return self._poll(ex)
        return observer

    def _poll(self, ex: OSError) -> BaseObserver:
        self.polling = f"{ex.strerror}; directories are looked at every {POLL_SECONDS:g}s instead"
        observer = PollingObserver(timeout=POLL_SECONDS)
        observer.start()
        return observer

    def _end(self) -> None:
        if self._observer.is_alive():
            self._observer.stop()
            self._observer.join()

    def _rearm(self) -> None:
        """Runs on the thread `watch`: adapt the watches to what came and went, then have everybody look again."""
        while (path := self._stale.get()) is not None:
            with self._lock:
                if path not in self._spots:
                    continue
                self._arm(path)
            self._poke(path, None)

    def _arm(self, path: str) -> None:
        """Make the watches what a path needs now. Call with the lock."""
        before, spots = self._spots.get(path), _spots(path)
        self._spots = {**self._spots, path: spots}
        for spot in spots:
            self._schedule(spot.key)
        if before is not None and before != spots:
            self._prune()

    def _schedule(self, key: _Key) -> None:
        folder, recursive = key
        try:
            found = os.stat(folder)
            inode = found.st_dev, found.st_ino
            known = self._watches.get(key)
            if known is not None:
                if known.inode == inode and self._lives(known):
                    return
                self._observer.unschedule(self._watches.pop(key).scheduled)
            handler = _Handler(folder, recursive, self._tell)
            scheduled = self._observer.schedule(handler, folder, recursive=recursive, event_filter=list(_EVENTS))
        except OSError as ex:
            if ex.errno in _EXHAUSTED and not self.polling:
                self._fall_back(ex)
            elif ex.errno not in _GONE:
                _log.warning("%s cannot be watched (%s): changes are found by the resync", folder, ex.strerror)
            return
        self._watches[key] = _Watch(scheduled, inode)

    def _fall_back(self, ex: OSError) -> None:
        """Poll from now on, what was watched so far as well."""
        self._end()
        self._watches.clear()
        self._observer = self._poll(ex)
        for key in {spot.key for spots in self._spots.values() for spot in spots}:
            self._schedule(key)

    def _prune(self) -> None:
        """Drop the watches that no path needs."""
        needed = {spot.key for spots in self._spots.values() for spot in spots}
        for key in self._watches.keys() - needed:
            self._observer.unschedule(self._watches.pop(key).scheduled)

    def _lives(self, watch: _Watch) -> bool:
        """Whether a watch still works: it ends when its directory is deleted."""
        emitters = self._observer.emitters
        return any(emitter.watch == watch.scheduled and emitter.should_keep_running() for emitter in emitters)

    def _tell(self, key: _Key, paths: Sequence[str], what: _What) -> None:
        """Runs on the observer's thread, which holds a lock of its own: takes none here."""
        below = key[0] if key[0].endswith(os.sep) else key[0] + os.sep
        files = {path.removeprefix(below) for path in paths} if what is _What.FILE else None
        names = {os.path.basename(path) for path in paths}
        for path, spots in self._spots.items():
            for spot in spots:
                if spot.key != key:
                    continue
                if spot.names is None and what is not _What.GONE:
                    self._poke(path, files)
                elif spot.names is None or spot.names & names:
                    self._stale.put(path)


class _Handler(FileSystemEventHandler):
    """Passes on what happened in one watched directory."""

    def __init__(self, folder: str, recursive: bool, tell: Callable[[_Key, Sequence[str], _What], None]) -> None:
        self._folder = folder
        self._key = folder, recursive
        self._tell = tell

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Any event at all."""
        paths = [os.fsdecode(path) for path in (event.src_path, event.dest_path) if path]
        what = _What.FOLDER if event.is_directory else _What.FILE
        if isinstance(event, (DirDeletedEvent, DirMovedEvent)) and self._folder in paths:
            what = _What.GONE
        self._tell(self._key, paths, what)


def _spots(path: str) -> tuple[_Spot, ...]:
    """What to watch for a path now.

    A directory: all of it, and its entry in the folder above, which tells when it is removed, made again, or is a
    symlink that is turned elsewhere. Anything else: its entry (and `..data`, which a ConfigMap mount turns). What does
    not exist: the entry of the first missing part.
    """
    absolute = os.path.abspath(path)
    real = os.path.realpath(absolute)
    above, name = os.path.split(absolute)
    while not os.path.isdir(above):
        above, name = os.path.split(above)
    spots = [_Spot(os.path.realpath(above), frozenset((name, "..data")))]
    if os.path.isdir(real):
        spots.append(_Spot(real, None))
    elif os.path.exists(real) and os.path.dirname(real) != spots[0].folder:
        spots.append(_Spot(os.path.dirname(real), frozenset((os.path.basename(real),))))
    return tuple(spots)
