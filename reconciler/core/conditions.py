"""From what is wanted and what runs to what is said of it. Pure; the only place that decides a condition."""

from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.core.diff import Target
from reconciler.core.observed import Failure, ObservedPlugin, ObservedPool
from reconciler.core.states import Condition, NextStep, PoolPhase, Reason


@dataclass(frozen=True, slots=True)
class ConditionState:
    """One condition. `status` is True, False or Unknown; `since` is when that last changed, in epoch seconds."""

    type: Condition
    status: str
    reason: Reason
    message: str
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class View:
    """What a pass knows of a plugin once its actions were given out.

    `unresolved` is why the desired revision is not known; `retry_in` is seconds until the next try of something
    that failed; `notices` are sentences about the spec; `conflict` names the documents that claim the same name.
    `reverted` says that the desired revision proved bad and which one serves instead. `closed` says which filter keeps
    requests out.
    """

    target: Target
    observed: ObservedPlugin
    unresolved: Failure | None = None
    retry_in: float | None = None
    notices: tuple[str, ...] = ()
    conflict: str = ""
    reverted: Failure | None = None
    closed: Failure | None = None

    @property
    def wanted(self) -> ObservedPool | None:
        """The pool of the desired revision, if there is one."""
        return None if self.target.revision is None else self.observed.pool(self.target.revision)

    @property
    def failure(self) -> Failure | None:
        """What keeps the desired revision from running."""
        if self.unresolved is not None:
            return self.unresolved
        wanted = self.wanted
        return wanted.failure if wanted is not None and wanted.phase is PoolPhase.FAILED else None


def conditions(view: View, previous: tuple[ConditionState, ...], now: float) -> tuple[ConditionState, ...]:
    """All conditions of a plugin. `now` in epoch seconds; the time of an unchanged status is carried over."""
    accepted = _accepted(view)
    module = _module_ready(view)
    available = _available(view)
    progressing = _progressing(view)
    needed = [accepted, module, available]
    if view.target.settings.filters:
        needed.append(_filters_ready(view))
    found = [*needed, progressing, _ready(view, needed, progressing)]
    found += _only_when_true(view)
    before = {state.type: state for state in previous}
    return tuple(_carry(state, before.get(state.type), now) for state in found)


def _carry(state: ConditionState, before: ConditionState | None, now: float) -> ConditionState:
    since = before.since if before is not None and before.status == state.status else now
    return ConditionState(state.type, state.status, state.reason, state.message, since)


def _accepted(view: View) -> ConditionState:
    notices = " ".join(view.notices)
    if view.conflict:
        message = f"the same name is claimed by {view.conflict}, which is ignored. {notices}".rstrip()
        return ConditionState(Condition.ACCEPTED, "True", Reason.NAME_CONFLICT, message)
    reason = Reason.ENGINE_SUBSTITUTED if "run by wasmtime" in notices else Reason.VALID
    return ConditionState(Condition.ACCEPTED, "True", reason, notices or "the spec is valid")


def _module_ready(view: View) -> ConditionState:
    pool = view.wanted
    if view.unresolved is not None:
        return ConditionState(Condition.MODULE_READY, "False", view.unresolved.reason, view.unresolved.message)
    if pool is not None and pool.guest is not None:
        reason = Reason.CACHE_HIT if pool.guest.from_cache else Reason.COMPILED
        message = f"a {pool.guest.kind} module"
        if pool.guest.route_id and pool.guest.route_id != view.target.settings.route:
            message += (
                f"; it calls itself {pool.guest.route_id!r} while the spec's route is {view.target.settings.route!r}:"
                " both reach it"
            )
        return ConditionState(Condition.MODULE_READY, "True", reason, message)
    if view.failure is not None:
        return ConditionState(Condition.MODULE_READY, "False", view.failure.reason, view.failure.message)
    return ConditionState(Condition.MODULE_READY, "Unknown", Reason.LOADING, "the module is being loaded")


def _available(view: View) -> ConditionState:
    serving = view.observed.serving
    if serving is not None and serving.ready:
        message = f"{serving.ready} of {view.target.instances} instances ready, revision {serving.revision}"
        return ConditionState(Condition.AVAILABLE, "True", Reason.MINIMUM_INSTANCES_READY, message)
    if view.target.instances == 0 and serving is not None:
        return ConditionState(Condition.AVAILABLE, "True", Reason.SCALED_TO_ZERO, "no instances are desired")
    if view.target.suspend:
        return ConditionState(Condition.AVAILABLE, "False", Reason.SUSPENDED, "suspended before it ever ran")
    looping = _crash_loop(view)
    if looping is not None:
        return ConditionState(Condition.AVAILABLE, "False", Reason.CRASH_LOOP_BACK_OFF, looping)
    why = f": {view.failure.message}" if view.failure is not None else ""
    return ConditionState(Condition.AVAILABLE, "False", Reason.NO_READY_INSTANCES, f"no instance is ready{why}")


def _filters_ready(view: View) -> ConditionState:
    if view.closed is None:
        message = f"requests pass {', '.join(view.target.settings.filters)}"
        return ConditionState(Condition.FILTERS_READY, "True", Reason.FILTERS_SERVE, message)
    message = f"requests are answered 503: {view.closed.message}"
    return ConditionState(Condition.FILTERS_READY, "False", view.closed.reason, message)


def _crash_loop(view: View) -> str | None:
    """The message of a crash loop: what keeps failing, how often, when the next try is."""
    pool = view.wanted or view.observed.serving
    if pool is None or pool.failure is None or max(pool.failures, pool.crashes) < 2:
        return None
    if pool.failure.next_step is NextStep.STALL or pool.failure.reason is Reason.CAPACITY_EXHAUSTED:
        return None
    count = max(pool.failures, pool.crashes)
    again = f", next try in {view.retry_in:.1f} s" if view.retry_in else ""
    return f"failed {count} times in a row{again}; last: {pool.failure.reason}: {pool.failure.message}"


def _progressing(view: View) -> ConditionState:
    observed, target = view.observed, view.target
    serving = observed.serving

    def say(status: str, reason: Reason, message: str) -> ConditionState:
        return ConditionState(Condition.PROGRESSING, status, reason, message)

    if target.suspend:
        return say("False", Reason.SUSPENDED, "changes wait until suspend is false")
    if view.failure is not None:
        return say("False", view.failure.reason, f"the desired revision does not start: {view.failure.message}")
    if target.revision is not None and (serving is None or serving.revision != target.revision):
        ready = view.wanted.ready if view.wanted is not None else 0
        return say("True", Reason.NEW_REVISION, f"{ready} of {target.instances} ready of revision {target.revision}")
    if serving is not None and serving.ready != target.instances:
        return say("True", Reason.SCALING, f"{serving.ready} of {target.instances} instances ready")
    if view.closed is not None and view.closed.next_step is NextStep.RETRY:
        return say("True", view.closed.reason, view.closed.message)
    draining = sum(pool.busy + pool.retiring for pool in observed.pools if not pool.serving)
    if draining or (serving is not None and serving.retiring):
        return say("True", Reason.DRAINING, "old instances finish their requests")
    return say("False", Reason.ROLLOUT_COMPLETE, "what runs is what is desired")


def _ready(view: View, needed: Iterable[ConditionState], progressing: ConditionState) -> ConditionState:
    looping = _crash_loop(view)
    if looping is not None:
        return ConditionState(Condition.READY, "False", Reason.CRASH_LOOP_BACK_OFF, looping)
    if view.reverted is not None:
        return ConditionState(Condition.READY, "False", view.reverted.reason, view.reverted.message)
    for state in needed:
        if state.status != "True":
            return ConditionState(Condition.READY, state.status, state.reason, state.message)
    if view.failure is not None or (progressing.status == "True" and progressing.reason is not Reason.DRAINING):
        return ConditionState(Condition.READY, "False", progressing.reason, progressing.message)
    message = view.observed.serving.revision if view.observed.serving is not None else ""
    return ConditionState(Condition.READY, "True", Reason.RECONCILIATION_SUCCEEDED, f"revision {message} serves")


def _only_when_true(view: View) -> list[ConditionState]:
    found = []
    if view.failure is not None and view.failure.next_step is NextStep.STALL:
        found.append(
            ConditionState(
                Condition.STALLED,
                "True",
                view.failure.reason,
                f"{view.failure.message}; trying again gives the same until the spec or the module changes",
            )
        )
    serving = view.observed.serving
    if serving is not None and serving.phase is PoolPhase.IDLE and serving.ready < serving.target:
        missing = serving.target - serving.ready
        found.append(ConditionState(Condition.DRIFTED, "True", Reason.INSTANCE_MISSING, f"{missing} instances failed"))
    if view.reverted is not None:
        found.append(ConditionState(Condition.ROLLED_BACK, "True", Reason.AUTO_REVERTED, view.reverted.message))
    return found
