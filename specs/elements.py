"""Finding what stands for a plugin in a tree: an element.

A document is a WasmPlugin, a list of them (`kind: List`, or a plain list), Layotto's flat object, Layotto's map, or a
whole MOSN configuration with such a map in a stream filter.

Belongs here: shapes of documents. Does not: what an element says (document.py).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from specs import layotto
from specs.explain import Path as FieldPath
from specs.model import API_VERSION, KIND
from specs.nodes import Node, Root, kind_of


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
