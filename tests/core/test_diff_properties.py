"""The diff against a model of the pool host: it converges, settles, and never takes away more than it gives."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reconciler.core.diff import Target, diff
from reconciler.core.observed import Failure, GuestInfo, ObservedPlugin, ObservedPool, PoolSettings
from reconciler.core.plan import (
    Action,
    CloseFailed,
    ConfigurePool,
    CreatePool,
    RemovePool,
    ResizePool,
    Serve,
    Withdraw,
)
from reconciler.core.revision import InstanceLimits, InstanceSpec, ModuleSource, revision_of
from reconciler.core.states import NextStep, PoolPhase, Reason

LIMITS = InstanceLimits(2**20, 1.0, 5.0, None, 2**20, 2**20)
SPECS = [
    InstanceSpec("p", ModuleSource(f"sha256:{n}"), "auto", "wasmtime", "{}", (), (), (), (), "p", LIMITS)
    for n in range(3)
]
REVISIONS = [revision_of(spec) for spec in SPECS]
SETTINGS = [PoolSettings(route, 8, 1.0, 10.0, None) for route in ("a", "b")]
MOST_STEPS = 8


@dataclass
class Model:
    """What the actions do to pools, and what happens meanwhile, in the simplest form."""

    pools: dict[str, ObservedPool] = field(default_factory=dict)
    now: float = 1000.0
    lowest_ready: list[int] = field(default_factory=list)

    @property
    def observed(self) -> ObservedPlugin:
        return ObservedPlugin("p", tuple(self.pools.values()))

    @property
    def serving_ready(self) -> int:
        return sum(pool.ready for pool in self.pools.values() if pool.serving)

    def apply(self, action: Action) -> None:
        match action:
            case CreatePool():
                self.pools[action.revision] = ObservedPool(
                    "p", action.revision, action.settings, LIMITS, PoolPhase.LOADING, target=action.instances
                )
            case ResizePool():
                pool = self.pools[action.revision]
                ready = min(pool.ready, action.instances)
                self.pools[action.revision] = replace(
                    pool,
                    target=action.instances,
                    phase=PoolPhase.STARTING,
                    ready=ready,
                    busy=min(pool.busy, ready),
                    retiring=pool.retiring + max(0, pool.busy - ready),
                )
            case CloseFailed():
                self.pools[action.revision] = replace(self.pools[action.revision], failed=0)
            case ConfigurePool():
                self.pools[action.revision] = replace(self.pools[action.revision], settings=action.settings)
            case Serve():
                for revision, pool in self.pools.items():
                    if pool.serving:
                        self.pools[revision] = self.withdrawn(pool)
                self.pools[action.revision] = replace(
                    self.pools[action.revision], serving=True, served=True, draining_since=None
                )
            case Withdraw():
                self.pools[action.revision] = self.withdrawn(self.pools[action.revision])
            case RemovePool():
                del self.pools[action.revision]
        self.lowest_ready.append(self.serving_ready)

    def withdrawn(self, pool: ObservedPool) -> ObservedPool:
        return replace(
            pool, serving=False, target=0, ready=0, busy=0, retiring=pool.retiring + pool.busy, draining_since=self.now
        )

    def jobs_end(self) -> None:
        """Everything under way succeeds, requests end, and time passes all backoffs."""
        self.now += 400.0
        for revision, pool in self.pools.items():
            if pool.phase in (PoolPhase.LOADING, PoolPhase.STARTING):
                done = replace(
                    pool, phase=PoolPhase.IDLE, ready=pool.target, failures=0, failure=None, guest=GuestInfo("any")
                )
                self.pools[revision] = replace(done, busy=0, retiring=0)
            else:
                self.pools[revision] = replace(pool, busy=0, retiring=0)


@st.composite
def pools(draw: st.DrawFn, revision: str, serving: bool) -> ObservedPool:
    phase = draw(st.sampled_from(list(PoolPhase)))
    target = draw(st.integers(0, 6))
    ready = target if phase is PoolPhase.IDLE and draw(st.booleans()) else draw(st.integers(0, target))
    if phase is PoolPhase.LOADING:
        ready = 0
    failed = phase is PoolPhase.FAILED
    draining = not serving and draw(st.booleans())
    return ObservedPool(
        "p",
        revision,
        draw(st.sampled_from(SETTINGS)),
        LIMITS,
        phase,
        target=0 if draining else target,
        serving=serving,
        served=serving or draining,
        ready=0 if draining else ready,
        busy=0 if draining else draw(st.integers(0, ready)),
        retiring=draw(st.integers(0, 3)),
        failed=draw(st.integers(0, 2)),
        failures=draw(st.integers(1, 9)) if failed else 0,
        crashes=draw(st.integers(0, 4)),
        failed_at=draw(st.floats(0, 1000.0)),
        failure=Failure(Reason.START_FAILED, "no", NextStep.RETRY) if failed else None,
        draining_since=draw(st.floats(0, 1000.0)) if draining else None,
        guest=None if phase is PoolPhase.LOADING else GuestInfo("proxy-wasm"),
    )


@st.composite
def worlds(draw: st.DrawFn) -> Model:
    revisions = draw(st.lists(st.sampled_from(REVISIONS), unique=True, max_size=3))
    serving = draw(st.sampled_from([None, *revisions]))
    return Model({revision: draw(pools(revision, revision == serving)) for revision in revisions})


@st.composite
def targets(draw: st.DrawFn) -> Target | None:
    if draw(st.integers(0, 9)) == 0:
        return None
    number = draw(st.integers(0, 2))
    unresolved = draw(st.integers(0, 9)) == 0
    return Target(
        "p",
        None if unresolved else REVISIONS[number],
        None if unresolved else SPECS[number],
        draw(st.sampled_from(SETTINGS)),
        draw(st.integers(0, 6)),
    )


def run(target: Target | None, model: Model) -> int:
    """Passes until two in a row have nothing to do; how many that took."""
    for step in range(MOST_STEPS):
        plan = diff(target, model.observed, model.now)
        for action in plan.actions:
            model.apply(action)
        waiting = any(pool.phase in (PoolPhase.LOADING, PoolPhase.STARTING) for pool in model.pools.values())
        if plan.empty and plan.requeue_after is None and not waiting:
            return step
        model.jobs_end()
    raise AssertionError(f"not settled after {MOST_STEPS} passes: {model.observed}")


@pytest.mark.timeout(300)  # five thousand worlds are a quarter of a minute of work, on a machine that is free
@settings(max_examples=5000, deadline=None)
@given(targets(), worlds())
def test_any_world_converges_and_then_nothing_is_left_to_do(target: Target | None, model: Model) -> None:
    run(target, model)
    assert diff(target, model.observed, model.now).empty
    if target is None:
        assert not model.pools
    elif target.revision is not None:
        (pool,) = model.pools.values()
        assert pool.serving
        assert (pool.revision, pool.ready, pool.settings) == (target.revision, target.instances, target.settings)


@settings(max_examples=1000, deadline=None)
@given(targets(), worlds())
def test_a_change_of_revision_never_drops_below_what_was_ready_or_is_desired(
    target: Target | None, model: Model
) -> None:
    old = model.observed.serving
    if target is None or old is None or target.revision in (None, old.revision):
        return
    floor = min(old.ready, target.instances)
    run(target, model)
    assert min([*model.lowest_ready, model.serving_ready]) >= floor


@settings(max_examples=1000, deadline=None)
@given(targets(), worlds())
def test_a_failed_revision_is_not_tried_before_its_backoff_is_over(target: Target | None, model: Model) -> None:
    for revision, pool in model.pools.items():
        if pool.phase is PoolPhase.FAILED:
            model.pools[revision] = replace(pool, failed_at=model.now)
    plan = diff(target, model.observed, model.now)
    tried = {action.revision for action in plan.actions if isinstance(action, ResizePool)}
    assert not tried & {pool.revision for pool in model.pools.values() if pool.phase is PoolPhase.FAILED}
    if target is not None and (wanted := model.observed.pool(target.revision or "")) and wanted.failures:
        assert plan.requeue_after is not None
