"""One pass over one plugin: look at what is desired and what runs, decide, act, say.

Given a name, never an event. It waits for nothing but a moment in `apply`; what goes on in the background ends with
the name being queued again.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from reconciler.control.events import EventLog
from reconciler.control.resolve import Resolver, Unresolved
from reconciler.control.status import HISTORY, PluginStatus, RevisionRecord, StatusBoard
from reconciler.core.conditions import View, conditions
from reconciler.core.diff import Target, diff
from reconciler.core.observed import Failure, ObservedPlugin
from reconciler.core.plan import Action, CreatePool, Outcome, Plan, RemovePool, ResizePool, Serve
from reconciler.core.states import Condition, PoolPhase, Reason
from specs.store import Desired


class Host(Protocol):
    """The pool host, as the control side sees it."""

    def apply(self, actions: tuple[Action, ...]) -> tuple[Outcome, ...]:
        """Do, or begin, what was decided."""

    def observe(self, plugin: str) -> ObservedPlugin:
        """What there is of a plugin."""


@dataclass(slots=True)
class _Memory:
    """What a plugin's passes remember from one to the next; lost at a restart, and nothing depends on it."""

    began: dict[str, float] = field(default_factory=dict)
    history: tuple[RevisionRecord, ...] = ()
    last_good: str = ""
    failure: Failure | None = None
    restarts: int = 0
    quiet: object = None


class Reconciler:
    """Makes passes. For one thread. `clock` gives monotonic seconds."""

    def __init__(
        self,
        *,
        desired: Callable[[str], Desired | None],
        host: Host,
        resolver: Resolver,
        board: StatusBoard,
        events: EventLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._desired = desired
        self._host = host
        self._resolver = resolver
        self._board = board
        self._events = events
        self._clock = clock
        self._memories: dict[str, _Memory] = {}

    def reconcile(self, name: str) -> float | None:
        """One pass. Returns after how many seconds to look again, or None: when something changes."""
        desired = self._desired(name)
        if desired is None:
            return self._uninstall(name)
        memory = self._memories.setdefault(name, _Memory())
        try:
            target, unresolved = self._resolver.target(desired.plugin), None
        except Unresolved as error:
            target, unresolved = self._resolver.unresolved_target(desired.plugin), error.failure
        plan = self._step(target, memory)
        observed = self._host.observe(name)
        if plan.actions:  # what was done may allow the next step at once: a pool that started may serve
            plan = self._step(target, memory)
            observed = self._host.observe(name)
        self._tell(target, observed, unresolved, memory)
        self._say(desired, target, observed, unresolved, plan, memory)
        return plan.requeue_after

    def needs_pass(self, name: str) -> bool:
        """Whether anything that a pass looks at has changed since the last quiet one. Cheap: for the resync."""
        desired = self._desired(name)
        memory = self._memories.get(name)
        if desired is None or memory is None or memory.quiet is None:
            return True
        return memory.quiet != self._fingerprint(desired, self._host.observe(name))

    def _fingerprint(self, desired: Desired, observed: ObservedPlugin) -> object:
        pools = tuple((p.revision, p.phase, p.serving, p.ready, p.failed, p.draining_since) for p in observed.pools)
        return desired.resource_version, self._resolver.signature(desired.plugin), pools

    def _uninstall(self, name: str) -> float | None:
        plan = diff(None, self._host.observe(name), self._clock())
        if plan.actions:
            self._host.apply(plan.actions)
        if not self._host.observe(name).pools:
            if self._memories.pop(name, None) is not None:
                self._events.record(name, Reason.UNINSTALLED, "its instances are closed and its route is gone")
            self._board.remove(name)
            return None
        return plan.requeue_after

    def _step(self, target: Target, memory: _Memory) -> Plan:
        now = self._clock()
        observed = self._host.observe(target.plugin)
        plan = diff(target, observed, now)
        if plan.actions:
            self._host.apply(plan.actions)
            for action in plan.actions:
                self._note(action, observed, memory, now)
        return plan

    def _note(self, action: Action, before: ObservedPlugin, memory: _Memory, now: float) -> None:
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
            self._served(action, before, memory, now)
        elif isinstance(action, RemovePool):
            self._events.record(name, Reason.DRAINED, f"revision {action.revision} is closed")
            memory.began.pop(action.revision, None)

    def _served(self, action: Serve, before: ObservedPlugin, memory: _Memory, now: float) -> None:
        seconds = now - memory.began.get(action.revision, now)
        record = RevisionRecord(action.revision, "Served", time.time(), round(seconds, 6))
        memory.history = (*memory.history, record)[-HISTORY:]
        memory.last_good = action.revision
        old = before.serving
        if old is None:
            self._events.record(action.plugin, Reason.INSTALLED, f"revision {action.revision} serves")
        else:
            note = f"revision {action.revision} serves instead of {old.revision}"
            self._events.record(action.plugin, Reason.UPDATED, note)

    def _tell(self, target: Target, observed: ObservedPlugin, unresolved: Failure | None, memory: _Memory) -> None:
        """Events about what failed by itself."""
        restarts = sum(pool.restarts for pool in observed.pools)
        crashed = next((pool for pool in observed.pools if pool.crashes and pool.failure is not None), None)
        if restarts > memory.restarts and crashed is not None and crashed.failure is not None:
            note = f"an instance is replaced: {crashed.failure.message}"
            self._events.record(target.plugin, crashed.failure.reason, note, warning=True)
        memory.restarts = restarts
        wanted = observed.pool(target.revision) if target.revision is not None else None
        failure = unresolved
        if wanted is not None and wanted.phase is PoolPhase.FAILED:
            failure = wanted.failure
        if failure is not None and failure != memory.failure:
            self._events.record(target.plugin, failure.reason, failure.message, warning=True)
        memory.failure = failure

    def _say(
        self,
        desired: Desired,
        target: Target,
        observed: ObservedPlugin,
        unresolved: Failure | None,
        plan: Plan,
        memory: _Memory,
    ) -> None:
        name = target.plugin
        view = View(
            target=target,
            observed=observed,
            unresolved=unresolved,
            retry_in=plan.requeue_after,
            notices=desired.notices,
            conflict=", ".join(f"{owner.file}:{owner.line}" for owner in desired.shadowed),
        )
        previous = self._board.status(name)
        states = conditions(view, previous.conditions if previous is not None else (), time.time())
        status = PluginStatus(
            generation=desired.generation,
            owner=desired.owner,
            shadowed=desired.shadowed,
            instances=target.instances,
            desired_revision=target.revision or "",
            last_good=memory.last_good,
            observed=observed,
            conditions=states,
            history=memory.history,
        )
        self._board.put(name, status)
        ready = status.condition(Condition.READY)
        settled = plan.empty and plan.requeue_after is None and ready is not None and ready.status == "True"
        memory.quiet = self._fingerprint(desired, observed) if settled else None
