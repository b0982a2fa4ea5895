"""Small changes of text that leave everything around them byte for byte: set, insert, cut.

Works on the trees of nodes.py and knows nothing of plugins. What is returned is a proposal: YAML has more corners than
rules, so edit.py reads the result again and compares before it is used.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from specs.nodes import Node
from specs.text import parse

_PLAIN: Final = re.compile(r"[A-Za-z][A-Za-z0-9_/-]*(\.[A-Za-z0-9_/-]+)*")
_UNPRINTABLE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def same(one: Any, other: Any) -> bool:
    """Whether data is equal, with 1, 1.0 and true told apart; the order of keys does not count."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def json_text(value: Any, indent: int | None = None) -> str:
    """JSON that is YAML as well: what YAML cannot hold raw is escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def yaml_text(value: Any, indent: str = "", *, eol: str = "\n") -> str:
    """A YAML document in block style, keys in the order given.

    Not yaml's own writer: that one follows YAML 1.1, in whose eyes `1e3` and `0o7` are strings that need no quotes.
    """
    if isinstance(value, dict) and value:
        return "".join(f"{indent}{_yaml_word(key)}:{_below(below, indent, eol)}" for key, below in value.items())
    if isinstance(value, list) and value:
        inner = f"{indent}  "
        return "".join(f"{indent}- {yaml_text(below, inner, eol=eol)[len(inner) :]}" for below in value)
    return f"{indent}{_yaml_word(value)}{eol}"


def _below(value: Any, indent: str, eol: str) -> str:
    """What follows a colon."""
    if isinstance(value, (dict, list)) and value:
        return eol + yaml_text(value, f"{indent}  ", eol=eol)
    return f" {_yaml_word(value)}{eol}"


def _yaml_word(value: Any) -> str:
    return value if isinstance(value, str) and _is_plain(value) else json_text(value)


@dataclass(slots=True)
class Splicer:
    """Collects changes of one text. Offsets are those of the text as it was."""

    text: str
    is_json: bool
    _changes: list[tuple[int, int, str]] = field(default_factory=list)

    def result(self) -> str:
        """The text with all changes made."""
        text, last = "", 0
        for start, end, new in sorted(self._changes, key=lambda change: change[:2]):
            text += self.text[last:start] + new
            last = max(last, end)
        return text + self.text[last:]

    def put(self, start: int, end: int, new: str) -> None:
        """Replace a part of the text."""
        self._changes.append((start, end, new))

    def update(self, node: Node, new: Any, key: Node | None = None) -> None:
        """Make a value another one, touching only what differs. `key` is its key in a mapping."""
        if same(node.data, new):
            return
        entries, items = node.entries, node.items
        if entries is not None and not node.alias and isinstance(new, dict) and node.data.keys() & new.keys():
            self._update_entries(node, entries, new)
        elif items is not None and not node.alias and isinstance(new, list) and len(new) == len(items):
            for item, value in zip(items, new, strict=True):
                self.update(item, value)
        else:
            self._overwrite(node, new, key)

    def _update_entries(self, node: Node, entries: list[tuple[Node, Node]], new: dict[str, Any]) -> None:
        for key, value in entries:
            if key.data in new:
                self.update(value, new[key.data], key)
        gone = [index for index, (key, _) in enumerate(entries) if key.data not in new]
        for index in gone:
            self.cut_entry(node, index)
        # What is added goes behind the last entry that stays, or it would be cut with it.
        stay = [pair for pair in entries if pair[0].data in new]
        added = {name: value for name, value in new.items() if name not in node.data}
        if added and gone and node.flow:
            self._changes.clear()
            self._overwrite(node, new)
        elif added:
            self._insert(node, stay, added)

    def _overwrite(self, node: Node, new: Any, key: Node | None = None) -> None:
        start, end = node.start, self.tail(node)
        if key is not None and not node.flow and not node.alias and (node.entries or node.items):
            start = self.text.index(":", key.end) + 1  # where a block begins is no place for a value in a line
            if isinstance(new, (dict, list)) and new:
                self.put(start, end, self._block(new, self._indent(key) + "  ", eol_first=True))
                return
        text = self._value(new, self._column(start) - 1)
        bare = start == end and start > 0 and not self.text[start - 1].isspace()
        self.put(start, end, f" {text}" if bare else text)

    def add_entries(self, node: Node, added: dict[str, Any]) -> None:
        """Add entries at the end of a mapping."""
        if node.entries:
            self._insert(node, node.entries, added)
        else:
            self._overwrite(node, added)

    def add_item(self, node: Node, value: Any) -> None:
        """Add a value at the end of a list."""
        if not node.items:
            self._overwrite(node, [value])
            return
        first, last = node.items[0], node.items[-1]
        at = self.tail(last)
        if node.flow:
            newline, column = self._own_line(first.start)
            gap = f",{newline}{' ' * column}" if newline else ", "
            self.put(at, at, gap + self._value(value, column if newline else None))
        else:
            dash = self.text.rfind("-", 0, first.start)
            self._after_line(at, self._block([value], " " * (self._column(dash) - 1)))

    def _insert(self, node: Node, entries: list[tuple[Node, Node]], added: dict[str, Any]) -> None:
        first, last = entries[0][0], entries[-1][1]
        at = self.tail(last)
        if node.flow:
            newline, column = self._own_line(first.start)
            gap = f",{newline}{' ' * column}" if newline else ", "
            pairs = [
                f"{self._value(name, None)}: {self._value(value, column if newline else None)}"
                for name, value in added.items()
            ]
            self.put(at, at, gap + gap.join(pairs))
        else:
            self._after_line(at, self._block(added, self._indent(first)))

    def cut_entry(self, node: Node, index: int) -> None:
        """Remove an entry of a mapping."""
        assert node.entries is not None
        starts = [key.start for key, _ in node.entries]
        ends = [self.tail(value) for _, value in node.entries]
        self._cut(node, index, starts, ends, lambda start: start)

    def cut_item(self, node: Node, index: int) -> None:
        """Remove a value of a list."""
        assert node.items is not None
        starts = [item.start for item in node.items]
        ends = [self.tail(item) for item in node.items]
        self._cut(node, index, starts, ends, lambda start: self.text.rfind("-", 0, start))

    def _cut(self, node: Node, index: int, starts: list[int], ends: list[int], head: Callable[[int], int]) -> None:
        """Remove one member. `head` gives where a member of a block begins: at its key or at its dash."""
        last = index == len(starts) - 1
        if len(starts) == 1:
            self.put(node.start, ends[0] if not node.flow else node.end, "{}" if node.entries is not None else "[]")
        elif node.flow:
            start, end = (ends[index - 1], ends[index]) if last else (starts[index], starts[index + 1])
            self.put(start, end, "")
        else:
            start = head(starts[index])
            line = self.text.rfind("\n", 0, start) + 1
            if self.text[line:start].strip():  # it shares its line with a dash that must stay
                self.put(start, head(starts[index + 1]) if not last else ends[index], "")
            else:
                newline = self.text.find("\n", ends[index])
                self.put(line, len(self.text) if newline < 0 else newline + 1, "")

    def tail(self, node: Node) -> int:
        """Where the text of a value really ends: a block's own end lies behind the comments that follow it."""
        if node.alias or (node.flow and (node.entries is not None or node.items is not None)):
            return node.end
        if node.entries:
            return self.tail(node.entries[-1][1])
        if node.items:
            return self.tail(node.items[-1])
        return node.start + len(self.text[node.start : node.end].rstrip())

    def _after_line(self, at: int, text: str) -> None:
        """Put lines behind the line that `at` is in."""
        newline = self.text.find("\n", at)
        if newline < 0:
            self.put(len(self.text), len(self.text), self.eol() + text)
        else:
            self.put(newline + 1, newline + 1, text + self.eol())

    def _own_line(self, start: int) -> tuple[str, int]:
        """The line end and indentation of a member that begins its line; an empty line end where it does not."""
        line = self.text.rfind("\n", 0, start) + 1
        if line and not self.text[line:start].strip():
            return self.eol(), start - line
        return "", 0

    def _value(self, value: Any, column: int | None) -> str:
        """A value as flow text; in JSON over several lines where `column` says how far its line is indented."""
        if self.is_json and column is not None and isinstance(value, (dict, list)):
            text = json_text(value, indent=2)
            return text.replace("\n", self.eol() + " " * column)
        return json_text(value) if self.is_json else _yaml_word(value)

    def _block(self, value: Any, indent: str, *, eol_first: bool = False) -> str:
        """A value as lines of block style, without the last line's end."""
        eol = self.eol()
        return (eol if eol_first else "") + yaml_text(value, indent, eol=eol).removesuffix(eol)

    def _indent(self, node: Node) -> str:
        return " " * (self._column(node.start) - 1)

    def _column(self, offset: int) -> int:
        return offset - self.text.rfind("\n", 0, offset)

    def eol(self) -> str:
        """The line end of the text."""
        newline = self.text.find("\n")
        return "\r\n" if newline > 0 and self.text[newline - 1] == "\r" else "\n"


def _is_plain(text: str) -> bool:
    """Whether a string needs no quotes in YAML."""
    if not _PLAIN.fullmatch(text):
        return False
    roots = parse(text, is_json=False).roots
    return len(roots) == 1 and roots[0].node.data == text
