"""Sets of fields, and merging by them: what server-side apply is made of.

A field is a path of steps, written as `managedFields` writes them: `f:NAME` for a key of a mapping, and
`k:{"name":"A"}` for the item of a list that is keyed by name. A set of fields holds the leaves; mappings with free keys
and items of keyed lists are members themselves as well. This is the part of structured-merge-diff v4
(sigs.k8s.io/structured-merge-diff) that our schema needs: mappings merge key by key, `spec.env` item by item, any other
list is one value.

Belongs here: pure functions over plain data. Does not: who owns what (managers.py).
"""

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

Path = tuple[str, ...]
Fields = frozenset[Path]

KEYED: Final[Mapping[Path, str]] = {("f:spec", "f:env"): "name"}
"""The lists that merge item by item, and the field that tells their items apart."""
_FREE: Final = (("f:metadata", "f:labels"), ("f:metadata", "f:annotations"), ("f:spec", "f:config"))
"""Mappings whose keys the schema does not know."""
_MEMBER: Final = "."


class NotFields(ValueError):
    """The data is not in the format FieldsV1."""


def leaves(data: Any) -> dict[Path, Any]:
    """Every field of an object with its value; a member that has fields below it counts without them."""
    return dict(_leaves(data, ()))


def fields_of(data: Any) -> Fields:
    """The fields that an object has."""
    return frozenset(path for path, _ in _leaves(data, ()))


def _leaves(data: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(data, dict):
        if path and (not data or (path not in _FREE and any(path[: len(free)] == free for free in _FREE))):
            yield path, {}
        for key, value in data.items():
            yield from _leaves(value, (*path, f"f:{key}"))
    elif isinstance(data, list) and path in KEYED:
        for item in data:
            step = _item_step(item, KEYED[path])
            yield (*path, step), {}
            yield from _leaves(item, (*path, step))
    elif path:
        yield path, data


def _item_step(item: Any, key: str) -> str:
    value = item.get(key) if isinstance(item, dict) else item
    return "k:" + json.dumps({key: value}, separators=(",", ":"), sort_keys=True)


def difference(old: Any, new: Any) -> tuple[Fields, Fields]:
    """From one object to another: the fields that were added or changed, and those that went."""
    before, after = leaves(old), leaves(new)
    changed = {path for path, value in after.items() if path not in before or before[path] != value}
    gone = before.keys() - after.keys()
    # A mapping that became empty, or is no longer empty, was there all the time.
    changed -= {path for path in changed if after[path] == {} and path in _prefixes(before)}
    gone -= {path for path in gone if before[path] == {} and path in _prefixes(after)}
    return frozenset(changed), frozenset(gone)


def _prefixes(paths: Iterable[Path]) -> set[Path]:
    return {path[:length] for path in paths for length in range(1, len(path) + 1)}


def merge(live: Any, config: Any, path: Path = ()) -> Any:
    """`live` with everything that `config` says. New data; the order of what is there is kept."""
    if isinstance(live, dict) and isinstance(config, dict):
        merged = {key: copy.deepcopy(value) for key, value in live.items()}
        for key, value in config.items():
            merged[key] = merge(live[key], value, (*path, f"f:{key}")) if key in live else copy.deepcopy(value)
        return merged
    if isinstance(live, list) and isinstance(config, list) and path in KEYED:
        key = KEYED[path]
        given = {_item_step(item, key): item for item in config}
        steps = [_item_step(item, key) for item in live]
        items = [
            merge(item, given[step], (*path, step)) if step in given else copy.deepcopy(item)
            for step, item in zip(steps, live, strict=True)
        ]
        return items + [copy.deepcopy(item) for step, item in given.items() if step not in steps]
    return copy.deepcopy(config)


def remove(data: Any, gone: Fields, kept: Fields) -> Any:
    """`data` without the fields in `gone`, unless they or something below them is in `kept`. New data.

    A mapping that is left empty goes as well, unless it is kept or was empty before.
    """
    return _without(data, gone, _prefixes(kept), ())


def _without(data: Any, gone: Fields, holding: set[Path], path: Path) -> Any:
    if isinstance(data, dict):
        found = {}
        for key, value in data.items():
            below = (*path, f"f:{key}")
            if _goes(value, below, gone, holding):
                continue
            rest = _without(value, gone, holding, below)
            if rest in ({}, []) and value not in ({}, []) and below not in holding:
                continue
            found[key] = rest
        return found
    if isinstance(data, list) and path in KEYED:
        key = KEYED[path]
        items = [(item, (*path, _item_step(item, key))) for item in data]
        # An item that stays keeps its key, or it would be another item.
        return [
            _without(item, gone - {(*below, f"f:{key}")}, holding, below)
            for item, below in items
            if below not in gone or below in holding
        ]
    return copy.deepcopy(data)


def _goes(value: Any, path: Path, gone: Fields, holding: set[Path]) -> bool:
    return path in gone and path not in holding and (not isinstance(value, dict) or not value)


def to_v1(fields: Fields) -> dict[str, Any]:
    """A set of fields in the format FieldsV1."""
    tree: dict[str, Any] = {}
    for path in sorted(fields):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
    for path in fields:
        node = tree
        for step in path:
            node = node[step]
        if node:
            node[_MEMBER] = {}
    return tree


def from_v1(data: Any) -> Fields:
    """The set of fields that FieldsV1 data describes. Raises NotFields."""
    return frozenset(_from_v1(data, ()))


def _from_v1(data: Any, path: Path) -> Iterator[Path]:
    if not isinstance(data, dict):
        raise NotFields(f"expected a mapping, not {data!r}")
    if path and (not data or _MEMBER in data):
        yield path
    for step, below in data.items():
        if step == _MEMBER:
            continue
        if step[:2] not in ("f:", "k:", "v:", "i:"):
            raise NotFields(f"{step!r} is not a step of a path")
        yield from _from_v1(below, (*path, step))


def dotted(path: Path) -> str:
    """A field as conflicts name it: `.spec.env[name="A"].value`."""
    text = ""
    for step in path:
        if step.startswith("k:"):
            keys = ",".join(f"{key}={json.dumps(value)}" for key, value in json.loads(step[2:]).items())
            text += f"[{keys}]"
        else:
            text += f".{step[2:]}"
    return text
