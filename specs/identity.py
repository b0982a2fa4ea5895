"""Who a plugin is, over restarts: its uid, when it was created, its generation, and who owns its name.

Metadata only, in a small SQLite file in the state directory. Losing it loses no plugin: every plugin then gets a new
uid and starts at generation 1. For the same reason a disk that is full does not stop the store: what could not be
saved is saved with the next change.
"""

import logging
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS plugin (
    name TEXT PRIMARY KEY, uid TEXT NOT NULL, created REAL NOT NULL, generation INTEGER NOT NULL,
    spec TEXT NOT NULL, source TEXT NOT NULL, file TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS version (one INTEGER PRIMARY KEY CHECK (one = 1), value INTEGER NOT NULL);
"""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """What is remembered of a plugin. `created` is in epoch seconds; `spec` is a hash; `source` and `file` own it."""

    uid: str
    created: float
    generation: int
    spec: str
    source: str
    file: str


class IdentityStore:
    """Remembers identities. `path` None: in memory only. For one thread at a time.

    Raises OSError (or sqlite3.Error) where the file cannot be opened or made.
    """

    def __init__(self, path: Path | None) -> None:
        self._database = _open(path)
        self._unsaved: dict[str, Identity | None] = {}
        self.all: dict[str, Identity] = {
            row[0]: Identity(*row[1:])
            for row in self._database.execute("SELECT name, uid, created, generation, spec, source, file FROM plugin")
        }
        row = self._database.execute("SELECT value FROM version").fetchone()
        self.resource_version: int = row[0] if row else 0

    def save(self, changed: Mapping[str, Identity], removed: Iterable[str], resource_version: int) -> None:
        """Remember changes, in one transaction."""
        self.all.update(changed)
        self._unsaved.update(changed)
        for name in removed:
            self.all.pop(name, None)
            self._unsaved[name] = None
        self.resource_version = resource_version
        rows = [
            (name, one.uid, one.created, one.generation, one.spec, one.source, one.file)
            for name, one in self._unsaved.items()
            if one is not None
        ]
        try:
            with self._database:
                self._database.executemany("REPLACE INTO plugin VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
                gone = [(name,) for name, one in self._unsaved.items() if one is None]
                self._database.executemany("DELETE FROM plugin WHERE name = ?", gone)
                self._database.execute("REPLACE INTO version VALUES (1, ?)", (resource_version,))
        except sqlite3.Error as ex:
            _log.warning("identities are not saved, the next change tries again: %s", ex)
        else:
            self._unsaved.clear()

    def close(self) -> None:
        """Close the file. Closing twice is fine."""
        self._database.close()


def _open(path: Path | None) -> sqlite3.Connection:
    if path is None:
        return _connect(":memory:")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return _connect(str(path))
    except sqlite3.DatabaseError as ex:
        if isinstance(ex, sqlite3.OperationalError):  # locked, not writable: not a matter of its content
            raise
        aside = path.with_suffix(".corrupt")
        _log.warning("%s is damaged (%s); it is put aside as %s and begun anew", path, ex, aside)
        path.replace(aside)
        for tail in ("-wal", "-shm"):
            path.with_name(path.name + tail).unlink(missing_ok=True)
        return _connect(str(path))


def _connect(target: str) -> sqlite3.Connection:
    database = sqlite3.connect(target, check_same_thread=False, timeout=1.0)
    try:
        # In WAL mode NORMAL does not wait for the disk at each commit; after a power cut the last one may be missing.
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(_SCHEMA)
    except sqlite3.Error:
        database.close()
        raise
    return database
