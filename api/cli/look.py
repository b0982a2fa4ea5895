"""Looking: `get`, `describe`, `explain`, `events`."""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click
from rich.markup import escape

from api.advice import explain as advise
from api.advice import owner_of
from api.cli.frame import PluginName, asks_daemon, command, console, output_option
from api.cli.output import EVENT_COLUMNS, PLUGIN_COLUMNS, event_row, plugin_row, print_data, print_rows
from api.client import Client

Object = Mapping[str, Any]


@command("get", "wasm-reconciler get", "wasm-reconciler get hello -o yaml", "wasm-reconciler get -o name")
@click.argument("names", nargs=-1, type=PluginName(), metavar="[NAME...]")
@output_option("json", "yaml", "name")
@asks_daemon
def get(client: Client, names: tuple[str, ...], output: str) -> None:
    """List plugins, all of them or those that are named: how many instances are ready, and which revision serves."""
    if names:
        items = [client.plugin(name) for name in names]
        data: Any = items[0] if len(items) == 1 else {"apiVersion": "v1", "kind": "List", "items": items}
    else:
        data = client.plugins()
        items = data["items"]
    if output == "name":
        for item in items:
            click.echo(item["metadata"]["name"])
    elif output != "table":
        for item in items:
            item["metadata"].pop("managedFields", None)  # as kubectl does: nobody reads it
        print_data(data, output)
    elif items:
        print_rows(PLUGIN_COLUMNS, [plugin_row(item) for item in items])
    else:
        console().print("There are no plugins. Add one: wasm-reconciler apply -f FILE")


@command("describe", "wasm-reconciler describe hello")
@click.argument("name", type=PluginName())
@asks_daemon
def describe(client: Client, name: str) -> None:
    """Show all about one plugin: conditions, revisions, events, and the file and line that ask for it."""
    plugin = client.plugin(name)
    status = plugin.get("status") or {}
    out = console()
    for label, text in _facts(plugin, status):
        out.print(f"[bold]{label + ':':<12}[/]{escape(text)}", soft_wrap=True)
    out.print("\n[bold]Conditions[/]")
    print_rows(
        ("  TYPE", "STATUS", "REASON", "MESSAGE"), [_condition_row(entry) for entry in status.get("conditions", ())]
    )
    history = (status.get("revision") or {}).get("history") or ()
    if history:
        out.print("\n[bold]Revisions[/]")
        print_rows(("  REVISION", "RESULT", "AT", "TOOK", "MESSAGE"), [_revision_row(entry) for entry in history])
    events = client.get(f"/events?name={name}")["items"]
    if events:
        out.print("\n[bold]Events[/]")
        print_rows(EVENT_COLUMNS, [event_row(event) for event in events])


def _facts(plugin: Object, status: Object) -> Iterable[tuple[str, str]]:
    spec, instances = plugin["spec"], status.get("instances") or {}
    module = spec["module"]
    yield "Name", plugin["metadata"]["name"]
    yield "Route", spec.get("route") or plugin["metadata"]["name"]
    yield "Wanted in", owner_of(status)
    yield "Module", module.get("path") or module.get("url") or module.get("image")
    yield (
        "Instances",
        f"{instances.get('ready', 0)} ready of {instances.get('desired', '?')}, {instances.get('busy', 0)} busy,"
        f" {instances.get('draining', 0)} draining, {instances.get('restarts', 0)} replaced",
    )
    revision = status.get("revision") or {}
    yield "Revision", f"{revision.get('serving') or 'none'} serves, {revision.get('desired') or 'none'} is wanted"
    enforced = status.get("enforced") or {}
    if enforced:
        yield "Enforced", ", ".join(f"{key} {value}" for key, value in enforced.items())
    for other in status.get("shadowed") or ():
        yield "Ignored", f"{other.get('file')}:{other.get('line')} claims the same name"


def _condition_row(entry: Object) -> list[str]:
    good = entry["status"] == (
        "False" if entry["type"] in ("Progressing", "Stalled", "Drifted", "RolledBack") else "True"
    )
    colour = "green" if good else "yellow" if entry["type"] == "Progressing" else "red"
    cells = [escape(entry[key]) for key in ("status", "reason", "message")]
    return [f"  {entry['type']}", f"[{colour}]{cells[0]}[/]", *cells[1:]]


def _revision_row(entry: Object) -> list[str]:
    took = f"{entry['seconds'] * 1000:.0f} ms"
    return [f"  {entry['revision']}", entry["result"], entry["at"], took, escape(entry.get("message", ""))]


@command("explain", "wasm-reconciler explain hello")
@click.argument("name", type=PluginName())
@asks_daemon
def explain(client: Client, name: str) -> None:
    """Say in one paragraph how a plugin stands, why, and what to do next. Exits with 1 where it is not ready."""
    advice = advise(client.plugin(name))
    out = console()
    out.print(escape(advice.paragraph), soft_wrap=not out.is_terminal)
    if advice.next:
        out.print(f"[bold]Next:[/] {escape(advice.next)}", soft_wrap=not out.is_terminal)
    sys.exit(0 if advice.ready else 1)


@command("events", "wasm-reconciler events", "wasm-reconciler events hello -o json")
@click.argument("name", type=PluginName(), required=False)
@click.option("-w", "--watch", is_flag=True, help="Go on: print events as they come.")
@output_option("json", "yaml")
@asks_daemon
def events(client: Client, name: str | None, watch: bool, output: str) -> None:
    """Show what happened, the oldest first: of all plugins, or of one."""
    if watch:
        _watch_events(client, name, output)
        return
    items = client.get(f"/events?name={name}" if name else "/events")["items"]
    if output != "table":
        print_data({"items": items}, output)
    elif items:
        print_rows(EVENT_COLUMNS, [event_row(event) for event in items])
    else:
        console().print("Nothing has happened yet.")


def _watch_events(client: Client, name: str | None, output: str) -> None:
    """Until the user ends it, or the daemon does."""
    with client.lines("/api/v1/events?watch=true") as lines:
        for line in lines:
            event = line["object"]
            about = event.get("involvedObject", {}).get("name", "")
            if line["type"] not in ("ADDED", "MODIFIED") or name not in (None, about):
                continue
            if output == "table":
                text = (
                    f"{event.get('lastTimestamp') or ''} {event['type']} {event['reason']} {about}: {event['message']}"
                )
                click.echo(text)
            else:
                click.echo(json.dumps(event))
