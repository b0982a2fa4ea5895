"""Objects as the rows that `kubectl get` prints: `meta.k8s.io/v1` Table."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

Object = Mapping[str, Any]
Cells = Callable[[Object, float], list[Any]]
Latency = Callable[[str, float], float | None]
"""The milliseconds below which a share of a plugin's requests ended; None where there were none."""

TABLE: Final = "meta.k8s.io/v1"
_SHORT: Final = 12
"""Characters of a revision that people need to tell it from others."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of one kind, and how to fill them: from an object and the time (epoch seconds)."""

    definitions: tuple[Mapping[str, Any], ...]
    cells: Cells


def table(
    columns: Columns, items: Iterable[Object], include: str, now: float, metadata: Mapping[str, Any], *, head: bool
) -> dict[str, Any]:
    """A Table. `include` says what of each object comes along: `Metadata`, `Object` or `None`.

    `head`: with the column definitions, which a watch sends once.
    """
    return {
        "kind": "Table",
        "apiVersion": TABLE,
        "metadata": dict(metadata),
        "columnDefinitions": list(columns.definitions) if head else [],
        "rows": [_row(columns, item, include, now) for item in items],
    }


def _row(columns: Columns, item: Object, include: str, now: float) -> dict[str, Any]:
    row: dict[str, Any] = {"cells": columns.cells(item, now)}
    if include == "Object":
        row["object"] = item
    elif include != "None":
        row["object"] = partial(item)
    return row


def partial(item: Object) -> dict[str, Any]:
    """An object's metadata alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": TABLE, "metadata": item["metadata"]}


def _column(name: str, kind: str, description: str, *, wide: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "format": "name" if name == "Name" else "",
        "description": description,
        "priority": 1 if wide else 0,
    }


def age(timestamp: str, now: float) -> str:
    """How long ago an RFC 3339 time was, as kubectl says it: `42s`, `5m10s`, `3d4h`."""
    if not timestamp:
        return "<unknown>"
    seconds = max(0, int(now - datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()))
    return human(seconds)


def human(seconds: int) -> str:
    """A duration in the steps of k8s.io/apimachinery `duration.HumanDuration`."""
    if seconds < 120:
        return f"{seconds}s"
    minutes = seconds // 60
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = minutes // 60
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    return f"{days}d" if days < 730 else f"{days // 365}y"


def _two(large: int, unit: str, small: int, below: str) -> str:
    return f"{large}{unit}{small}{below}" if small else f"{large}{unit}"


def plugin_status(item: Object) -> str:
    """One word on where a plugin stands: Ready, or why not."""
    for condition in item["status"].get("conditions", ()):
        if condition["type"] == "Ready":
            return "Ready" if condition["status"] == "True" else str(condition["reason"])
    return "Pending"


def _plugin_cells(item: Object, now: float) -> list[Any]:
    """All cells but the last, which is no part of the object."""
    spec, status, metadata = item["spec"], item["status"], item["metadata"]
    instances = status.get("instances", {})
    owner = status.get("owner", {})
    module = spec["module"]
    wanted = instances.get("desired", spec.get("instances", 1))
    return [
        metadata["name"],
        spec.get("route") or metadata["name"],
        f"{instances.get('ready', 0)}/{wanted}",
        status.get("revision", {}).get("serving", "")[:_SHORT],
        plugin_status(item),
        age(metadata["creationTimestamp"], now),
        module.get("path") or module.get("url") or module.get("image"),
        f"{owner['file']}:{owner['line']}" if owner else "",
        instances.get("restarts", 0),
    ]


def plugin_columns(latency: Latency) -> Columns:
    """The columns of plugins.

    Latencies are looked up as a row is made: were they in the object, it would change all the time, and be told to
    every watcher.
    """

    def cells(item: Object, now: float) -> list[Any]:
        found = latency(item["metadata"]["name"], 0.99)
        return [*_plugin_cells(item, now), "-" if found is None else f"{found:g}ms"]

    return Columns(_PLUGIN_COLUMNS, cells)


_PLUGIN_COLUMNS: Final = (
    _column("Name", "string", "The plugin's identity."),
    _column("Route", "string", "What requests name."),
    _column("Ready", "string", "Instances that are ready, of those desired."),
    _column("Revision", "string", "The revision that serves."),
    _column("Status", "string", "Ready, or the reason why it is not."),
    _column("Age", "string", "How long ago it was first desired."),
    _column("Module", "string", "Where the module comes from.", wide=True),
    _column("Owner", "string", "The file and line that it is written in.", wide=True),
    _column("Restarts", "integer", "Instances that were replaced after a failure.", wide=True),
    _column("P99", "string", "The latency that 99 of 100 requests stayed below since the daemon started.", wide=True),
)


def _event_cells(item: Object, now: float) -> list[Any]:
    about = item.get("involvedObject") or item["regarding"]
    last = item.get("lastTimestamp") or item["deprecatedLastTimestamp"]
    first = item.get("firstTimestamp") or item["deprecatedFirstTimestamp"]
    count = item.get("count") or item["deprecatedCount"]
    return [
        age(last, now),
        item["type"],
        item["reason"],
        f"{about['kind'].lower()}/{about['name']}",
        item.get("message") or item.get("note"),
        age(first, now),
        count,
        item["metadata"]["name"],
    ]


EVENT_COLUMNS: Final = Columns(
    (
        _column("Last Seen", "string", "How long ago it was seen last."),
        _column("Type", "string", "Normal or Warning."),
        _column("Reason", "string", "Why it happened."),
        _column("Object", "string", "What it is about."),
        _column("Message", "string", "What happened."),
        _column("First Seen", "string", "How long ago it was seen first.", wide=True),
        _column("Count", "integer", "How often it happened.", wide=True),
        _column("Name", "string", "The event's name.", wide=True),
    ),
    _event_cells,
)


def _namespace_cells(item: Object, now: float) -> list[Any]:
    return [item["metadata"]["name"], item["status"]["phase"], age(item["metadata"]["creationTimestamp"], now)]


NAMESPACE_COLUMNS: Final = Columns(
    (
        _column("Name", "string", "The namespace's name."),
        _column("Status", "string", "Its phase."),
        _column("Age", "string", "How long ago the daemon started."),
    ),
    _namespace_cells,
)
