"""Text to trees that know where they stand: YAML with several documents, and JSON. The only importer of yaml.

Belongs here: syntax, positions, and the bounds that keep a hostile file cheap (depth, size after aliases). Does not:
what the data means (document.py), changing text (edit.py).

YAML is read by the 1.2 core schema, not 1.1: `yes`, `on`, `010`, `1:30` and dates are not what they were in 1.1,
so that a file means the same whether it is written as YAML or as JSON.
"""

import json
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

MAX_DEPTH: Final = 64
"""Deepest nesting of lists and mappings."""

MAX_NODES: Final = 200_000
"""Most values in one file, aliases counted as often as they are used (which is what stops an alias bomb)."""

_KINDS: Final = {dict: "a mapping", list: "a list", str: "a string", bool: "a boolean", type(None): "nothing"}


@dataclass(slots=True)
class Node:
    """One value and where it stands. `start` and `end` are offsets into the text; line and column count from 1.

    Exactly one of `entries` (a mapping's keys and values) and `items` (a list's values) is set, or neither (a
    scalar). `data` is the plain value. `flow` is true for `{}`, `[]` and all of JSON. `size` counts the values
    in it. `alias` says that an anchor elsewhere holds the text.
    """

    data: Any
    start: int
    end: int
    line: int
    column: int
    entries: "list[tuple[Node, Node]] | None" = None
    items: "list[Node] | None" = None
    flow: bool = True
    size: int = 1
    alias: bool = False

    def child(self, step: str | int) -> "Node | None":
        """The value under a key or at an index; None where there is none."""
        if isinstance(step, int):
            return self.items[step] if self.items is not None and 0 <= step < len(self.items) else None
        return next((value for key, value in self.entries or () if key.data == step), None)


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something wrong with the text itself."""

    message: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Root:
    """One document of a text: its tree, and its part of the text, from its `---` to the next one's."""

    node: Node
    start: int
    end: int


@dataclass(slots=True)
class Tree:
    """All documents of a text. `complete` is false where reading had to stop: later documents may be missing."""

    roots: list[Root] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    complete: bool = True


def kind_of(value: object) -> str:
    """What a value is, in plain words: `a string`, `a number`."""
    return _KINDS.get(type(value), "a number")


def parse(text: str, *, is_json: bool) -> Tree:
    """The documents of a text that has no byte order mark. Never raises for what is in the text."""
    tree = Tree()
    try:
        if is_json:
            _Json(text, tree).read()
        else:
            _Yaml(text, tree).read()
    except _StopError as stop:
        tree.flaws.append(stop.flaw)
        tree.complete = False
    return tree


class _StopError(Exception):
    """Reading cannot go on."""

    def __init__(self, flaw: Flaw) -> None:
        self.flaw = flaw


def _put_entry(node: Node, key: Node, value: Node, tree: Tree) -> None:
    """Add one entry to a mapping that is being read."""
    assert node.entries is not None
    if not isinstance(key.data, str):
        tree.flaws.append(Flaw(f"a key is a string, not {kind_of(key.data)}; put it in quotes", key.line, key.column))
        return
    if key.data in node.data:
        tree.flaws.append(Flaw(f"the key {key.data!r} is given twice", key.line, key.column))
        return
    node.entries.append((key, value))
    node.data[key.data] = value.data
    node.size += value.size + 1


# --- YAML ------------------------------------------------------------------------------------------------------------

_NULL: Final = frozenset(("", "~", "null", "Null", "NULL"))
_BOOL: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TAG: Final = "tag:yaml.org,2002:"
_NUMERIC_START: Final = frozenset("+-.0123456789")


def _plain(value: str) -> Any:
    """A plain scalar by the core schema. ValueError for numbers that JSON cannot hold."""
    if value in _NULL:
        return None
    if value in _BOOL:
        return _BOOL[value]
    if value[0] not in _NUMERIC_START:
        return value
    if _INT.fullmatch(value):
        return int(value, 0) if value[:2] in ("0o", "0x") else int(value)
    if _SPECIAL.fullmatch(value):
        raise ValueError(f"{value} is not a finite number")
    if _FLOAT.fullmatch(value):
        number = float(value)
        if math.isinf(number):
            raise ValueError(f"{value} is too large a number")
        return number
    return value


def _tagged(tag: str, value: str) -> Any:
    """A scalar with an explicit tag. ValueError where the tag or the value is not known."""
    name = tag.removeprefix(_TAG) if tag.startswith(_TAG) else ""
    if tag == "!" or name == "str":
        return value
    if name not in ("null", "bool", "int", "float"):
        raise ValueError(f"the tag {tag} is not known here")
    data = _plain(value)
    return float(data) if name == "float" and isinstance(data, int) else data


class _Yaml:
    """Builds trees from yaml's events, without recursion."""

    def __init__(self, text: str, tree: Tree) -> None:
        self._text = text
        self._tree = tree
        self._anchors: dict[str, Node] = {}
        self._stack: list[tuple[Node, str | None]] = []
        self._keys: list[Node | None] = []
        self._done: Node | None = None
        self._count = 0
        self._start = 0

    def read(self) -> None:
        loader = yaml.CBaseLoader if yaml.__with_libyaml__ else yaml.BaseLoader
        take: dict[type, Callable[[Any], None]] = {
            yaml.ScalarEvent: self._scalar,
            yaml.AliasEvent: self._alias,
            yaml.MappingStartEvent: self._open,
            yaml.SequenceStartEvent: self._open,
            yaml.MappingEndEvent: self._close,
            yaml.SequenceEndEvent: self._close,
            yaml.DocumentStartEvent: self._begin,
            yaml.DocumentEndEvent: self._finish,
        }
        try:
            for event in yaml.parse(self._text, Loader=loader):
                handle = take.get(type(event))
                if handle is not None:
                    handle(event)
        except yaml.MarkedYAMLError as ex:
            mark = ex.problem_mark or ex.context_mark
            message = ": ".join(part for part in (ex.context, ex.problem) if part)
            line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
            raise _StopError(Flaw(f"this is not YAML: {message}", line, column)) from ex
        except yaml.reader.ReaderError as ex:
            before = self._text[: ex.position] if isinstance(ex.position, int) else ""
            place = before.count("\n") + 1, len(before) - before.rfind("\n")
            raise _StopError(Flaw(f"this is not YAML: {ex.reason}", *place)) from ex

    def _close(self, event: Any) -> None:
        node, anchor = self._stack.pop()
        self._keys.pop()
        node.end = event.end_mark.index
        self._put(node, anchor)

    def _begin(self, event: Any) -> None:
        self._anchors, self._done = {}, None
        self._start = event.start_mark.index if event.explicit or self._tree.roots else 0
        if self._tree.roots:
            self._end_at(self._start)

    def _finish(self, _event: Any) -> None:
        assert self._done is not None
        self._tree.roots.append(Root(self._done, self._start, len(self._text)))

    def _end_at(self, offset: int) -> None:
        last = self._tree.roots.pop()
        self._tree.roots.append(Root(last.node, last.start, offset))

    def _scalar(self, event: Any) -> None:
        mark = event.start_mark
        data: Any = event.value
        try:
            if event.implicit[0]:
                data = _plain(data)
            elif event.tag is not None and not event.implicit[1]:
                data = _tagged(event.tag, data)
        except ValueError as ex:
            self._tree.flaws.append(Flaw(str(ex), mark.line + 1, mark.column + 1))
        self._put(
            Node(data, mark.index, event.end_mark.index, mark.line + 1, mark.column + 1, flow=False), event.anchor
        )

    def _open(self, event: Any) -> None:
        mark = event.start_mark
        line, column = mark.line + 1, mark.column + 1
        if len(self._stack) >= MAX_DEPTH:
            raise _StopError(Flaw(f"nested deeper than {MAX_DEPTH}", line, column))
        if event.tag is not None and event.tag not in ("!", _TAG + "map", _TAG + "seq"):
            self._tree.flaws.append(Flaw(f"the tag {event.tag} is not known here", line, column))
        flow = bool(event.flow_style)
        if isinstance(event, yaml.MappingStartEvent):
            node = Node({}, mark.index, mark.index, line, column, entries=[], flow=flow)
        else:
            node = Node([], mark.index, mark.index, line, column, items=[], flow=flow)
        self._stack.append((node, event.anchor))
        self._keys.append(None)

    def _alias(self, event: Any) -> None:
        mark = event.start_mark
        line, column = mark.line + 1, mark.column + 1
        target = self._anchors.get(event.anchor)
        if target is None:
            raise _StopError(Flaw(f"the alias *{event.anchor} has no anchor before it", line, column))
        node = Node(
            target.data,
            mark.index,
            event.end_mark.index,
            line,
            column,
            entries=target.entries,
            items=target.items,
            size=target.size,
            alias=True,
        )
        self._put(node, None)

    def _put(self, node: Node, anchor: str | None) -> None:
        """A finished value: into what is open, or it is the document."""
        # A container's values were counted one by one; an alias brings all of its target's again.
        self._count += node.size if node.alias else 1
        if self._count > MAX_NODES:
            raise _StopError(Flaw(f"more than {MAX_NODES} values, aliases counted", node.line, node.column))
        if anchor is not None:
            self._anchors[anchor] = node
        if not self._stack:
            self._done = node
            return
        parent = self._stack[-1][0]
        if parent.items is not None:
            parent.items.append(node)
            parent.data.append(node.data)
            parent.size += node.size
        elif self._keys[-1] is None:
            self._keys[-1] = node
        else:
            key, self._keys[-1] = self._keys[-1], None
            if key.data == "<<" and self._text[key.start] == "<":
                self._merge(parent, node)
            else:
                _put_entry(parent, key, node, self._tree)

    def _merge(self, parent: Node, source: Node) -> None:
        self._tree.flaws.append(
            Flaw("the merge key << is not part of YAML 1.2; write the fields out", source.line, source.column)
        )


def dump_yaml(data: Any) -> str:
    """JSON-able data as a YAML document in block style, keys in the order given."""
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)
    return text


# --- JSON ------------------------------------------------------------------------------------------------------------

_SPACE: Final = re.compile(r"[ \t\r\n]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: Final = (("true", True), ("false", False), ("null", None))


class _Json:
    """A JSON reader that keeps positions; the standard one does not."""

    def __init__(self, text: str, tree: Tree) -> None:
        self._text = text
        self._tree = tree
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self._count = 0

    def read(self) -> None:
        at = self._skip(0)
        if at == len(self._text):
            return
        node = self._value(at, 0)
        end = self._skip(node.end)
        if end < len(self._text):
            raise self._stop("more text after the value", end)
        self._tree.roots.append(Root(node, 0, len(self._text)))

    def _place(self, offset: int) -> tuple[int, int]:
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    def _stop(self, message: str, offset: int) -> _StopError:
        if offset >= len(self._text):
            message = "the text ends too early"
        return _StopError(Flaw(f"this is not JSON: {message}", *self._place(offset)))

    def _skip(self, offset: int) -> int:
        found = _SPACE.match(self._text, offset)
        return found.end() if found else offset

    def _value(self, at: int, depth: int) -> Node:
        self._count += 1
        if self._count > MAX_NODES:
            raise _StopError(Flaw(f"more than {MAX_NODES} values", *self._place(at)))
        if depth > MAX_DEPTH:
            raise _StopError(Flaw(f"nested deeper than {MAX_DEPTH}", *self._place(at)))
        first = self._text[at : at + 1]
        if first == '"':
            return self._string(at)
        if first == "{":
            return self._object(at, depth)
        if first == "[":
            return self._array(at, depth)
        for word, data in _WORDS:
            if self._text.startswith(word, at):
                return Node(data, at, at + len(word), *self._place(at))
        return self._number(at)

    def _number(self, at: int) -> Node:
        found = _NUMBER.match(self._text, at)
        if found is None:
            raise self._stop("a value is expected here", at)
        data: Any = found[0]
        try:
            data = float(data) if found[1] or found[2] else int(data)
        except ValueError:
            data = math.inf
        if isinstance(data, float) and math.isinf(data):
            self._tree.flaws.append(Flaw(f"{found[0][:40]} is too large a number", *self._place(at)))
            data = 0
        return Node(data, at, found.end(), *self._place(at))

    def _string(self, at: int) -> Node:
        try:
            data, end = json.JSONDecoder().raw_decode(self._text, at)
        except json.JSONDecodeError as ex:
            raise self._stop(ex.msg, ex.pos) from ex
        return Node(data, at, end, *self._place(at))

    def _object(self, at: int, depth: int) -> Node:
        node = Node({}, at, at, *self._place(at), entries=[])
        for start in self._members(node, "}"):
            if self._text[start : start + 1] != '"':
                raise self._stop("a key in double quotes is expected here", start)
            key = self._string(start)
            colon = self._skip(key.end)
            if self._text[colon : colon + 1] != ":":
                raise self._stop("a colon is expected here", colon)
            value = self._value(self._skip(colon + 1), depth + 1)
            _put_entry(node, key, value, self._tree)
            node.end = value.end
        return node

    def _array(self, at: int, depth: int) -> Node:
        node = Node([], at, at, *self._place(at), items=[])
        assert node.items is not None
        for start in self._members(node, "]"):
            value = self._value(start, depth + 1)
            node.items.append(value)
            node.data.append(value.data)
            node.size += value.size
            node.end = value.end
        return node

    def _members(self, node: Node, close: str) -> Iterator[int]:
        """Where each member of a list or mapping starts; the caller leaves `node.end` where the member ended."""
        at = self._skip(node.start + 1)
        while self._text[at : at + 1] != close:
            yield at
            at = self._skip(node.end)
            found = self._text[at : at + 1]
            if found == ",":
                at = self._skip(at + 1)
                if self._text[at : at + 1] == close:
                    raise self._stop(f"a comma before {close}", at)
            elif found != close:
                raise self._stop(f"a comma or {close} is expected here", at)
        node.end = at + 1
