"""One pass over one plugin: look at what is desired and what runs, decide, act, say.

Given a name, never an event. It waits for nothing but a moment in `apply`; what goes on in the background ends with
the name being queued again.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from reconciler.control.events import EventLog
from reconciler.control.resolve import Resolver, Unresolved
from reconciler.control.rollouts import Result, Rollout, Rollouts
from reconciler.control.status import PluginStatus, StatusBoard
from reconciler.core.conditions import View, conditions
from reconciler.core.diff import Target, diff
from reconciler.core.filters import FilterView, closed_by
from reconciler.core.observed import Failure, ObservedPlugin, ObservedPool
from reconciler.core.plan import Action, CreatePool, Outcome, Plan, RemovePool, ResizePool, Serve
from reconciler.core.rollout import Verdict, judge, judged_in
from reconciler.core.states import Condition, NextStep, PoolPhase, Reason
from specs.store import Desired, Owner


class Host(Protocol):
    """The pool host, as the control side sees it."""

    def apply(self, actions: tuple[Action, ...], patience: float) -> tuple[Outcome, ...]:
        """Do, or begin, what was decided; wait up to `patience` seconds for what was begun."""

    def observe(self, plugin: str) -> ObservedPlugin:
        """What there is of a plugin."""


@dataclass(slots=True)
class _Memory:
    """What a plugin's passes remember from one to the next; lost at a restart, and nothing depends on it."""

    began: dict[str, float] = field(default_factory=dict)
    failure: Failure | None = None
    restarts: int = 0
    shadowed: tuple[Owner, ...] = ()
    quiet: object = None


@dataclass(frozen=True, slots=True)
class _Aim:
    """What a pass works towards: the target, the last good revision where the target may not serve, and why."""

    target: Target
    fallback: Target | None = None
    unresolved: Failure | None = None
    reverted: Failure | None = None


class Reconciler:
    """Makes passes. For one thread. `patience` gives the seconds that a pass may wait for starts."""

    def __init__(
        self,
        *,
        desired: Callable[[str], Desired | None],
        host: Host,
        resolver: Resolver,
        board: StatusBoard,
        events: EventLog,
        rollouts: Rollouts,
        patience: Callable[[], float],
    ) -> None:
        self._desired = desired
        self._host = host
        self._resolver = resolver
        self._board = board
        self._events = events
        self._rollouts = rollouts
        self._patience = patience
        self._memories: dict[str, _Memory] = {}

    def reconcile(self, name: str) -> float | None:
        """One pass. Returns after how many seconds to look again, or None: when something changes."""
        desired = self._desired(name)
        if desired is None:
            return self._uninstall(name)
        memory = self._memories.setdefault(name, _Memory())
        observed = self._host.observe(name)
        aim = self._aim(desired, observed)
        plan = self._step(desired, aim, observed, memory)
        if plan.actions:  # what was done may allow the next step at once: a pool that started may serve
            observed = self._host.observe(name)
            plan = self._step(desired, aim, observed, memory)
            if plan.actions:
                observed = self._host.observe(name)
        after = _sooner(plan.requeue_after, self._judge(desired, aim, observed))
        self._tell(desired, aim, observed, memory)
        self._say(desired, aim, observed, replace(plan, requeue_after=after), memory)
        return after

    def stale(self, names: Iterable[str]) -> list[str]:
        """The names of which something that a pass looks at has changed since the last quiet one. Cheap."""
        seen: dict[str, object] = {}
        return [name for name in names if self._is_stale(name, seen)]

    def _is_stale(self, name: str, seen: dict[str, object]) -> bool:
        desired, memory = self._desired(name), self._memories.get(name)
        if desired is None or memory is None or memory.quiet is None:
            return True
        return memory.quiet != self._fingerprint(desired, self._host.observe(name), seen)

    def _fingerprint(self, desired: Desired, observed: ObservedPlugin, seen: dict[str, object]) -> object:
        pools = [(p.revision, p.phase, p.serving, p.ready, p.failed, p.draining_since) for p in observed.pools]
        closed = closed_by(self._filters(desired))
        return desired.resource_version, self._resolver.signature(desired.plugin, seen), pools, closed

    def _filters(self, desired: Desired) -> list[FilterView]:
        """The plugins that it names as filters."""
        return [
            FilterView(name, self._desired(name) is not None, self._host.observe(name))
            for name in desired.plugin.spec.filters
        ]

    def _uninstall(self, name: str) -> float | None:
        plan = diff(None, self._host.observe(name), time.monotonic())
        if plan.actions:
            self._host.apply(plan.actions, self._patience())
        if self._host.observe(name).pools:
            return plan.requeue_after
        if self._memories.pop(name, None) is not None:
            self._events.record(name, Reason.UNINSTALLED, "its instances are closed and its route is gone")
        self._resolver.forget(name)
        self._rollouts.forget(name)
        self._board.remove(name)
        return None

    # ---- deciding what to aim at

    def _aim(self, desired: Desired, observed: ObservedPlugin) -> _Aim:
        plugin = desired.plugin
        try:
            target = self._resolver.target(plugin)
        except Unresolved as error:
            target = self._resolver.unresolved_target(plugin)
            fallback = None if observed.serving is not None else self._last_good(desired, target)
            return _Aim(target, fallback, unresolved=error.failure)
        assert target.revision is not None
        bad = self._rollouts.find(plugin.name, target.revision)
        if bad is not None and bad.result is Result.ROLLED_BACK and bad.generation == desired.generation:
            good = self._last_good(desired, target)
            if good is not None:
                message = f"revision {target.revision} was reverted to {good.revision}: {bad.message}"
                return _Aim(good, reverted=Failure(Reason.AUTO_REVERTED, message, NextStep.STALL))
        wanted = observed.pool(target.revision)
        failed = wanted is not None and wanted.phase is PoolPhase.FAILED
        return _Aim(target, self._last_good(desired, target) if failed and observed.serving is None else None)

    def _last_good(self, desired: Desired, target: Target) -> Target | None:
        """The last good revision, in today's number of instances and settings; None if that is the target itself."""
        revision = self._rollouts.last_good(desired.name)
        if not revision or revision == target.revision:
            return None
        spec = self._rollouts.spec(desired.name, revision)
        return None if spec is None else replace(target, revision=revision, spec=spec)

    def _judge(self, desired: Desired, aim: _Aim, observed: ObservedPlugin) -> float | None:
        """Whether the revision that serves is good. Returns after how many seconds that will be known."""
        name, serving = desired.name, observed.serving
        if serving is None or serving.revision != aim.target.revision:
            return None
        known = self._rollouts.find(name, serving.revision)
        if known is None or known.result is not Result.SERVED:
            return None
        verdict = judge(serving, time.monotonic())
        if verdict is Verdict.GOOD:
            self._rollouts.change(name, serving.revision, Result.GOOD)
        elif (
            verdict is Verdict.BAD and desired.plugin.spec.rollout.auto_revert and self._last_good(desired, aim.target)
        ):
            why = serving.failure.message if serving.failure is not None else "its calls failed"
            message = f"{serving.bad_calls} of its first {serving.calls} calls failed: {why}"
            self._rollouts.change(name, serving.revision, Result.ROLLED_BACK, message)
            self._events.record(name, Reason.ROLLED_BACK, f"revision {serving.revision}: {message}", warning=True)
            return 0.0
        else:
            return judged_in(serving, time.monotonic()) or None
        return None

    # ---- acting

    def _step(self, desired: Desired, aim: _Aim, observed: ObservedPlugin, memory: _Memory) -> Plan:
        now = time.monotonic()
        plan = diff(aim.target, observed, now, aim.fallback)
        if plan.actions:
            self._host.apply(plan.actions, self._patience())
            for action in plan.actions:
                self._note(desired, action, aim, observed, memory, now)
        return plan

    def _note(
        self, desired: Desired, action: Action, aim: _Aim, before: ObservedPlugin, memory: _Memory, now: float
    ) -> None:
        """Remember and tell what an action means to people."""
        name = action.plugin
        if isinstance(action, CreatePool):
            memory.began.setdefault(action.revision, now)
            self._events.record(name, Reason.CREATED, f"a pool of {action.instances} for revision {action.revision}")
        elif isinstance(action, ResizePool):
            pool = before.pool(action.revision)
            if pool is not None and pool.target != action.instances:
                note = f"from {pool.target} to {action.instances} instances"
                self._events.record(name, Reason.RESIZED, note)
        elif isinstance(action, Serve):
            old = before.serving
            self._remember(desired, aim, action.revision, Result.SERVED, now - memory.began.get(action.revision, now))
            if old is None:
                self._events.record(name, Reason.INSTALLED, f"revision {action.revision} serves")
            else:
                note = f"revision {action.revision} serves instead of {old.revision}"
                self._events.record(name, Reason.UPDATED, note)
        elif isinstance(action, RemovePool):
            self._events.record(name, Reason.DRAINED, f"revision {action.revision} is closed")
            memory.began.pop(action.revision, None)

    def _remember(
        self, desired: Desired, aim: _Aim, revision: str, result: Result, seconds: float, message: str = ""
    ) -> None:
        """Write to the history how the target went. One that proved good or bad before stays what it proved to be."""
        known = self._rollouts.find(desired.name, revision)
        settled = known is not None and known.result in (Result.GOOD, Result.ROLLED_BACK)
        if aim.target.spec is None or aim.target.revision != revision or aim.reverted is not None:
            return
        if settled and known is not None and known.generation == desired.generation:
            return
        if known is not None and known.result is Result.GOOD and result is Result.SERVED:
            result = Result.GOOD
        rollout = Rollout(revision, 0, desired.generation, result, time.time(), seconds, message)
        self._rollouts.record(desired.name, rollout, aim.target.spec, desired.plugin)

    # ---- saying

    def _tell(self, desired: Desired, aim: _Aim, observed: ObservedPlugin, memory: _Memory) -> None:
        """Events about what failed by itself."""
        name = desired.name
        if desired.shadowed and desired.shadowed != memory.shadowed:
            others = ", ".join(map(str, desired.shadowed))
            note = f"{desired.owner} keeps the name; the same name in {others} is ignored"
            self._events.record(name, Reason.NAME_CONFLICT, note, warning=True)
        memory.shadowed = desired.shadowed
        restarts = sum(pool.restarts for pool in observed.pools)
        crashed = next((pool for pool in observed.pools if pool.crashes and pool.failure is not None), None)
        if restarts > memory.restarts and crashed is not None and crashed.failure is not None:
            note = f"an instance is replaced: {crashed.failure.message}"
            self._events.record(name, crashed.failure.reason, note, warning=True)
        memory.restarts = restarts
        failure = aim.unresolved or _start_failure(aim.target, observed)
        if failure is not None and failure != memory.failure:
            self._events.record(name, failure.reason, failure.message, warning=True)
            if aim.target.revision is not None and not observed.serving:
                self._remember(desired, aim, aim.target.revision, Result.FAILED, 0.0, failure.message)
        memory.failure = failure

    def _say(self, desired: Desired, aim: _Aim, observed: ObservedPlugin, plan: Plan, memory: _Memory) -> None:
        name, target = desired.name, aim.target
        view = View(
            target=target,
            observed=observed,
            unresolved=aim.unresolved,
            retry_in=plan.requeue_after,
            notices=desired.notices,
            conflict=", ".join(f"{owner.file}:{owner.line}" for owner in desired.shadowed),
            reverted=aim.reverted,
            closed=closed_by(self._filters(desired)),
        )
        previous = self._board.status(name)
        states = conditions(view, previous.conditions if previous is not None else (), time.time())
        status = PluginStatus(
            uid=desired.uid,
            generation=desired.generation,
            owner=desired.owner,
            shadowed=desired.shadowed,
            instances=target.instances,
            desired_revision=target.revision or "",
            last_good=self._rollouts.last_good(name),
            observed=observed,
            conditions=states,
            history=self._rollouts.history(name),
        )
        self._board.put(name, status)
        ready = status.condition(Condition.READY)
        settled = plan.empty and plan.requeue_after is None and ready is not None and ready.status == "True"
        memory.quiet = self._fingerprint(desired, observed, {}) if settled else None


def _start_failure(target: Target, observed: ObservedPlugin) -> Failure | None:
    """Why the target's pool does not start."""
    pool: ObservedPool | None = observed.pool(target.revision) if target.revision is not None else None
    return pool.failure if pool is not None and pool.phase is PoolPhase.FAILED else None


def _sooner(one: float | None, other: float | None) -> float | None:
    times = [seconds for seconds in (one, other) if seconds is not None]
    return min(times) if times else None
