"""Tells that something changed somewhere, as soon as the system says so. The only importer of watchdog.

An event never says more than "look again": its kind is not passed on. What no event tells (a full event queue, a
network file system, a file behind a symlink) is found by the resync, so nothing depends on this module but speed.

Belongs here: turning paths into watches and events into pokes. Does not: reading files, deciding anything.
"""

import errno
import os
import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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


@dataclass(frozen=True, slots=True)
class _Spot:
    """A directory that is watched for a path. `names`: only these entries of it count; None: all, and all below."""

    folder: str
    names: frozenset[str] | None


class Watcher:
    """Watches paths, files or directories, that may come and go.

    `poke` is called with the path as it was given, on a thread of this object, whenever something happened at or below
    it; it must be quick and must not raise. `native` makes the observer that is tried first.
    """

    def __init__(self, poke: Callable[[str], None], native: Callable[[], BaseObserver] = Observer) -> None:
        self._poke = poke
        self._lock = threading.Lock()
        self._spots: dict[str, tuple[_Spot, ...]] = {}
        self._watches: dict[tuple[str, bool], ObservedWatch] = {}
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
            self._spots.setdefault(str(path), ())
            self._arm()

    def unwatch(self, path: str | Path) -> None:
        """Watch it no longer."""
        with self._lock:
            self._spots.pop(str(path), None)
            self._arm()

    def close(self) -> None:
        """Stop, and wait for the threads. Closing twice is fine."""
        self._stale.put(None)
        self._thread.join()
        with self._lock:
            if self._observer.is_alive():
                self._observer.stop()
                self._observer.join()

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

    def _rearm(self) -> None:
        """Runs on the thread `watch`: adapt the watches to what came and went, then have everybody look again."""
        while (path := self._stale.get()) is not None:
            with self._lock:
                self._arm()
            self._poke(path)

    def _arm(self) -> None:
        """Make the watches what the paths need now. Call with the lock."""
        try:
            self._schedule()
        except OSError as ex:
            if ex.errno not in _EXHAUSTED or self.polling:
                raise
            self._observer.stop()
            self._observer.join()
            self._watches.clear()
            self._observer = self._poll(ex)
            self._schedule()

    def _schedule(self) -> None:
        # The handlers read the spots without the lock, so what is needed is known before the first event comes.
        self._spots = {path: _spots(path) for path in self._spots}
        needed = {(spot.folder, spot.names is None) for spots in self._spots.values() for spot in spots}
        for key in [key for key in self._watches if key not in needed or not self._lives(key)]:
            self._observer.unschedule(self._watches.pop(key))
        for folder, recursive in needed - self._watches.keys():
            handler = _Handler(folder, recursive, self._tell)
            try:
                watch = self._observer.schedule(handler, folder, recursive=recursive, event_filter=list(_EVENTS))
            except (FileNotFoundError, NotADirectoryError):
                continue  # it went in between, which the watch above it tells
            self._watches[folder, recursive] = watch

    def _lives(self, key: tuple[str, bool]) -> bool:
        """Whether a watch still works: its emitter ends when its directory is deleted."""
        return any(emitter.watch == self._watches[key] and emitter.is_alive() for emitter in self._observer.emitters)

    def _tell(self, folder: str, recursive: bool, paths: Iterable[str], gone: bool) -> None:
        """Runs on the observer's thread, which holds a lock of its own: takes none here."""
        names = {os.path.basename(path) for path in paths}
        for path, spots in self._spots.items():
            for spot in spots:
                if spot.folder != folder or (spot.names is None) != recursive:
                    continue
                if spot.names is None and not gone:
                    self._poke(path)
                elif spot.names is None or spot.names & names:
                    self._stale.put(path)


class _Handler(FileSystemEventHandler):
    """Passes on what happened in one watched directory."""

    def __init__(self, folder: str, recursive: bool, tell: Callable[[str, bool, Iterable[str], bool], None]) -> None:
        self._folder = folder
        self._recursive = recursive
        self._tell = tell

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Any event at all."""
        paths = [os.fsdecode(path) for path in (event.src_path, event.dest_path) if path]
        gone = isinstance(event, (DirDeletedEvent, DirMovedEvent)) and self._folder in paths
        self._tell(self._folder, self._recursive, paths, gone)


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
