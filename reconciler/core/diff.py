"""The decision: (desired, observed, now) -> Plan. Pure, and the place where the thinking is.

One pass looks at one plugin. It never waits: what takes time (loading, starting, draining) shows as a phase in
the next observation. Two promises hold after every step: a serving pool is withdrawn only when its successor has
as many instances ready as it had (or as are desired), and a plan made again after its actions took effect is empty.
"""

from dataclasses import dataclass

from reconciler.core.backoff import crash_delay, start_delay
from reconciler.core.observed import ObservedPlugin, ObservedPool, PoolSettings
from reconciler.core.plan import (
    Action,
    CloseFailed,
    ConfigurePool,
    CreatePool,
    Plan,
    RemovePool,
    ResizePool,
    Serve,
    Withdraw,
)
from reconciler.core.revision import InstanceSpec
from reconciler.core.states import NextStep, PoolPhase


@dataclass(frozen=True, slots=True)
class Target:
    """What one plugin should be, resolved: its module's digest and its secrets are known.

    `revision` and `spec` are None where they could not be resolved (module file lost, secret unreadable): then
    the revision that serves is kept, and only the number of instances and the settings follow.
    """

    plugin: str
    revision: str | None
    spec: InstanceSpec | None
    settings: PoolSettings
    instances: int
    suspend: bool = False


def diff(target: Target | None, observed: ObservedPlugin, now: float) -> Plan:
    """What to do now about one plugin. `target` None: it is no longer desired. `now` in monotonic seconds."""
    steps = _Steps(now)
    if target is None:
        for pool in observed.pools:
            steps.retire(pool, withdraw=pool.serving)
        return steps.plan()
    wanted = _wanted(target, observed)
    if target.suspend:
        _settle_others(steps, observed, keep=wanted)
        return steps.plan()
    if wanted is not None:
        _converge(steps, wanted, target, observed)
    elif target.revision is not None and target.spec is not None:
        steps.add(CreatePool(target.plugin, target.revision, target.spec, target.settings, target.instances))
    _settle_others(steps, observed, keep=wanted)
    return steps.plan()


def _wanted(target: Target, observed: ObservedPlugin) -> ObservedPool | None:
    """The pool of the desired revision, or the serving one where the revision is not known."""
    return observed.serving if target.revision is None else observed.pool(target.revision)


def _converge(steps: "_Steps", pool: ObservedPool, target: Target, observed: ObservedPlugin) -> None:
    if pool.settings != target.settings:
        steps.add(ConfigurePool(pool.plugin, pool.revision, target.settings))
    if pool.failed:
        steps.add(CloseFailed(pool.plugin, pool.revision))
    _resize(steps, pool, target.instances)
    if not pool.serving and _may_serve(pool, target, observed.serving):
        steps.add(Serve(pool.plugin, pool.revision))


def _resize(steps: "_Steps", pool: ObservedPool, instances: int) -> None:
    """Start what is missing and close what is too many, with a backoff after failures."""
    if pool.phase is PoolPhase.FAILED:
        if pool.failure is not None and pool.failure.next_step is NextStep.STALL:
            return
        due = pool.failed_at + start_delay(pool.failures, pool.plugin)
    elif pool.target != instances:
        due = steps.now
    elif pool.phase is PoolPhase.IDLE and pool.ready < instances:
        due = pool.failed_at + crash_delay(pool.crashes, pool.plugin)
    else:
        return
    if due <= steps.now:
        steps.add(ResizePool(pool.plugin, pool.revision, instances))
    else:
        steps.look_again(due)


def _may_serve(pool: ObservedPool, target: Target, serving: ObservedPool | None) -> bool:
    """Whether a revision may take over: it has as many ready as the old one had, or as are desired."""
    if target.instances == 0:
        return pool.guest is not None and pool.phase is PoolPhase.IDLE
    enough = min(target.instances, serving.ready if serving is not None else 1)
    return pool.ready >= max(1, enough)


def _settle_others(steps: "_Steps", observed: ObservedPlugin, keep: ObservedPool | None) -> None:
    """Retire the pools that neither serve nor are wanted."""
    for pool in observed.pools:
        if pool is not keep and not pool.serving:
            steps.retire(pool)
        elif pool is not keep and pool.failed:
            steps.add(CloseFailed(pool.plugin, pool.revision))


class _Steps:
    """Collects actions, and the earliest time to look again."""

    def __init__(self, now: float) -> None:
        self.now = now
        self._actions: list[Action] = []
        self._again: float | None = None

    def add(self, action: Action) -> None:
        self._actions.append(action)

    def look_again(self, when: float) -> None:
        self._again = when if self._again is None else min(self._again, when)

    def retire(self, pool: ObservedPool, *, withdraw: bool = False) -> None:
        """Take a pool out of service, let it drain, remove it when it is empty or its time is up."""
        if withdraw and (pool.busy or pool.retiring):
            self.add(Withdraw(pool.plugin, pool.revision))
            self.look_again(self.now + pool.settings.drain_timeout)
            return
        deadline = (pool.draining_since or self.now) + pool.settings.drain_timeout
        if (pool.busy or pool.retiring) and self.now < deadline:
            if pool.failed:
                self.add(CloseFailed(pool.plugin, pool.revision))
            self.look_again(deadline)
        else:
            self.add(RemovePool(pool.plugin, pool.revision))

    def plan(self) -> Plan:
        after = None if self._again is None else max(0.0, self._again - self.now)
        return Plan(tuple(self._actions), after)
