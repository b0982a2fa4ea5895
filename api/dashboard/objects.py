"""What the page is told of plugins, pools and sources, as JSON-able data.

Belongs here: shapes. Does not: when to tell (`feed.py`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from reconciler.core.observed import ObservedPlugin
from specs.errors import Problem
from specs.store import Desired, SourceStatus

AROUND: Final = 2
"""Lines that are shown before and after one that is wrong."""
WIDEST: Final = 160
"""Characters of a line that are shown."""
EXCERPTS: Final = 50
"""Problems that are shown with their lines; further ones without."""
LARGEST: Final = 4 * 2**20
"""Bytes up to which a file is read to show some of its lines."""


def plugin_data(entry: Desired, status: Mapping[str, Any] | None) -> dict[str, Any]:
    """A plugin as it is wanted, and what is said of it."""
    plugin = entry.plugin
    return {
        "route": plugin.route,
        "generation": entry.generation,
        "created": entry.created,
        "owner": entry.owner.to_dict(),
        "labels": plugin.metadata.labels,
        "instances": plugin.spec.instances,
        "suspend": plugin.spec.suspend,
        "spec": plugin.to_dict()["spec"],
        "status": dict(status) if status is not None else None,
    }


def pools_data(observed: ObservedPlugin) -> list[dict[str, Any]]:
    """A plugin's pools at this moment: how many instances are idle, busy, draining, failed, and how many should be."""
    found = []
    for pool in observed.pools:
        going = pool.draining_since is not None
        found.append(
            {
                "revision": pool.revision,
                "serving": pool.serving,
                "phase": str(pool.phase),
                "target": 0 if going else pool.target,
                "idle": 0 if going else max(0, pool.ready + pool.retiring - pool.busy),
                "busy": 0 if going else pool.busy - pool.retiring,
                "draining": pool.busy if going else pool.retiring,
                "failed": pool.failed,
                "restarts": pool.restarts,
            }
        )
    return found


def sources_data(sources: Sequence[SourceStatus]) -> list[dict[str, Any]]:
    """The sources; of their files only the broken ones, with the lines around each problem."""
    left = EXCERPTS
    found = []
    for source in sources:
        broken = []
        for file in source.files:
            if file.problems:
                shown, left = file.problems[: max(left, 0)], left - len(file.problems)
                lines = _lines(source, file.path) if shown else []
                broken.append(
                    {
                        "path": file.path,
                        "lastGood": file.last_good,
                        "documents": file.documents,
                        "problems": [
                            _problem(problem, lines if place < len(shown) else [])
                            for place, problem in enumerate(file.problems)
                        ],
                    }
                )
        found.append(
            {
                "id": source.id,
                "kind": source.kind,
                "path": source.path,
                "writable": source.writable,
                "error": source.error,
                "files": len(source.files),
                "plugins": sum(file.documents for file in source.files),
                "broken": broken,
            }
        )
    return found


def _problem(problem: Problem, lines: list[str]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "message": problem.message,
        "field": problem.field,
        "line": problem.line,
        "column": problem.column,
        "excerpt": [],
    }
    if 0 < problem.line <= len(lines):
        first = max(1, problem.line - AROUND)
        numbered = enumerate(lines[first - 1 : problem.line + AROUND], first)
        data["excerpt"] = [[number, line[:WIDEST]] for number, line in numbered]
    return data


def _lines(source: SourceStatus, file: str) -> list[str]:
    """The file's lines as it is now; none where it cannot be read."""
    path = Path(source.path) / file if source.kind == "directory" else Path(source.path)
    try:
        with path.open("rb") as opened:
            return opened.read(LARGEST).decode(errors="replace").splitlines()
    except OSError:
        return []
