"""YAML with several documents to trees. The only importer of yaml.

Read by the 1.2 core schema, not 1.1: `yes`, `on`, `010`, `1:30` and dates are not what they were in 1.1, so that a file
means the same whether it is written as YAML or as JSON.
"""

import math
import re
from collections.abc import Callable
from typing import Any, Final

import yaml

from specs.nodes import MAX_DEPTH, MAX_DIGITS, MAX_NODES, Flaw, Node, Root, StopReading, Tree, put_entry


def read_yaml(text: str, tree: Tree) -> None:
    """Add the documents of a text to a tree. Raises StopReading."""
    _Yaml(text, tree).read()


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
        if len(value) > MAX_DIGITS:
            raise ValueError(f"{value[:MAX_DIGITS]}... is too large a number")
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
            raise StopReading(Flaw(f"this is not YAML: {message}", line, column)) from ex
        except yaml.reader.ReaderError as ex:
            before = self._text[: ex.position] if isinstance(ex.position, int) else ""
            place = before.count("\n") + 1, len(before) - before.rfind("\n")
            raise StopReading(Flaw(f"this is not YAML: {ex.reason}", *place)) from ex

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
            raise StopReading(Flaw(f"nested deeper than {MAX_DEPTH}", line, column))
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
            raise StopReading(Flaw(f"the alias *{event.anchor} has no anchor before it", line, column))
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
            raise StopReading(Flaw(f"more than {MAX_NODES} values, aliases counted", node.line, node.column))
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
                put_entry(parent, key, node, self._tree)

    def _merge(self, parent: Node, source: Node) -> None:
        self._tree.flaws.append(
            Flaw("the merge key << is not part of YAML 1.2; write the fields out", source.line, source.column)
        )


def write_yaml(data: Any) -> str:
    """JSON-able data as one YAML document, keys in their order."""
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=100)
    return text
