"""Who owns which fields of an object: `managedFields`.

A manager that updates owns what it changed; one that applies owns what it said, and what it stops to say goes. Fields
that another manager owns are a conflict for one that applies, unless it forces. As in structured-merge-diff v4,
`merge/update.go`.

Belongs here: pure functions over managers. Does not: keeping them (ownership.py).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from api.kube.fields import Fields, NotFields, Path, difference, dotted, fields_of, from_v1, merge, remove, to_v1
from specs.model import API_VERSION

APPLY: Final = "Apply"
UPDATE: Final = "Update"
FILE: Final = "file"
"""The manager of what was not written over this API: by an editor, or by another endpoint of ours."""
MAX_UPDATERS: Final = 10
"""Managers that only update which are told apart; the oldest are merged, as in Kubernetes."""


@dataclass(frozen=True, slots=True)
class Manager:
    """One owner of fields. `time` is RFC 3339, or empty."""

    name: str
    operation: str
    fields: Fields
    time: str = ""
    subresource: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells managers apart."""
        return self.name, self.operation, self.subresource

    def entry(self) -> dict[str, Any]:
        """As an entry of `metadata.managedFields`."""
        found = {
            "manager": self.name,
            "operation": self.operation,
            "apiVersion": API_VERSION,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": to_v1(self.fields),
            "subresource": self.subresource,
        }
        return {key: value for key, value in found.items() if value or key == "fieldsV1"}


Managers = tuple[Manager, ...]


class ApplyConflict(Exception):
    """Other managers own fields that were to be changed: `conflicts` maps each of them to those fields."""

    def __init__(self, conflicts: Sequence[tuple[Manager, Sequence[Path]]]) -> None:
        super().__init__("conflict")
        self.conflicts = conflicts

    def causes(self) -> list[dict[str, str]]:
        """As `details.causes` of a `Status`."""
        return [
            {"reason": "FieldManagerConflict", "message": f"conflict with {_describe(manager)}", "field": dotted(path)}
            for manager, paths in self.conflicts
            for path in paths
        ]

    def sentence(self) -> str:
        """As `message` of a `Status`; kubectl prints it."""
        number = sum(len(paths) for _, paths in self.conflicts)
        if number == 1:
            manager, paths = self.conflicts[0]
            return f"Apply failed with 1 conflict: conflict with {_describe(manager)}: {dotted(paths[0])}"
        lines = [f"Apply failed with {number} conflicts:"]
        for manager, paths in self.conflicts:
            lines.append(f"conflicts with {_describe(manager)}:")
            lines += [f"- {dotted(path)}" for path in paths]
        return "\n".join(lines)


def _describe(manager: Manager) -> str:
    text = f'"{manager.name}"'
    if manager.subresource:
        text += f' with subresource "{manager.subresource}"'
    if manager.operation == UPDATE:
        text += f" using {API_VERSION}"
        if manager.time:
            text += f" at {manager.time}"
    return text


def decode(entries: Any) -> Managers:
    """`metadata.managedFields` as a client wrote it. Raises NotFields."""
    if not isinstance(entries, list):
        raise NotFields("expected a list")
    managers = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise NotFields("expected a list of mappings")
        if not entry:  # [{}] is how one says: forget all of it
            continue
        if entry.get("operation") not in (APPLY, UPDATE):
            raise NotFields(f"unknown operation {entry.get('operation')!r}")
        texts = [entry.get(key, "") for key in ("manager", "time", "subresource")]
        if not all(isinstance(text, str) for text in texts):
            raise NotFields("manager, time and subresource are strings")
        name, time, subresource = texts
        managers.append(Manager(name, entry["operation"], from_v1(entry.get("fieldsV1", {})), time, subresource))
    return tuple(managers)


def updated(managers: Managers, old: Any, new: Any, by: Manager) -> Managers:
    """Who owns what after `by` (its fields do not matter) changed an object from `old` to `new`."""
    changed, gone = difference(old, new)
    if not changed and not gone:
        return managers
    mine = next((manager.fields for manager in managers if manager.key == by.key), Fields())
    others = [_less(manager, changed | gone) for manager in managers if manager.key != by.key]
    return _bounded([*others, replace(by, fields=(mine - gone) | changed)])


def applied(managers: Managers, live: Any, config: Any, by: str) -> tuple[Any, Fields]:
    """The object after `by` applied `config`, and the fields that it said.

    What it said the last time and does not say now is gone, unless another manager owns it.
    """
    said = fields_of(config)
    last = next((manager.fields for manager in managers if manager.key == (by, APPLY, "")), Fields())
    theirs = frozenset(path for manager in managers if manager.key != (by, APPLY, "") for path in manager.fields)
    return remove(merge(live, config), last - said, said | theirs), said


def apply_owners(managers: Managers, live: Any, result: Any, said: Fields, by: Manager, *, force: bool) -> Managers:
    """Who owns what after an apply made `result` of `live`. Raises ApplyConflict where others own what it changes."""
    changed, gone = difference(live, result)
    others = [manager for manager in managers if manager.key != by.key]
    conflicts = [(manager, sorted(manager.fields & changed)) for manager in others]
    found = [(manager, paths) for manager, paths in conflicts if paths]
    if found and not force:
        raise ApplyConflict(found)
    mine = next((manager for manager in managers if manager.key == by.key), None)
    if mine is not None and mine.fields == said and not changed and not gone:
        return managers
    return _bounded([*(_less(manager, changed | gone) for manager in others), replace(by, fields=said)])


def _less(manager: Manager, lost: Fields) -> Manager:
    return replace(manager, fields=manager.fields - lost) if manager.fields & lost else manager


def _bounded(managers: Iterable[Manager]) -> Managers:
    """Without those that own nothing; the oldest updaters become one when there are too many."""
    left = [manager for manager in managers if manager.fields]
    updaters = sorted((manager for manager in left if manager.operation == UPDATE), key=lambda one: one.time)
    surplus = updaters[: len(updaters) - MAX_UPDATERS + 1] if len(updaters) > MAX_UPDATERS else []
    if surplus:
        fields = Fields().union(*(manager.fields for manager in surplus))
        merged = Manager("ancient-changes", UPDATE, fields, surplus[-1].time)
        left = [merged, *(manager for manager in left if manager not in surplus)]
    return tuple(left)
