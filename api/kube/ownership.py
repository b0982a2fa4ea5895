"""Remembers who owns which fields of a plugin, in a small SQLite file in the state directory.

Never in the user's file, which would be unreadable with it. A record holds the managers and what they owned: where a
plugin differs from its record, or has none, a file was edited past this API, and the difference belongs to the manager
`file`. Losing the records loses no plugin; all fields then belong to `file`.
"""

import json
import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from api.kube.fields import NotFields, fields_of
from api.kube.managers import FILE, UPDATE, Manager, Managers, decode, updated
from api.kube.numbers import first_number

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS owned (
    name TEXT PRIMARY KEY, uid TEXT NOT NULL, managers TEXT NOT NULL, data TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS start (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL);
"""
logger: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Record:
    uid: str
    managers: Managers
    data: Mapping[str, Any]


class Ownership:
    """The records. For any thread. Raises OSError or sqlite3.Error where the file cannot be opened or made."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        self._lock = threading.Lock()
        self._database = _open(path)
        self._expected: dict[str, tuple[Managers, Mapping[str, Any]]] = {}
        self._records: dict[str, _Record] = {}
        for name, uid, managers, data in self._database.execute("SELECT name, uid, managers, data FROM owned"):
            try:
                self._records[name] = _Record(uid, decode(json.loads(managers)), json.loads(data))
            except (ValueError, NotFields):
                logger.warning("the record of who owns the fields of %s is damaged; it is made anew", name)
        row = self._database.execute("SELECT number FROM start").fetchone()
        self.first_number = first_number(now(), row[0] if row else 0)
        """Where resource versions start in this run."""
        with self._database:
            self._database.execute("REPLACE INTO start VALUES (1, ?)", (self.first_number,))

    def of(self, name: str, uid: str, created: str, data: Mapping[str, Any]) -> Managers:
        """The managers of a plugin as it is now. `created` is RFC 3339; `data` holds all that can be owned."""
        expected = self._expected.get(name)
        if expected is not None and expected[1] == data:
            return expected[0]
        record = self._records.get(name)
        if record is None or record.uid != uid:
            return (Manager(FILE, UPDATE, fields_of(data), created),)
        if record.data == data:
            return record.managers
        return updated(record.managers, record.data, data, Manager(FILE, UPDATE, frozenset()))

    def expect(self, name: str, managers: Managers, data: Mapping[str, Any]) -> None:
        """A write is about to make the plugin `data`: from then on these are its managers. Ends with `settle`."""
        self._expected[name] = (managers, data)

    def settle(self, name: str, uid: str | None, data: Mapping[str, Any]) -> None:
        """The write that was expected made the plugin `data` (`uid`: of what was written), or failed (None)."""
        with self._lock:
            managers, _ = self._expected[name]
            if uid is not None:
                self._records[name] = _Record(uid, managers, data)
                entries = json.dumps([manager.entry() for manager in managers])
                self._write("REPLACE INTO owned VALUES (?, ?, ?, ?)", (name, uid, entries, json.dumps(data)))
            del self._expected[name]

    def forget(self, name: str) -> None:
        """The plugin is gone."""
        with self._lock:
            if self._records.pop(name, None) is not None:
                self._write("DELETE FROM owned WHERE name = ?", (name,))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    def _write(self, statement: str, values: tuple[str, ...]) -> None:
        try:
            with self._database:
                self._database.execute(statement, values)
        except sqlite3.Error as ex:
            logger.warning("who owns the fields of %s is not saved: %s", values[0], ex)


def _open(path: Path) -> sqlite3.Connection:
    try:
        return _connect(path)
    except sqlite3.DatabaseError as ex:
        if isinstance(ex, sqlite3.OperationalError):  # locked, not writable: not a matter of its content
            raise
        logger.warning("%s is damaged (%s); it is put aside and begun anew", path, ex)
        path.replace(path.with_suffix(".corrupt"))
        return _connect(path)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False, timeout=1.0)
    try:
        with closing(database.execute("PRAGMA journal_mode = WAL")):
            pass
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(_SCHEMA)
    except sqlite3.Error:
        database.close()
        raise
    return database
