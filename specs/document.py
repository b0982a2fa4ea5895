"""Text to plugins: what the documents of a file say, and everything that is wrong with them at once.

A text is YAML (any number of documents) or JSON. Each of its documents is a WasmPlugin, a list of them (`kind: List`,
or a plain list), Layotto's flat object, Layotto's map, or a whole MOSN configuration with such a map in a stream
filter. Whatever stands for one plugin is an element.

Belongs here: finding the elements, decoding them, problems with positions, bounds. Does not: following a file over
time (followed.py), changing it (edit.py).
"""

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from specs import layotto
from specs.errors import Problem, SpecInvalid
from specs.explain import Path as FieldPath
from specs.explain import dotted, explain, suggest
from specs.model import API_VERSION, KIND, WasmPlugin
from specs.nodes import Flaw, Node, Root, kind_of, parse

MAX_BYTES: Final = 4 * 2**20
"""Largest file that is read; a larger one is refused by its size, unread."""

_SERVER_METADATA: Final = ("uid", "generation", "resourceVersion", "creationTimestamp", "managedFields", "selfLink")


class Form(Enum):
    """How an element is written."""

    OBJECT = "object"
    FLAT = "flat"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Element:
    """The part of a text that stands for one plugin.

    `root` is the index of its YAML document, `path` leads to it from there. `key` is its key in a map, if it is
    in one. `problem` says why it cannot be decoded at all.
    """

    root: int
    path: FieldPath
    node: Node
    form: Form
    key: str | None = None
    problem: str = ""


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


def is_json(file: str) -> bool:
    """Whether a file of that name is read as JSON; everything else is YAML."""
    return file.endswith(".json")


def decode_text(raw: bytes, file: str) -> str:
    """The text of a file without its byte order mark. Raises SpecInvalid where it is not UTF-8."""
    try:
        return raw.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as ex:
        before = raw[: ex.start]
        line, column = before.count(b"\n") + 1, ex.start - before.rfind(b"\n")
        raise SpecInvalid((Problem("this is not text in UTF-8", file, line, column),)) from ex


def read_bytes(path: Path) -> bytes:
    """A file's content. Raises SpecInvalid where it is too large or no regular file, and OSError."""
    # Without O_NONBLOCK a named pipe would hold the thread until somebody writes.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise SpecInvalid((Problem("this is not a regular file", str(path)),))
        if found.st_size > MAX_BYTES:
            message = f"the file has {found.st_size} bytes; at most {MAX_BYTES} are read"
            raise SpecInvalid((Problem(message, str(path)),))
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise SpecInvalid((Problem(f"the file has more than {MAX_BYTES} bytes", str(path)),))
    return raw


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
    if layotto.looks_like_object(data):
        return _decode_object(data, key)
    return _decode_flat(data, key, {})


def plugin_from(data: Any) -> tuple[WasmPlugin, tuple[str, ...]]:
    """The plugin that data describes, written flat or in full, and notices. Raises SpecInvalid with all problems."""
    decoded = decode(data)
    if decoded.plugin is None:
        raise SpecInvalid(tuple(Problem(message, field=dotted(path)) for path, message in decoded.problems))
    return decoded.plugin, decoded.notices


# --- elements --------------------------------------------------------------------------------------------------------


def elements(roots: list[Root]) -> Iterator[Element]:
    """Everything in a text that stands for a plugin, in its order."""
    for index, root in enumerate(roots):
        yield from _elements(index, root.node, (), listed=False)


def _elements(root: int, node: Node, path: FieldPath, *, listed: bool) -> Iterator[Element]:
    data = node.data
    if data is None and not listed:
        return
    if node.items is not None and not listed:
        for index, item in enumerate(node.items):
            yield from _elements(root, item, (*path, index), listed=True)
    elif not isinstance(data, dict):
        yield Element(root, path, node, Form.UNKNOWN, problem=f"expected a WasmPlugin, not {kind_of(data)}")
    elif data.get("kind") in ("List", f"{KIND}List") and not listed:
        yield from _list_items(root, node, path)
    elif layotto.looks_like_object(data):
        yield Element(root, path, node, Form.OBJECT)
    elif layotto.looks_flat(data):
        yield Element(root, path, node, Form.FLAT)
    elif listed or not is_map(data):
        problem = f"there is no apiVersion; write apiVersion: {API_VERSION} and kind: {KIND}"
        yield Element(root, path, node, Form.UNKNOWN, problem=problem)
    else:
        yield from _map_entries(root, node, path)


def _list_items(root: int, node: Node, path: FieldPath) -> Iterator[Element]:
    items = node.child("items")
    if items is None or items.data is None:
        return
    if items.items is None:
        problem = f"items: expected a list, not {kind_of(items.data)}"
        yield Element(root, (*path, "items"), items, Form.UNKNOWN, problem=problem)
    for index, item in enumerate(items.items or ()):
        yield from _elements(root, item, (*path, "items", index), listed=True)


def is_map(data: Mapping[str, Any]) -> bool:
    """Whether a mapping is Layotto's map, or a MOSN configuration around one."""
    if isinstance(data.get("servers"), list):
        return True
    values = data.values()
    return all(isinstance(value, Mapping) for value in values) or any(
        isinstance(value, Mapping) and layotto.looks_flat(value) for value in values
    )


def map_nodes(node: Node) -> list[tuple[FieldPath, Node]]:
    """The maps of a document that `is_map` holds for: itself, or those inside a MOSN configuration."""
    if not isinstance(node.data.get("servers"), list):
        return [((), node)]
    return [(path, found) for path in layotto.filter_maps(node.data) if (found := walk(node, path)) is not None]


def _map_entries(root: int, node: Node, path: FieldPath) -> Iterator[Element]:
    maps = map_nodes(node)
    if not maps:
        problem = f"this MOSN configuration has no stream filter of type {layotto.FILTER_TYPE}"
        yield Element(root, path, node, Form.UNKNOWN, problem=problem)
    for inner, found in maps:
        for key, value in found.entries or ():
            where = (*path, *inner, key.data)
            if not isinstance(value.data, dict):
                problem = f"expected a mapping, not {kind_of(value.data)}"
                yield Element(root, where, value, Form.UNKNOWN, key.data, problem)
            else:
                form = Form.OBJECT if layotto.looks_like_object(value.data) else Form.FLAT
                yield Element(root, where, value, form, key.data)


def walk(node: Node, path: FieldPath) -> Node | None:
    """The value at a path below a node."""
    here: Node | None = node
    for step in path:
        here = here.child(step) if here is not None else None
    return here


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
        told = {path for path, _ in problems}
        mapped = [(layotto.flat_path(path, key), message) for path, message in found]
        problems += [(path, message) for path, message in mapped if path not in told]
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
