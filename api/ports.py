"""What endpoints see of the lower layers, as protocols, so that writing an endpoint cannot start a guest.

Belongs here: protocols and plain values. Does not: anything that acts. The parts behind them are put together
in `daemon.py`; every method may be called from several threads at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from specs.model import WasmPlugin
from specs.store import Desired, Snapshot, SourceStatus
from specs.writer import Change


class DesiredReader(Protocol):
    """Desired state, read. Answers from memory."""

    def get(self, name: str) -> Desired | None:
        """The plugin of that identity."""

    def list(self) -> Snapshot:
        """All plugins at one moment, by name."""

    def route(self, route: str) -> Sequence[Desired]:
        """The plugins of a route's group, by name."""

    def sources(self) -> Sequence[SourceStatus]:
        """Where they come from."""


class DesiredWriter(Protocol):
    """Desired state, changed: each call edits the owning file and returns when it is on disk and the store shows it.

    Besides what they say, all raise SpecReadOnly, SpecWriteFailed, and SpecInvalid (the file is too broken to edit).
    """

    def create(self, plugin: WasmPlugin) -> Change:
        """Write a new plugin; an equal one is left alone. Raises SpecConflict where a different one has the name."""

    def set_instances(self, name: str, instances: int) -> Change:
        """Change the number of instances. Raises SpecNotFound, SpecConflict."""

    def delete(self, name: str) -> Change:
        """Remove a plugin. Raises SpecNotFound, SpecConflict."""


class StatusReader(Protocol):
    """What was observed of the plugins: stored values in the shape of `status`, JSON-able. Reading computes nothing."""

    def get(self, name: str) -> Mapping[str, Any] | None:
        """One plugin's status; None where no pass looked at it yet, or nothing of it is left."""

    def list(self) -> Mapping[str, Mapping[str, Any]]:
        """All statuses by name."""

    def wait(self, desired: Desired, timeout: float) -> Mapping[str, Any] | None:
        """Block until that plugin is Ready or failed, in its generation or a later one; its status then.

        Failed means that nothing is under way (`Progressing` is False) and it is not Ready. None when `timeout`
        seconds are over, or the daemon stops.
        """

    def wait_gone(self, name: str, timeout: float) -> bool:
        """Block until nothing of the plugin is left. False when `timeout` seconds are over, or the daemon stops."""


class EventReader(Protocol):
    """What happened, for people."""

    def list(self) -> Sequence[Mapping[str, Any]]:
        """The remembered events, the oldest first, as JSON-able data."""


class Readiness(Protocol):
    """Where the daemon stands."""

    @property
    def started(self) -> bool:
        """Whether the first pass over all plugins is done."""

    @property
    def draining(self) -> bool:
        """Whether it is shutting down."""


@dataclass(frozen=True, slots=True)
class AdminServices:
    """All that the admin port's endpoints are given."""

    desired: DesiredReader
    writer: DesiredWriter
    status: StatusReader
    events: EventReader
    readiness: Readiness


def condition(status: Mapping[str, Any] | None, kind: str) -> Mapping[str, Any] | None:
    """The condition of that type in a status, if it is there."""
    conditions = (status or {}).get("conditions", ())
    return next((entry for entry in conditions if entry["type"] == kind), None)
