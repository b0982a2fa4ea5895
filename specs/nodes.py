"""Trees of values that know where they stand in a text.

Belongs here: what a tree is, and the bounds that keep a hostile file cheap. Does not: reading one from a text
(yaml_text.py, json_text.py, both behind text.py), what the data means (document.py), changing text (edit.py).
"""

import math
from dataclasses import dataclass, field
from typing import Any, Final

MAX_DEPTH: Final = 64
"""Deepest nesting of lists and mappings."""

MAX_NODES: Final = 200_000
"""Most values in one file, aliases counted as often as they are used (which is what stops an alias bomb)."""

_KINDS: Final = {dict: "a mapping", list: "a list", str: "a string", bool: "a boolean", type(None): "nothing"}


MAX_DIGITS: Final = 40
"""Longest whole number that is taken for one."""


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


def unwritable(data: Any) -> str:
    """Why data from elsewhere cannot be written to a file and read back; empty where it can."""
    below = [(data, 1)]
    for count, (value, depth) in enumerate(below):  # grows while it is walked
        if depth > MAX_DEPTH:
            return f"nested deeper than {MAX_DEPTH}"
        if count > MAX_NODES:
            return f"more than {MAX_NODES} values"
        if isinstance(value, float) and not math.isfinite(value):
            return f"{value} is not a finite number"
        if isinstance(value, int) and value.bit_length() > MAX_DIGITS * 3:
            return "a number is too large"
        if isinstance(value, str) and not value.isascii() and any("\ud800" <= one <= "\udfff" for one in value):
            return "half of a surrogate pair is no character"
        if isinstance(value, dict):
            below += ((part, depth + 1) for pair in value.items() for part in pair)
        elif isinstance(value, list):
            below += ((part, depth + 1) for part in value)
    return ""


def kind_of(value: object) -> str:
    """What a value is, in plain words: `a string`, `a number`."""
    return _KINDS.get(type(value), "a number")


class StopReading(Exception):
    """Reading a text cannot go on; what was read so far stands."""

    def __init__(self, flaw: Flaw) -> None:
        self.flaw = flaw


def put_entry(node: Node, key: Node, value: Node, tree: Tree) -> None:
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
