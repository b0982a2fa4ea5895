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


def diff(target: Target | None, observed: ObservedPlugin, now: float, fallback: Target | None = None) -> Plan:
    """What to do now about one plugin. `target` None: it is no longer desired. `now` in monotonic seconds.

    `fallback` is the last good revision: it is started where nothing serves and the target cannot.
    """
    steps = _Steps(now)
    if target is None:
        for pool in observed.pools:
            steps.retire(pool, withdraw=pool.serving)
        return steps.plan()
    wanted, serving = _wanted(target, observed), observed.serving
    kept = [pool for pool in (wanted, serving) if pool is not None]
    if not target.suspend:
        if wanted is not None:
            _converge(steps, wanted, target, serving)
        elif target.revision is not None and target.spec is not None:
            steps.add(CreatePool(target.plugin, target.revision, target.spec, target.settings, target.instances))
        if serving is not None and serving is not wanted:
            _maintain(steps, serving)
        if serving is None and fallback is not None and _cannot_serve(target, wanted):
            kept += _fall_back(steps, fallback, observed)
    for pool in observed.pools:
        if pool not in kept:
            steps.retire(pool)
    return steps.plan()


def _wanted(target: Target, observed: ObservedPlugin) -> ObservedPool | None:
    """The pool of the desired revision, or the serving one where the revision is not known."""
    return observed.serving if target.revision is None else observed.pool(target.revision)


def _converge(steps: "_Steps", pool: ObservedPool, target: Target, serving: ObservedPool | None) -> None:
    """Bring the wanted pool to its size and settings, and let it take over once it can."""
    if pool.settings != target.settings:
        steps.add(ConfigurePool(pool.plugin, pool.revision, target.settings))
    if pool.failed:
        steps.add(CloseFailed(pool.plugin, pool.revision))
    _resize(steps, pool, target.instances)
    if not pool.serving and _may_serve(pool, target, serving):
        steps.add(Serve(pool.plugin, pool.revision))


def _maintain(steps: "_Steps", pool: ObservedPool) -> None:
    """Keep the old revision whole for as long as it serves: what it loses is replaced."""
    if pool.failed:
        steps.add(CloseFailed(pool.plugin, pool.revision))
    _resize(steps, pool, pool.target)


def _cannot_serve(target: Target, wanted: ObservedPool | None) -> bool:
    """Whether the target is not known, or its start failed."""
    return target.revision is None or (wanted is not None and wanted.phase is PoolPhase.FAILED and not wanted.ready)


def _fall_back(steps: "_Steps", fallback: Target, observed: ObservedPlugin) -> list[ObservedPool]:
    """Bring the last good revision up instead. Returns the pools that are therefore kept."""
    pool = observed.pool(fallback.revision) if fallback.revision is not None else None
    if pool is not None:
        _converge(steps, pool, fallback, None)
        return [pool]
    if fallback.revision is not None and fallback.spec is not None:
        steps.add(CreatePool(fallback.plugin, fallback.revision, fallback.spec, fallback.settings, fallback.instances))
    return []


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
