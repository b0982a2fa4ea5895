"""Stores in an SQLite file: kept over restarts, and shared with other processes on this machine.

One file holds many stores, each under its name. It is opened (and made) by the first read or write, so a daemon whose
guests keep no state leaves no file behind.
"""

import sqlite3
import threading
from pathlib import Path
from typing import Final

from reconciler.state.errors import StoreUnavailable

BUSY_TIMEOUT: Final = 0.5
"""Seconds that a writer waits for a writer in another process. Readers wait for nobody (WAL)."""

MAX_PAGES: Final = 262_144
"""Pages of 4 KiB: a file grows to a GiB at most, for guests write it."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (
    store TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (store, key)
) WITHOUT ROWID
"""


class SqliteDatabase:
    """The file. Safe to use from several threads.

    One connection under a lock rather than one for each thread: a read takes some microseconds, and threads that end
    leave no connections behind.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._closed = False

    def store(self, name: str) -> "SqliteStore":
        """The store of that name. It costs nothing until it is used."""
        return SqliteStore(self, name)

    def column(self, statement: str, *values: str | int) -> list[str]:
        """The first column of all rows. Raises StoreUnavailable."""
        try:
            with self._lock:
                return [row[0] for row in self._open().execute(statement, values)]
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error

    def run(self, statement: str, *values: str | bytes) -> tuple[bytes | None, int]:
        """One statement in a transaction of its own: the first column of the first row, and the rows changed.

        Raises StoreUnavailable.
        """
        try:
            with self._lock:
                cursor = self._open().execute(statement, values)
                row = cursor.fetchone()
                return (None if row is None else row[0]), cursor.rowcount
        except (sqlite3.Error, OSError, UnicodeEncodeError) as error:
            raise StoreUnavailable(f"{self._path}: {error}") from error

    def close(self) -> None:
        """Close the file; later use raises StoreUnavailable. Idempotent."""
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
            if connection is not None:
                connection.close()

    def _open(self) -> sqlite3.Connection:
        if self._closed:
            raise StoreUnavailable(f"{self._path}: the store is closed")
        if self._connection is None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            connection = sqlite3.connect(
                self._path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA journal_mode=WAL")
                # With WAL this loses at most the last writes when the machine dies, never the file.
                connection.execute("PRAGMA synchronous=NORMAL")
                connection.execute(f"PRAGMA max_page_count={MAX_PAGES}")
                connection.execute(_SCHEMA)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection


class SqliteStore:
    """A Store in a SqliteDatabase, which outlives it."""

    waits = False

    def __init__(self, database: SqliteDatabase, name: str) -> None:
        self._database = database
        self._name = name

    def get(self, key: str) -> bytes | None:
        """The value; None where there is none."""
        value, _ = self._database.run(
            "SELECT CAST(value AS BLOB) FROM entries WHERE store = ? AND key = ?", self._name, key
        )
        return value

    def set(self, key: str, value: bytes) -> None:
        """Put a value there."""
        self._database.run("INSERT OR REPLACE INTO entries VALUES (?, ?, ?)", self._name, key, value)

    def delete(self, key: str) -> bool:
        """Remove a value; whether there was one."""
        _, changed = self._database.run("DELETE FROM entries WHERE store = ? AND key = ?", self._name, key)
        return changed > 0

    def keys(self, start: int, most: int) -> tuple[list[str], int]:
        """Some keys, and where the next ones start."""
        statement = "SELECT key FROM entries WHERE store = ? ORDER BY key LIMIT ? OFFSET ?"
        found = self._database.column(statement, self._name, most + 1, start)
        return found[:most], start + most if len(found) > most else 0

    def swap(self, key: str, old: bytes | None, new: bytes) -> bool:
        """Put a value there in place of that one."""
        if old is None:
            _, changed = self._database.run("INSERT OR IGNORE INTO entries VALUES (?, ?, ?)", self._name, key, new)
        else:
            statement = "UPDATE entries SET value = ? WHERE store = ? AND key = ? AND CAST(value AS BLOB) = ?"
            _, changed = self._database.run(statement, new, self._name, key, old)
        return changed > 0

    def close(self) -> None:
        """Nothing is held: the database is closed by its owner."""
