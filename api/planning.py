"""What would happen if these plugins were wanted instead of those: pure, for people who want to know beforehand.

The reconciler decides by revisions (`reconciler.core.revision`); here it is told from two specs alone, so that it works
without a daemon. A test holds the table of effects against what the reconciler makes of each field.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from specs.model import WasmPlugin


class Effect(StrEnum):
    """What a change does, the mildest first."""

    RECORD = "record"
    """Nothing that runs changes."""
    CONFIGURE = "configure"
    """The pool is told; its instances stay."""
    RESIZE = "resize"
    """Instances are added or drained; the others stay."""
    ROLL = "roll"
    """New instances are started beside the old ones, which then drain."""
    REMOVE = "remove"
    CREATE = "create"


_STRENGTH: Final = tuple(Effect)
_EFFECTS: Final = {
    "spec.instances": Effect.RESIZE,
    "spec.route": Effect.CONFIGURE,
    "spec.filters": Effect.CONFIGURE,
    "spec.limits.queue": Effect.CONFIGURE,
    "spec.limits.queueTimeout": Effect.CONFIGURE,
    "spec.rollout.drainTimeout": Effect.CONFIGURE,
    "spec.rollout.minHealthyTime": Effect.CONFIGURE,
    "spec.pool.maxInvocations": Effect.CONFIGURE,
    "spec.engine": Effect.RECORD,
    "spec.suspend": Effect.RECORD,
    "spec.rollout.autoRevert": Effect.RECORD,
}
"""By field; a field that is not here makes a new revision if it is in the spec."""


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field, dotted, and its value before and after (None: not given)."""

    path: str
    before: Any
    after: Any

    @property
    def effect(self) -> Effect:
        """What this change does."""
        if self.path in _EFFECTS:
            return _EFFECTS[self.path]
        return Effect.ROLL if self.path.startswith("spec.") else Effect.RECORD


@dataclass(frozen=True, slots=True)
class Change:
    """What would happen to one plugin, and why."""

    name: str
    effect: Effect
    fields: tuple[FieldChange, ...] = ()
    note: str = ""


def changes(live: Mapping[str, WasmPlugin], wanted: Mapping[str, WasmPlugin], *, prune: bool) -> tuple[Change, ...]:
    """All changes, by name. With `prune`, what is live and not wanted is removed; else it stays."""
    names: Iterable[str] = {*wanted, *live} if prune else wanted
    found = (change_of(live.get(name), wanted.get(name)) for name in sorted(names))
    return tuple(change for change in found if change is not None)


def change_of(live: WasmPlugin | None, wanted: WasmPlugin | None) -> Change | None:
    """What would happen to one plugin; None where nothing would."""
    if live is None and wanted is None:
        return None
    if live is None and wanted is not None:
        count = wanted.spec.instances
        return Change(wanted.name, Effect.CREATE, note=f"{_instances(count)} on route {wanted.route}")
    if wanted is None and live is not None:
        return Change(live.name, Effect.REMOVE, note="it is not among the files; its requests under way finish")
    assert live is not None
    assert wanted is not None
    before, after = _fields(live), _fields(wanted)
    paths = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
    if not paths:
        return None
    fields = tuple(FieldChange(path, before.get(path), after.get(path)) for path in paths)
    effect = max((field.effect for field in fields), key=_STRENGTH.index)
    waits = wanted.spec.suspend and effect is not Effect.RECORD
    return Change(wanted.name, effect, fields, "it is suspended: this waits until suspend is false" if waits else "")


def _instances(count: int) -> str:
    return f"{count} instance" if count == 1 else f"{count} instances"


def _fields(plugin: WasmPlugin) -> dict[str, Any]:
    """Every field with its default, by dotted path; the route as it is in force."""
    data = plugin.model_dump(by_alias=True, mode="json")
    data["spec"]["route"] = plugin.route
    data["metadata"].pop("namespace", None)  # there is one for all plugins of a daemon
    found: dict[str, Any] = {}
    _flatten("", {"metadata": data["metadata"], "spec": data["spec"]}, found)
    return found


def _flatten(path: str, value: Any, found: dict[str, Any]) -> None:
    if isinstance(value, Mapping) and value:
        for key, below in value.items():
            _flatten(f"{path}.{key}" if path else str(key), below, found)
    elif value not in (None, {}, []):
        found[path] = value
