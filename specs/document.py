"""Text to plugins: what the documents of a file say, and everything that is wrong with them at once.

Belongs here: decoding elements, problems with positions. Does not: finding the elements (elements.py), following a file
over time (followed.py), changing it (edit.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from specs import layotto
from specs.elements import Element, Form, elements
from specs.errors import Problem, SpecInvalid
from specs.explain import Path as FieldPath
from specs.explain import dotted, explain, suggest
from specs.files import decode_text, read_bytes
from specs.model import WasmPlugin
from specs.nodes import Flaw, Node, kind_of, unwritable
from specs.text import is_json, parse

_SERVER_METADATA: Final = ("uid", "generation", "resourceVersion", "creationTimestamp", "managedFields", "selfLink")


@dataclass(frozen=True, slots=True)
class Document:
    """One plugin as a file has it. `ordinal` counts the elements of the file from 0; `line` counts from 1.

    `notices` are sentences on what is accepted without effect.
    """

    plugin: WasmPlugin
    ordinal: int
    line: int
    notices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Broken:
    """An element that does not describe a plugin. `name` is the plugin it is meant to be, where that can be told."""

    name: str | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a text says. `complete` is false where reading had to stop, so that anything may be missing."""

    documents: tuple[Document, ...] = ()
    broken: tuple[Broken, ...] = ()
    complete: bool = True

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong, in the order of the text."""
        return tuple(problem for broken in self.broken for problem in broken.problems)


@dataclass(frozen=True, slots=True)
class Decoded:
    """Data as a plugin, or what is wrong with it: where, and what."""

    plugin: WasmPlugin | None
    notices: tuple[str, ...] = ()
    problems: tuple[tuple[FieldPath, str], ...] = ()


def validate_file(path: Path) -> tuple[tuple[Document, ...], tuple[Problem, ...]]:
    """What a file says and all that is wrong with it. Never raises for what is in or about the file."""
    try:
        parsed = parse_text(decode_text(read_bytes(path), str(path)), str(path))
    except SpecInvalid as ex:
        return (), ex.problems
    except OSError as ex:
        return (), (Problem(f"cannot be read: {ex.strerror}", str(path)),)
    if not parsed.documents and not parsed.problems:
        return (), (Problem("there is nothing in it", str(path)),)
    return parsed.documents, parsed.problems


def load_data(path: Path) -> Any:
    """The one document of a YAML or JSON file that holds no plugins, as plain data. Raises SpecInvalid, OSError."""
    tree = parse(decode_text(read_bytes(path), str(path)), is_json=is_json(str(path)))
    if tree.flaws:
        raise SpecInvalid(tuple(Problem(flaw.message, str(path), flaw.line, flaw.column) for flaw in tree.flaws))
    if len(tree.roots) != 1:
        raise SpecInvalid((Problem(f"expected one document, found {len(tree.roots)}", str(path)),))
    return tree.roots[0].node.data


def parse_text(text: str, file: str) -> Parsed:
    """All that a text says. `file` decides between JSON and YAML and is named in problems."""
    tree = parse(text, is_json=is_json(file))
    documents: list[Document] = []
    broken: list[Broken] = []
    flaws = list(tree.flaws)
    for ordinal, element in enumerate(elements(tree.roots)):
        decoded = decode_element(element, tree.roots[element.root].node)
        mine = _flaws_in(element.node, flaws, text)
        problems = [Problem(flaw.message, file, flaw.line, flaw.column) for flaw in mine]
        problems += [_place(problem, element, file) for problem in decoded.problems]
        if decoded.plugin is None or problems:
            broken.append(Broken(_name_of(element), tuple(sorted(problems, key=_position))))
        else:
            documents.append(Document(decoded.plugin, ordinal, element.node.line, decoded.notices))
    broken += [Broken(None, (Problem(flaw.message, file, flaw.line, flaw.column),)) for flaw in flaws]
    return Parsed(tuple(documents), tuple(broken), tree.complete)


def decode(data: Any, key: str | None = None) -> Decoded:
    """One object, written flat or in full, as a plugin. For data that comes from elsewhere than a file."""
    if not isinstance(data, Mapping):
        return Decoded(None, problems=(((), f"expected an object, not {kind_of(data)}"),))
    trouble = unwritable(data)
    if trouble:
        return Decoded(None, problems=(((), trouble),))
    if layotto.looks_like_object(data):
        return _decode_object(data, key)
    return _decode_flat(data, key, {})


def plugin_from(data: Any) -> tuple[WasmPlugin, tuple[str, ...]]:
    """The plugin that data describes, written flat or in full, and notices. Raises SpecInvalid with all problems."""
    decoded = decode(data)
    if decoded.plugin is None:
        raise SpecInvalid(tuple(Problem(message, field=dotted(path)) for path, message in decoded.problems))
    return decoded.plugin, decoded.notices


# --- decoding --------------------------------------------------------------------------------------------------------


def decode_element(element: Element, root: Node) -> Decoded:
    """An element as a plugin. `root` is the document around it."""
    if element.form is Form.UNKNOWN:
        return Decoded(None, problems=(((), element.problem),))
    if element.form is Form.OBJECT:
        return _decode_object(element.node.data, element.key)
    around = root.data if isinstance(root.data, dict) else {}
    return _decode_flat(element.node.data, element.key, layotto.global_plugins(around))


def _decode_object(data: Mapping[str, Any], key: str | None) -> Decoded:
    cleaned, dropped = without_server_fields(data)
    plugin, problems = _validate(cleaned)
    problems += [((name,), "is required") for name in ("apiVersion", "kind") if name not in cleaned]
    if plugin is not None and key not in (None, plugin.name):
        problems.append((("metadata", "name"), f"{plugin.name} stands under the key {key}; make them equal"))
    notices = (f"{', '.join(dropped)} is written by the server and ignored here",) if dropped else ()
    return _decoded(plugin, problems, notices)


def _decode_flat(data: Mapping[str, Any], key: str | None, shared: Mapping[str, Any]) -> Decoded:
    flat = layotto.unflatten(data, key, shared)
    problems: list[tuple[FieldPath, str]] = [
        (path, message + suggest(str(path[-1]), layotto.VM_FIELDS) if message == "unknown field" else message)
        for path, message in flat.problems
    ]
    plugin = None
    if flat.data is not None:
        plugin, found = _validate(flat.data)
        told = [path for path, _ in problems]
        mapped = [(layotto.flat_path(path, key), message) for path, message in found]
        # What follows from a problem that is told already, at that place or inside of it, is not told again.
        problems += [one for one in mapped if not any(path[: len(one[0])] == one[0] for path in told)]
    return _decoded(plugin, problems, tuple(flat.notices))


def _decoded(plugin: WasmPlugin | None, problems: list[tuple[FieldPath, str]], notices: tuple[str, ...]) -> Decoded:
    if plugin is None or problems:
        return Decoded(None, notices, tuple(problems))
    if plugin.spec.engine != "wasmtime":
        notices += (f"the engine {plugin.spec.engine} is accepted and run by wasmtime",)
    return Decoded(plugin, notices)


def _validate(data: Mapping[str, Any]) -> tuple[WasmPlugin | None, list[tuple[FieldPath, str]]]:
    try:
        return WasmPlugin.model_validate(data), []
    except ValidationError as ex:
        return None, explain(ex, data)


def without_server_fields(data: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """An object as `kubectl get -o yaml` prints it, without what only the server writes; and what was left out."""
    cleaned = dict(data)
    dropped = ["status"] if cleaned.pop("status", None) is not None else []
    metadata = cleaned.get("metadata")
    if isinstance(metadata, Mapping):
        dropped += [f"metadata.{name}" for name in _SERVER_METADATA if name in metadata]
        cleaned["metadata"] = {name: value for name, value in metadata.items() if name not in _SERVER_METADATA}
    return cleaned, dropped


# --- problems --------------------------------------------------------------------------------------------------------


def _name_of(element: Element) -> str | None:
    """The plugin that a broken element is meant to be."""
    if element.key is not None:
        return element.key
    data = element.node.data if isinstance(element.node.data, dict) else {}
    metadata = data.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else data.get("name")
    return name if isinstance(name, str) else None


def _flaws_in(node: Node, flaws: list[Flaw], text: str) -> list[Flaw]:
    """The flaws that stand inside a node, taken out of the list."""
    if not flaws:
        return []
    last = node.line + text.count("\n", node.start, node.end)
    mine = [flaw for flaw in flaws if node.line <= flaw.line <= last]
    for flaw in mine:
        flaws.remove(flaw)
    return mine


def _place(problem: tuple[FieldPath, str], element: Element, file: str) -> Problem:
    path, message = problem
    here = element.node
    for step in path:
        key = next((key for key, _ in here.entries or () if key.data == step), None)
        below = here.child(step)
        if below is None:
            break
        # The key is where people look for an unknown field or a wrong value, and it is never an alias's anchor.
        here = Node(below.data, below.start, below.end, *_mark(key, below), below.entries, below.items)
    return Problem(message, file, here.line, here.column, dotted((*element.path, *path)))


def _mark(key: Node | None, value: Node) -> tuple[int, int]:
    return (key.line, key.column) if key is not None else (value.line, value.column)


def _position(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column
