"""What other nodes say of the plugins that they follow from here: one entry for each node, in `status.nodes`.

Held in memory alone: whoever wrote an entry looks whether it is still there, and writes it again. An entry goes when
its plugin does, and when its node has said nothing for long.

Belongs here: entries and who owns them. Does not: HTTP (plugins.py), this node's own status.
"""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from api.kube.errors import KubeError, invalid
from api.kube.resources import PLUGINS

KEEP: Final = 3 * 3600.0
"""Seconds after which an entry that was not written again is dropped."""
MOST: Final = 5_000
"""Entries that one plugin may have."""

Listener = Callable[[frozenset[str]], None]


class NodeEntry(BaseModel):
    """What a node says of a plugin."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, alias_generator=to_camel)

    node: str = Field(min_length=1, max_length=253, description="Which node.")
    workload: str | None = Field(None, max_length=253, description="What it is a part of.")
    observed_generation: int = Field(ge=0, description="The generation that this is about.")
    desired: int = Field(ge=0, description="Instances wanted there.")
    ready: int = Field(ge=0, description="Instances started and answering there.")
    revision: str = Field("", max_length=128, description="What serves there.")
    status: str = Field("Unknown", pattern="^(True|False|Unknown)$", description="Whether it is Ready there.")
    reason: str = Field("", max_length=128, description="Why, in one word.")
    message: str = Field("", max_length=1024, description="Why, in a sentence.")
    last_transition_time: str = Field("", max_length=64, description="When that changed last.")


@dataclass(frozen=True, slots=True)
class _Held:
    """An entry, who wrote it, and when (monotonic seconds)."""

    data: Mapping[str, Any]
    manager: str
    written: float


class NodeStatuses:
    """The entries of all plugins. For any thread. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[str, dict[str, _Held]] = {}
        self._listeners: tuple[Listener, ...] = ()

    def subscribe(self, listener: Listener) -> None:
        """Call back with the names whose entries changed."""
        self._listeners = (*self._listeners, listener)

    def of(self, uid: str) -> list[Mapping[str, Any]]:
        """The entries of the plugin with that uid, by node."""
        with self._lock:
            held = self._entries.get(uid, {})
            return [held[node].data for node in sorted(held)]

    def forget(self, uids: frozenset[str]) -> None:
        """Only these plugins are left."""
        with self._lock:
            for uid in self._entries.keys() - uids:
                del self._entries[uid]

    def apply(self, name: str, uid: str, body: Any, manager: str, *, force: bool) -> None:
        """Server-side apply: what the manager says, instead of what it said. Raises KubeError 409, 422."""
        entries = decode(name, body)
        with self._lock:
            changed = self._apply(name, uid, entries, manager, force=force)
        if changed:
            for listener in self._listeners:
                listener(frozenset((name,)))

    def _apply(self, name: str, uid: str, entries: list[NodeEntry], manager: str, *, force: bool) -> bool:
        now = self._clock()
        before = self._entries.get(uid, {})
        others = {node: held for node, held in before.items() if held.manager != manager and now - held.written < KEEP}
        taken = sorted(entry.node for entry in entries if entry.node in others)
        if taken and not force:
            owner = others[taken[0]].manager
            raise KubeError(
                409, f'Apply failed with 1 conflict: conflict with "{owner}": .status.nodes[node="{taken[0]}"]'
            )
        mine = {
            entry.node: _Held(entry.model_dump(by_alias=True, exclude_none=True), manager, now) for entry in entries
        }
        after = others | mine
        if len(after) > MOST:
            raise invalid(PLUGINS, name, [("status.nodes", f"has more than {MOST} entries")])
        self._entries[uid] = after
        return {node: held.data for node, held in before.items()} != {node: held.data for node, held in after.items()}


def decode(name: str, body: Any) -> list[NodeEntry]:
    """The entries of an applied object. Nothing else of a status is anybody's to write. Raises KubeError 422."""
    status = body.get("status") if isinstance(body, Mapping) else None
    if not isinstance(status, Mapping) or set(status) - {"nodes"} or not isinstance(status.get("nodes"), list):
        raise invalid(PLUGINS, name, [("status", "only `nodes`, a list with an entry for each node, can be applied")])
    try:
        entries = [NodeEntry.model_validate(entry) for entry in status["nodes"]]
    except ValidationError as ex:
        raise invalid(
            PLUGINS,
            name,
            [(".".join(("status", "nodes", *map(str, error["loc"]))), error["msg"]) for error in ex.errors()],
        ) from ex
    if len({entry.node for entry in entries}) < len(entries):
        raise invalid(PLUGINS, name, [("status.nodes", "names a node twice")])
    return entries
