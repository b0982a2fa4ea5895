"""Reference pages from what the code says of itself: the spec's JSON Schema, the commands' help, the metrics' registry.

Belongs here: how that looks as Markdown. Does not: anything that the code should say.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click

from api.cli.frame import Command
from api.cli.main import main
from api.metrics.collect import Watched
from api.metrics.endpoint import create_registry
from api.metrics.meters import Meters
from reconciler.core.observed import ObservedPlugin
from reconciler.wasm.proxy_wasm.shared import SharedSpace
from specs.schema import json_schema
from specs.store import Desired, Snapshot, SourceStatus

Schema = Mapping[str, Any]

_WIDTH: Final = 100


def spec_page() -> str:
    """Every field of a WasmPlugin."""
    schema = json_schema()
    lines = [
        "# The spec",
        "",
        "Made from the models. The same as JSON Schema: `wasm-reconciler schema > wasmplugin.json`; with",
        "`# yaml-language-server: $schema=wasmplugin.json` as a file's first line editors complete and check it.",
        "",
        "Layotto's flat objects are accepted too: [Come from Layotto](../layotto.md).",
        "",
    ]
    for title, part in _parts("", schema, schema["$defs"]):
        lines += [f"## {title or 'WasmPlugin'}", "", part.get("description", ""), ""]
        lines += ["| field | type | default | |", "|---|---|---|---|"]
        required = part.get("required", ())
        for name, field in part["properties"].items():
            default = "required" if name in required else _default(field, schema["$defs"])
            text = field.get("description") or _target(field, schema["$defs"]).get("description", "")
            lines.append(f"| `{name}` | {_type(field, schema['$defs'])} | {default} | {_cell(text)} |")
        lines.append("")
    return "\n".join(lines)


def _parts(path: str, schema: Schema, definitions: Schema) -> Iterator[tuple[str, Schema]]:
    """An object of the schema and all that are in it, each with the path to it."""
    yield path, schema
    for name, field in schema["properties"].items():
        inner = _target(field, definitions)
        items = _target(field.get("items", {}), definitions)
        for part, tail in ((inner, ""), (items, "[]")):
            if "properties" in part:
                yield from _parts(f"{path}.{name}{tail}".removeprefix("."), part, definitions)


def _target(field: Schema, definitions: Schema) -> Schema:
    """What a field refers to, itself or as one of several types; the field where it refers to nothing."""
    for option in (field, *field.get("anyOf", ())):
        if "$ref" in option:
            found: Schema = definitions[option["$ref"].rpartition("/")[2]]
            return found
    return field


def _type(field: Schema, definitions: Schema) -> str:
    if "properties" in _target(field, definitions):
        return "object"
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    kinds = [one for one in field.get("anyOf", (field,)) if one.get("type") != "null"]
    patterns = " ".join(str(one.get("pattern", "")) for one in kinds)
    if "ms|s|m|h" in patterns:
        return "duration"
    if "Ki|Mi" in patterns:
        return "size"
    words = [_kind(one, definitions) for one in kinds]
    return " or ".join(dict.fromkeys(words))


def _kind(one: Schema, definitions: Schema) -> str:
    kind = {"integer": "whole number", "object": "map", "boolean": "true or false"}.get(one["type"], one["type"])
    if one["type"] == "array":
        items = _target(one["items"], definitions)
        return "list of objects" if "properties" in items else f"list of {one['items']['type']}s"
    bounds = [f"{words} {one[key]}" for key, words in (("minimum", "at least"), ("maximum", "at most")) if key in one]
    return f"{kind}, {', '.join(bounds)}" if bounds else str(kind)


def _default(field: Schema, definitions: Schema) -> str:
    if "default" not in field:
        return ""
    value, kind = field["default"], _type(field, definitions)
    if value is None or value in ([], {}) or kind == "object":
        return ""
    if kind == "size":
        return f"`{value // 2**20}Mi`" if value % 2**20 == 0 else f"`{value}`"
    if kind == "duration":
        return f"`{value:g}s`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def commands_page() -> str:
    """Every command's help."""
    lines = ["# Command line", "", "What `wasm-reconciler COMMAND --help` prints.", ""]
    lines += ["```text", _help(main, "wasm-reconciler"), "```", ""]
    for name, command in commands():
        lines += [f"## {name}", "", "```text", _help(command, f"wasm-reconciler {name}"), "```", ""]
    return "\n".join(lines)


def commands() -> Iterator[tuple[str, click.Command]]:
    """All commands, those of groups too."""
    context = click.Context(main)
    for name in main.list_commands(context):
        found = main.get_command(context, name)
        if isinstance(found, click.Group):
            yield from ((f"{name} {inner}", command) for inner, command in found.commands.items())
        elif isinstance(found, Command):
            yield name, found


def _help(command: click.Command, name: str) -> str:
    settings = command.context_settings | {"terminal_width": _WIDTH}
    return command.get_help(click.Context(command, info_name=name, **settings)).rstrip()


class _Empty:
    """A daemon without plugins, in all the ways in which a scrape asks for them."""

    added = 0
    delayed = 0

    def __len__(self) -> int:
        return 0

    def list(self) -> Snapshot:
        return Snapshot(0, {})

    def sources(self) -> Sequence[SourceStatus]:
        return ()

    def get(self, name: str) -> None:
        return None

    def status(self, name: str) -> None:
        return None

    def route(self, route: str) -> Sequence[Desired]:
        return ()

    def observe(self, plugin: str) -> ObservedPlugin:
        return ObservedPlugin(plugin)

    def plugins(self) -> tuple[str, ...]:
        return ()

    def queued(self) -> dict[str, int]:
        return {}

    def snapshot(self) -> tuple[SharedSpace, ...]:
        return ()


def metrics_page() -> str:
    """Every metric that a scrape can have."""
    lines = [
        "# Metrics",
        "",
        "`GET /metrics` of the admin port, besides Python's own `process_*`. Counters end with `_total`, histograms",
        "have `_bucket`, `_sum` and `_count`. [Alerts, a dashboard](../observability/README.md).",
        "",
        "| metric | type | labels | |",
        "|---|---|---|---|",
    ]
    empty = _Empty()
    registry = create_registry(Meters(), Watched(empty, empty, empty, empty, empty), lambda: 0, "")
    for family in registry.collect():
        if not family.name.startswith("process_"):
            name = f"{family.name}_total" if family.type == "counter" else family.name
            labels = ", ".join(f"`{label}`" for label in getattr(family, "_labelnames", ()))
            lines.append(f"| `{name}` | {family.type} | {labels} | {_cell(family.documentation)} |")
    return "\n".join([*lines, ""])


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*").replace("\n", " ")
