"""What a pass decided to do: actions as data. The pool host executes them; each is dull and idempotent."""

from dataclasses import dataclass

from reconciler.core.observed import Failure, PoolSettings
from reconciler.core.revision import InstanceSpec


@dataclass(frozen=True, slots=True)
class CreatePool:
    """Make a pool for a revision, load its module, start `instances`. It takes no traffic yet."""

    plugin: str
    revision: str
    spec: InstanceSpec
    settings: PoolSettings
    instances: int


@dataclass(frozen=True, slots=True)
class ResizePool:
    """Bring a pool to `instances`, in the background; ends an earlier failure of the pool.

    Surplus idle instances are closed, surplus busy ones as their request ends.
    """

    plugin: str
    revision: str
    instances: int


@dataclass(frozen=True, slots=True)
class CloseFailed:
    """Close the instances that trapped, timed out or reached their number of requests."""

    plugin: str
    revision: str


@dataclass(frozen=True, slots=True)
class ConfigurePool:
    """Give a running pool other settings (route, queue, drain time)."""

    plugin: str
    revision: str
    settings: PoolSettings


@dataclass(frozen=True, slots=True)
class Serve:
    """Send the plugin's traffic to this revision's pool, at once; the plugin's other pools start to drain."""

    plugin: str
    revision: str


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take the plugin's pool out of its route; it drains."""

    plugin: str
    revision: str


@dataclass(frozen=True, slots=True)
class RemovePool:
    """Close what is left of a pool and forget it. Busy instances are closed as their request ends."""

    plugin: str
    revision: str


Action = CreatePool | ResizePool | CloseFailed | ConfigurePool | Serve | Withdraw | RemovePool


@dataclass(frozen=True, slots=True)
class Plan:
    """The actions of one pass, in order, and when to look again (seconds from now; None: when something changes)."""

    actions: tuple[Action, ...] = ()
    requeue_after: float | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.actions


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an action went; `failure` is None where it was done (or begun, for what runs in the background)."""

    action: Action
    failure: Failure | None = None
