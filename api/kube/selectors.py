"""Label and field selectors: their syntax, and whether an object matches.

The syntax is that of k8s.io/apimachinery `pkg/labels` and `pkg/fields`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

Object = Mapping[str, Any]
Test = Callable[[Object], bool]

_KEY: Final = r"[A-Za-z0-9]([A-Za-z0-9._/\-]*[A-Za-z0-9])?"
_SET: Final = re.compile(rf"\s*(?P<key>{_KEY})\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)\s*")
_EQUAL: Final = re.compile(rf"\s*(?P<key>{_KEY})\s*(?P<operator>==|=|!=)\s*(?P<value>[A-Za-z0-9._\-]*)\s*")
_EXISTS: Final = re.compile(rf"\s*(?P<absent>!?)\s*(?P<key>{_KEY})\s*")


class SelectorInvalid(ValueError):
    """A selector that cannot be read; `str()` says why."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The requirements of a label selector and a field selector, all of which must hold."""

    tests: tuple[Test, ...] = ()

    def matches(self, item: Object) -> bool:
        """Whether an object is selected."""
        return all(test(item) for test in self.tests)

    def __bool__(self) -> bool:
        return bool(self.tests)


def parse_labels(text: str) -> tuple[Test, ...]:
    """The requirements of a label selector. Raises SelectorInvalid."""
    tests: list[Test] = []
    position = 0
    while position < len(text.rstrip()):
        for pattern in (_SET, _EQUAL, _EXISTS):
            found = pattern.match(text, position)
            if found and (found.end() == len(text) or text[found.end()] == ","):
                break
        else:
            raise SelectorInvalid(f"unable to parse requirement: {text[position:]!r}")
        tests.append(_label_test(found.groupdict()))
        position = found.end() + 1
        if position == len(text):
            raise SelectorInvalid("unable to parse requirement: found '' after ','")
    return tuple(tests)


def _label_test(found: Mapping[str, str]) -> Test:
    key, operator = found["key"], found.get("operator")
    if operator is None:
        return lambda item: (key not in _labels(item)) == bool(found["absent"])
    values = {found["value"]} if "value" in found else {value.strip() for value in found["values"].split(",")}
    if operator in ("=", "==", "in"):
        return lambda item: key in _labels(item) and _labels(item)[key] in values
    return lambda item: _labels(item).get(key) not in values


def _labels(item: Object) -> Mapping[str, str]:
    labels: Mapping[str, str] = item["metadata"].get("labels") or {}
    return labels


def parse_fields(text: str, selectable: Callable[[str], bool]) -> tuple[Test, ...]:
    """The requirements of a field selector; `selectable` tells which fields there are. Raises SelectorInvalid."""
    tests: list[Test] = []
    for term in filter(None, re.split(r"(?<!\\),", text)):
        found = re.fullmatch(r"(?s)(?P<field>[^=!]+?)(?P<operator>==|=|!=)(?P<value>.*)", term)
        if not found:
            raise SelectorInvalid(f"invalid selector: {term!r}; can't understand {term!r}")
        if not selectable(found["field"]):
            raise SelectorInvalid(f"field label not supported: {found['field']}")
        value = re.sub(r"\\([\\,=])", r"\1", found["value"])
        tests.append(_field_test(found["field"], value, equal=found["operator"] != "!="))
    return tuple(tests)


def _field_test(field: str, value: str, *, equal: bool) -> Test:
    steps = field.split(".")
    return lambda item: (_text(item, steps) == value) == equal


def _text(item: Object, steps: list[str]) -> str:
    here: Any = item
    for step in steps:
        here = here.get(step) if isinstance(here, Mapping) else None
    if isinstance(here, bool):
        return "true" if here else "false"
    return "" if here is None or isinstance(here, (Mapping, list)) else str(here)
