"""JSON to a tree. The standard reader does not say where things stand; its strings are used here."""

import json
import math
import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from specs.nodes import MAX_DEPTH, MAX_DIGITS, MAX_NODES, Flaw, Node, Root, StopReading, Tree, put_entry


def read_json(text: str, tree: Tree) -> None:
    """Add the value of a text, if there is one, to a tree. Raises StopReading."""
    _Json(text, tree).read()


_SPACE: Final = re.compile(r"[ \t\r\n]*")
_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_WORDS: Final = (("true", True), ("false", False), ("null", None))


class _Json:
    """A JSON reader that keeps positions; the standard one does not."""

    def __init__(self, text: str, tree: Tree) -> None:
        self._text = text
        self._tree = tree
        self._lines = [0, *(found.end() for found in re.finditer("\n", text))]
        self._count = 0
        self._decoder = json.JSONDecoder()

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

    def _stop(self, message: str, offset: int) -> StopReading:
        if offset >= len(self._text):
            message = "the text ends too early"
        return StopReading(Flaw(f"this is not JSON: {message}", *self._place(offset)))

    def _skip(self, offset: int) -> int:
        found = _SPACE.match(self._text, offset)
        return found.end() if found else offset

    def _value(self, at: int, depth: int) -> Node:
        self._count += 1
        if self._count > MAX_NODES:
            raise StopReading(Flaw(f"more than {MAX_NODES} values", *self._place(at)))
        if depth > MAX_DEPTH:
            raise StopReading(Flaw(f"nested deeper than {MAX_DEPTH}", *self._place(at)))
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
        data: int | float = math.inf
        if found[1] or found[2]:
            data = float(found[0])
        elif len(found[0]) <= MAX_DIGITS:
            data = int(found[0])
        if data in (math.inf, -math.inf):
            self._tree.flaws.append(Flaw(f"{found[0][:MAX_DIGITS]}... is too large a number", *self._place(at)))
            data = 0
        return Node(data, at, found.end(), *self._place(at))

    def _string(self, at: int) -> Node:
        try:
            data, end = self._decoder.raw_decode(self._text, at)
        except json.JSONDecodeError as ex:
            raise self._stop(ex.msg, ex.pos) from ex
        if not data.isascii() and _SURROGATE.search(data):
            self._tree.flaws.append(Flaw("half of a surrogate pair is no character", *self._place(at)))
            data = _SURROGATE.sub("\ufffd", data)
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
            put_entry(node, key, value, self._tree)
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
