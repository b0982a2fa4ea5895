"""Changing what is wanted: `apply`, `plan`, `scale`, `delete`, `rollback`."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
from rich.markup import escape

from api.cli.frame import Failed, PluginName, asks_daemon, command, console, output_option
from api.cli.output import print_data
from api.cli.progress import wait_for
from api.cli.wanted import read_wanted
from api.client import Client, Refused
from api.planning import Change, Effect, FieldChange, change_of, changes
from specs.document import plugin_from
from specs.errors import SpecInvalid
from specs.model import WasmPlugin, parse_seconds

_STYLES: Final = {
    Effect.CREATE: "green",
    Effect.REMOVE: "red",
    Effect.ROLL: "yellow",
    Effect.RESIZE: "cyan",
    Effect.CONFIGURE: "cyan",
    Effect.RECORD: "dim",
}
_SIGNS: Final = {Effect.CREATE: "+", Effect.REMOVE: "-"}
_files = click.option(
    "-f",
    "--file",
    "files",
    multiple=True,
    required=True,
    metavar="FILE",
    help="A file, a directory, or - for standard input.",
)
_prune = click.option("--prune", is_flag=True, help="Remove the daemon's plugins that the files do not name.")
_wait = click.option("--wait", is_flag=True, help="Wait until everything is ready, and show how far it is.")


class _Seconds(click.ParamType[float]):
    """A duration: 30s, 2m."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, float):
            return value
        try:
            return parse_seconds(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_timeout = click.option("--timeout", type=_Seconds(), default="60s", show_default=True, help="How long to wait.")


@command(
    "apply", "wasm-reconciler apply -f hello/plugin.yaml --wait", "cat hello/plugin.yaml | wasm-reconciler apply -f -"
)
@_files
@_prune
@_wait
@_timeout
@asks_daemon
def apply(client: Client, files: Sequence[str], prune: bool, wait: bool, timeout: float) -> None:
    """Make the daemon want what the files say. It writes that to its own files, so that it outlives a restart."""
    wanted = read_wanted(files)
    live = _live(client)
    generations: dict[str, int] = {}
    for name, plugin in wanted.items():
        change = change_of(live.get(name), plugin)
        if change is not None:
            written = _write(client, plugin, exists=name in live)
            generations[name] = written["metadata"]["generation"]
        else:
            generations[name] = client.plugin(name)["metadata"]["generation"]
        _tell(name, change)
    if prune:
        for name in sorted(live.keys() - wanted.keys()):
            client.ask("DELETE", client.plugins_path(name))
            _tell(name, change_of(live[name], None))
    if wait:
        wait_for(client, generations, timeout)


def _write(client: Client, plugin: WasmPlugin, *, exists: bool) -> Any:
    if exists:
        return client.ask("PUT", client.plugins_path(plugin.name), plugin.to_dict())
    return client.ask("POST", client.plugins_path(), plugin.to_dict())


def _tell(name: str, change: Change | None) -> None:
    words = {Effect.CREATE: "created", Effect.REMOVE: "removed"}
    if change is None:
        console().print(f"{escape(name)} [dim]unchanged[/]")
    else:
        console().print(f"{escape(name)} [{_STYLES[change.effect]}]{words.get(change.effect, 'changed')}[/]")


@command("plan", "wasm-reconciler plan -f hello/plugin.yaml", "wasm-reconciler plan -f new/ --against old/")
@_files
@_prune
@click.option("--against", multiple=True, metavar="FILE", help="Compare with these files instead of a daemon.")
@output_option("json", "yaml")
@asks_daemon
def plan(client: Client, files: Sequence[str], prune: bool, against: Sequence[str], output: str) -> None:
    """Show what `apply` would do, and why, without doing it. Exits with 2 where there are changes, 0 where none.

    With --against, two sets of files are compared, what is missing in the second counts as removed, and no daemon is
    asked.
    """
    wanted = read_wanted(files)
    live = read_wanted(against) if against else _live(client)
    found = changes(live, wanted, prune=prune or bool(against))
    if output == "table":
        _print_plan(found)
    else:
        print_data({"changes": [_as_data(change) for change in found]}, output)
    sys.exit(2 if found else 0)


def _print_plan(found: Sequence[Change]) -> None:
    out = console()
    for change in found:
        style = _STYLES[change.effect]
        note = f"  [dim]{escape(change.note)}[/]" if change.note else ""
        out.print(
            f"[{style}]{_SIGNS.get(change.effect, '~')} {change.effect:<9} {escape(change.name)}[/]{note}",
            soft_wrap=True,
        )
        for field in change.fields:
            because = "" if field.effect is change.effect else f" [dim]({field.effect})[/]"
            values = f"[red]{escape(_shown(field.before))}[/] -> [green]{escape(_shown(field.after))}[/]"
            out.print(f"    {escape(field.path)}: {values}{because}", soft_wrap=True)
    if not found:
        out.print("no changes")
        return
    counts = [f"{sum(1 for change in found if change.effect is effect)} to {effect}" for effect in reversed(Effect)]
    out.print(", ".join(count for count in counts if not count.startswith("0 ")))


def _shown(value: Any) -> str:
    return "(not given)" if value is None else str(value)


def _as_data(change: Change) -> dict[str, Any]:
    def field_data(field: FieldChange) -> dict[str, Any]:
        return {"path": field.path, "before": field.before, "after": field.after, "effect": str(field.effect)}

    fields = [field_data(field) for field in change.fields]
    return {"name": change.name, "effect": str(change.effect), "note": change.note, "fields": fields}


def _live(client: Client) -> dict[str, WasmPlugin]:
    """What the daemon wants now."""
    return {item["metadata"]["name"]: _plugin(item) for item in client.plugins()["items"]}


def _plugin(data: Mapping[str, Any]) -> WasmPlugin:
    try:
        return plugin_from(data)[0]
    except SpecInvalid as error:
        raise Failed(f"the daemon and this command are of different versions: {error}") from error


@command("scale", "wasm-reconciler scale hello 3 --wait")
@click.argument("name", type=PluginName())
@click.argument("instances", type=click.IntRange(min=0))
@_wait
@_timeout
@asks_daemon
def scale(client: Client, name: str, instances: int, wait: bool, timeout: float) -> None:
    """Change how many instances a plugin has; 0 for none. The others go on undisturbed."""
    client.ask("PATCH", client.plugins_path(name, "scale"), {"spec": {"replicas": instances}}, _MERGE)
    console().print(f"{escape(name)} [cyan]scaled to {instances}[/]")
    if wait:
        wait_for(client, {name: client.plugin(name)["metadata"]["generation"]}, timeout)


_MERGE: Final = "application/merge-patch+json"


@command("delete", "wasm-reconciler delete hello")
@click.argument("names", nargs=-1, type=PluginName(), required=True, metavar="NAME...")
@asks_daemon
def delete(client: Client, names: Sequence[str]) -> None:
    """Remove plugins: from the files that want them, and then from what runs. Requests under way finish."""
    for name in names:
        client.ask("DELETE", client.plugins_path(name))
        console().print(f"{escape(name)} [red]removed[/]")


@command("rollback", "wasm-reconciler rollback hello --wait")
@click.argument("name", type=PluginName())
@click.option(
    "--to", "revision", metavar="REVISION", help="Which; as `describe` lists them. Default: the last good one before."
)
@_wait
@_timeout
@asks_daemon
def rollback(client: Client, name: str, revision: str | None, wait: bool, timeout: float) -> None:
    """Want again what an earlier revision was made of, in as many instances as now.

    Like every change it is written to the plugin's file.
    """
    live = client.plugin(name)
    chosen = _choose(client, name, (live.get("status") or {}).get("revision") or {}, revision)
    plugin, before = _plugin(chosen["plugin"]), _plugin(live)
    # How many there are, and whether changes wait, is not what a revision is made of.
    kept = {"instances": before.spec.instances, "suspend": before.spec.suspend}
    plugin = plugin.model_copy(update={"spec": plugin.spec.model_copy(update=kept)})
    if change_of(before, plugin) is None:
        module = plugin.spec.module.path or plugin.spec.module.url or plugin.spec.module.image
        raise Failed(
            f"the spec of revision {chosen['revision']} is what is wanted already: the two differ in the content of"
            f" {module} (or of a file that a variable is read from); put the earlier content back"
        )
    written = client.ask("PUT", client.plugins_path(name), plugin.to_dict())
    console().print(f"{escape(name)} [yellow]rolled back[/] to what revision {chosen['revision']} was made of")
    if wait:
        wait_for(client, {name: written["metadata"]["generation"]}, timeout)


def _choose(client: Client, name: str, now: Mapping[str, Any], revision: str | None) -> Mapping[str, Any]:
    """The remembered revision to go back to. Raises Failed."""
    try:
        items = [item for item in client.get(f"/revisions/{name}")["items"] if item["plugin"] is not None]
    except Refused as refused:
        raise Failed(f"no revision of {name} is remembered, so there is nothing to go back to") from refused
    if revision is not None:
        found = [item for item in items if item["revision"].startswith(revision)]
        if len(found) == 1:
            return dict(found[0])
        known = ", ".join(item["revision"] for item in items)
        raise Failed(f"{revision} names {len(found)} of the remembered revisions; there are {known}")
    good = [item for item in items if item["result"] in ("Good", "Served") and item["revision"] != now.get("desired")]
    if not good:
        raise Failed(f"no other revision of {name} ever served; see them with wasm-reconciler describe {name}")
    return dict(good[-1])
