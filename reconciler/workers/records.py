"""What the control side knows of a pool that lies in several workers: what was asked for, and what each last said.

Guarded by RemoteHost's lock; no threads, no messages.
"""

from dataclasses import dataclass, field, replace

from reconciler.core.observed import GuestInfo, ObservedPool, PoolSettings
from reconciler.core.plan import CreatePool
from reconciler.core.revision import InstanceSpec
from reconciler.core.states import PoolPhase
from reconciler.workers.merge import Lost, merged
from reconciler.workers.messages import Place


@dataclass(slots=True)
class Part:
    """A worker's part of a pool. `asked` is the number of the last message that was about it."""

    target: int
    asked: int = 0
    seen: ObservedPool | None = None


@dataclass(slots=True)
class Record:
    """A pool: `target` and all above `parts` is what was asked for.

    `lost` counts what workers that are gone took along. `moving`: some workers get more, and when they have it, others
    give theirs up.
    """

    plugin: str
    revision: str
    spec: InstanceSpec
    settings: PoolSettings
    target: int
    created: float
    serving: bool = False
    served: bool = False
    serving_since: float | None = None
    draining_since: float | None = None
    parts: dict[int, Part] = field(default_factory=dict)
    lost: Lost = field(default_factory=Lost)
    guest: GuestInfo | None = None
    moving: bool = False

    @classmethod
    def of(cls, action: CreatePool, now: float) -> "Record":
        """A new one."""
        return cls(action.plugin, action.revision, action.spec, action.settings, action.instances, now)

    def heard(self, worker: int, seen: ObservedPool, applied: int) -> None:
        """What a worker has of it. What was said before the worker did the last that it was told is old."""
        part = self.parts.get(worker)
        if part is not None and applied >= part.asked:
            part.seen = seen
            self.guest = seen.guest or self.guest

    def retried(self) -> None:
        """What failed is tried again: until a worker says how that went, it is under way."""
        for part in self.parts.values():
            if part.seen is not None and part.seen.phase is PoolPhase.FAILED:
                part.seen = replace(part.seen, phase=PoolPhase.STARTING)

    def tidied(self) -> None:
        """Instances that failed are closed, or about to be."""
        for part in self.parts.values():
            if part.seen is not None:
                part.seen = replace(part.seen, failed=0)

    def lose(self, worker: int) -> bool:
        """The worker is gone. Whether it had a part."""
        part = self.parts.pop(worker, None)
        if part is not None and part.seen is not None:
            self.lost = self.lost.plus(part.seen)
        return part is not None

    def serve(self, now: float) -> None:
        """It takes the traffic from now on."""
        self.serving = self.served = True
        self.serving_since, self.draining_since = now, None
        self.lost = replace(self.lost, calls=0, bad_calls=0)

    def withdraw(self, now: float) -> None:
        """It takes none any more, and shrinks as requests end."""
        self.serving = self.moving = False
        self.draining_since = self.draining_since or now
        self.target = 0
        for part in self.parts.values():
            part.target = 0
            if part.seen is not None:  # whatever the worker said before it heard of this
                part.seen = replace(part.seen, ready=0)

    def observe(self, whole: bool) -> ObservedPool:
        """All parts as one; `whole` unless a part waits for its worker."""
        asked = ObservedPool(
            plugin=self.plugin,
            revision=self.revision,
            settings=self.settings,
            limits=self.spec.limits,
            phase=PoolPhase.LOADING,
            target=self.target,
            serving=self.serving,
            served=self.served,
            serving_since=self.serving_since,
            draining_since=self.draining_since,
            guest=self.guest,
        )
        return merged(asked, [part.seen for part in self.parts.values()], self.lost, whole)

    def place(self) -> Place:
        """Who can answer for it."""
        workers = frozenset(n for n, part in self.parts.items() if part.target and part.seen and part.seen.ready)
        alias = self.guest.route_id if self.guest is not None else ""
        return Place(self.plugin, self.settings.route, alias, workers)
