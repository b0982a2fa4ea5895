"""Which revisions of a plugin were tried and how they went, and the last good one, over restarts.

Kept in a small SQLite file in the state directory, readable by its owner only: an instance's spec holds the values of
its secrets. Losing it loses no plugin, only the way back. Written by the reconcile thread, read by any.
"""

import logging
import sqlite3
import threading
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter

from reconciler.core.revision import InstanceSpec
from specs.model import WasmPlugin

KEPT: Final = 10
"""Revisions that are remembered for each plugin."""

_SPEC: Final = TypeAdapter(InstanceSpec)
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS rollout (
    name TEXT NOT NULL, revision TEXT NOT NULL, number INTEGER NOT NULL, generation INTEGER NOT NULL,
    result TEXT NOT NULL, at REAL NOT NULL, seconds REAL NOT NULL, message TEXT NOT NULL,
    spec TEXT NOT NULL, plugin TEXT NOT NULL, PRIMARY KEY (name, revision)
) WITHOUT ROWID
"""
_COLUMNS: Final = "revision, number, generation, result, at, seconds, message"

log: Final = logging.getLogger("rollouts")


class Result(StrEnum):
    """How a revision went. SERVED -> GOOD or ROLLED_BACK; FAILED never served."""

    SERVED = "Served"
    GOOD = "Good"
    ROLLED_BACK = "RolledBack"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class Rollout:
    """One revision: first tried `at` (epoch seconds) in that generation; `seconds` until it served or failed."""

    revision: str
    number: int
    generation: int
    result: Result
    at: float
    seconds: float
    message: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data, in the shape of `status.revision.history`."""
        return {
            "revision": self.revision,
            "generation": self.generation,
            "result": str(self.result),
            "at": datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "seconds": round(self.seconds, 6),
            "message": self.message,
        }


class Rollouts:
    """The history of every plugin. `path` None: in memory only. A disk that is full costs the history, nothing else."""

    def __init__(self, path: Path | None) -> None:
        self._lock = threading.Lock()
        self._database = _open(path)
        self._history: dict[str, tuple[Rollout, ...]] = {}
        rows = self._database.execute(f"SELECT name, {_COLUMNS} FROM rollout ORDER BY name, number")  # noqa: S608
        for name, revision, number, generation, result, at, seconds, message in rows:
            rollout = Rollout(revision, number, generation, Result(result), at, seconds, message)
            self._history[name] = (*self._history.get(name, ()), rollout)

    def history(self, name: str) -> tuple[Rollout, ...]:
        """The remembered revisions, the oldest first."""
        return self._history.get(name, ())

    def find(self, name: str, revision: str) -> Rollout | None:
        """How a revision went, if it is remembered."""
        return next((one for one in self.history(name) if one.revision == revision), None)

    def last_good(self, name: str) -> str:
        """The revision that last proved good; empty where none did."""
        good = [one.revision for one in self.history(name) if one.result is Result.GOOD]
        return good[-1] if good else ""

    def needed(self) -> frozenset[str]:
        """The digests of the modules of all last good revisions. Any thread."""
        specs = [self.spec(name, self.last_good(name)) for name in tuple(self._history)]
        return frozenset(spec.module.digest for spec in specs if spec is not None)

    def spec(self, name: str, revision: str) -> InstanceSpec | None:
        """What a revision's instances are made of."""
        row = self._row("spec", name, revision)
        return None if row is None else _SPEC.validate_json(row)

    def plugin(self, name: str, revision: str) -> str | None:
        """The plugin as it was written for a revision, as JSON: what a rollback writes again."""
        return self._row("plugin", name, revision)

    def record(self, name: str, rollout: Rollout, spec: InstanceSpec, plugin: WasmPlugin) -> None:
        """Remember how a revision went; what was known of it before is replaced."""
        before = self.find(name, rollout.revision)
        if before is not None and (before.result, before.generation) == (rollout.result, rollout.generation):
            return
        others = [one for one in self.history(name) if one.revision != rollout.revision]
        number = others[-1].number + 1 if others else 1
        kept, dropped = _bounded([*others, replace(rollout, number=number)])
        self._history[name] = kept
        values = (name, rollout.revision, number, rollout.generation, str(rollout.result), rollout.at, rollout.seconds)
        texts = (
            rollout.message,
            _SPEC.dump_json(spec).decode(),
            plugin.model_dump_json(by_alias=True, exclude_unset=True),
        )
        self._write(
            [("REPLACE INTO rollout VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", (*values, *texts))]
            + [("DELETE FROM rollout WHERE name = ? AND revision = ?", (name, one.revision)) for one in dropped]
        )

    def change(self, name: str, revision: str, result: Result, message: str = "") -> None:
        """A remembered revision turned out otherwise."""
        self._history[name] = tuple(
            replace(one, result=result, message=message) if one.revision == revision else one
            for one in self.history(name)
        )
        statement = "UPDATE rollout SET result = ?, message = ? WHERE name = ? AND revision = ?"
        self._write([(statement, (str(result), message, name, revision))])

    def forget(self, name: str) -> None:
        """The plugin is gone."""
        if self._history.pop(name, None) is not None:
            self._write([("DELETE FROM rollout WHERE name = ?", (name,))])

    def keep_only(self, names: Collection[str]) -> None:
        """Forget the plugins that went while nobody looked."""
        for name in [name for name in self._history if name not in names]:
            self.forget(name)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._database.close()

    def _row(self, column: str, name: str, revision: str) -> str | None:
        with self._lock:
            row = self._database.execute(
                f"SELECT {column} FROM rollout WHERE name = ? AND revision = ?",  # noqa: S608
                (name, revision),
            ).fetchone()
        return None if row is None else str(row[0])

    def _write(self, statements: list[tuple[str, tuple[object, ...]]]) -> None:
        try:
            with self._lock, self._database:
                for statement, values in statements:
                    self._database.execute(statement, values)
        except sqlite3.Error as error:
            log.warning("the history is not saved", extra={"error": str(error)})


def _bounded(history: list[Rollout]) -> tuple[tuple[Rollout, ...], list[Rollout]]:
    """The newest KEPT and what is dropped; the last good one is never dropped."""
    good = [one for one in history if one.result is Result.GOOD][-1:]
    newest = history[-KEPT:]
    kept = newest if not good or good[0] in newest else [good[0], *newest[1:]]
    return tuple(kept), [one for one in history if one not in kept]


def _open(path: Path | None) -> sqlite3.Connection:
    if path is not None:
        path.touch(mode=0o600)
    database = sqlite3.connect(":memory:" if path is None else path, check_same_thread=False, timeout=1.0)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(_SCHEMA)
        database.execute("SELECT count(*) FROM rollout").fetchone()
    except sqlite3.DatabaseError as error:
        database.close()
        if path is None or isinstance(error, sqlite3.OperationalError):
            raise
        aside = path.with_suffix(".corrupt")
        log.warning("the history is damaged and begun anew", extra={"file": str(path), "aside": str(aside)})
        path.replace(aside)
        return _open(path)
    return database
