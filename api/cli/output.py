"""How objects are printed: tables for people, JSON, YAML and names for programs."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from api.cli.frame import console
from api.ports import condition
from specs.yaml_text import write_yaml

Object = Mapping[str, Any]
_COLOURS: Final = {"True": "green", "False": "red", "Unknown": "yellow"}


def print_data(data: Any, form: str) -> None:
    """Data as `json` or `yaml`."""
    click.echo(json.dumps(data, indent=2) if form == "json" else write_yaml(data).rstrip("\n"))


def print_rows(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table without lines. A cell may hold markup."""
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        grid.add_column(column, no_wrap=True, overflow="ignore")
    for row in rows:
        grid.add_row(*row)
    out = console()
    if not out.is_terminal:
        out = Console(highlight=False, width=1000)  # whoever reads from a pipe wants whole lines
    out.print(grid, soft_wrap=True)


def plugin_row(plugin: Object) -> list[str]:
    """One plugin in one line: what `PLUGIN_COLUMNS` say."""
    status = plugin.get("status") or {}
    instances, ready = status.get("instances") or {}, condition(status, "Ready")
    state = ready["status"] if ready is not None else "Unknown"
    colour = _COLOURS[state]
    return [
        escape(plugin["metadata"]["name"]),
        escape(plugin["spec"].get("route") or plugin["metadata"]["name"]),
        f"{instances.get('ready', 0)}/{instances.get('desired', plugin['spec'].get('instances', 1))}",
        f"[{colour}]{'Ready' if state == 'True' else escape(ready['reason']) if ready else 'New'}[/]",
        (status.get("revision") or {}).get("serving", "") or "-",
        str(instances.get("restarts", 0)),
        age(plugin["metadata"].get("creationTimestamp", "")),
    ]


PLUGIN_COLUMNS: Final = ("NAME", "ROUTE", "INSTANCES", "STATE", "REVISION", "RESTARTS", "AGE")


def event_row(event: Object) -> list[str]:
    """One event in one line: what `EVENT_COLUMNS` say."""
    colour = "yellow" if event["type"] == "Warning" else "none"
    times = f" (x{event['count']})" if event["count"] > 1 else ""
    return [
        _age_of(event["lastTimestamp"]),
        f"[{colour}]{event['type']}[/]",
        escape(event["reason"]),
        escape(event["name"]),
        escape(event["note"]) + times,
    ]


EVENT_COLUMNS: Final = ("LAST", "TYPE", "REASON", "NAME", "NOTE")


def age(timestamp: str) -> str:
    """How long ago an RFC 3339 time was: `42s`, `5m`, `3h`, `9d`."""
    if not timestamp:
        return "-"
    return _age_of(datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp())


def _age_of(seconds: float) -> str:
    passed = max(0, int(datetime.now(UTC).timestamp() - seconds))
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if passed >= 2 * size:
            return f"{passed // size}{unit}"
    return f"{passed}s"
