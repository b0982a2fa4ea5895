"""Conditions tell the truth: accepted is not running, and a failure carries its own words."""

from dataclasses import replace

from reconciler.core.conditions import ConditionState, View, conditions
from reconciler.core.diff import Target
from reconciler.core.filters import FilterView, closed_by
from reconciler.core.observed import Failure, GuestInfo, ObservedPlugin, ObservedPool, PoolSettings
from reconciler.core.revision import InstanceLimits
from reconciler.core.states import Condition, NextStep, PoolPhase, Reason

LIMITS = InstanceLimits(1, 1.0, 1.0, None, 1, 1)
SETTINGS = PoolSettings("route", 8, 1.0, 10.0, None)
TARGET = Target("p", "new", None, SETTINGS, 2)
NEW = ObservedPool(
    "p", "new", SETTINGS, LIMITS, PoolPhase.IDLE, target=2, serving=True, ready=2, guest=GuestInfo("proxy-wasm")
)
OLD = replace(NEW, revision="old")


def tell(view: View) -> dict[Condition, ConditionState]:
    return {state.type: state for state in conditions(view, (), 100.0)}


def seen(*pools: ObservedPool, **more: object) -> dict[Condition, ConditionState]:
    return tell(View(TARGET, ObservedPlugin("p", pools), **more))  # type: ignore[arg-type]


def brief(states: dict[Condition, ConditionState], *kinds: Condition) -> list[tuple[str, Reason]]:
    return [(states[kind].status, states[kind].reason) for kind in kinds]


def test_all_is_well() -> None:
    states = seen(NEW)
    assert brief(states, Condition.READY, Condition.AVAILABLE, Condition.MODULE_READY, Condition.PROGRESSING) == [
        ("True", Reason.RECONCILIATION_SUCCEEDED),
        ("True", Reason.MINIMUM_INSTANCES_READY),
        ("True", Reason.COMPILED),
        ("False", Reason.ROLLOUT_COMPLETE),
    ]
    assert not {Condition.STALLED, Condition.DRIFTED, Condition.ROLLED_BACK} & states.keys()


def test_a_filter_that_is_not_there_shows_and_one_that_comes_is_waited_for() -> None:
    target = replace(TARGET, settings=replace(SETTINGS, filters=("auth",)))
    pool = replace(NEW, settings=target.settings)

    def look(*pools: ObservedPool, desired: bool = True) -> dict[Condition, ConditionState]:
        closed = closed_by([FilterView("auth", desired, ObservedPlugin("auth", pools))])
        return tell(View(target, ObservedPlugin("p", (pool,)), closed=closed))

    kinds = (Condition.FILTERS_READY, Condition.READY, Condition.PROGRESSING)
    serving = replace(NEW, plugin="auth", guest=GuestInfo("proxy-wasm", filter=True))
    assert [status for status, _ in brief(look(serving), *kinds)] == ["True", "True", "False"]
    for wrong, reason in (
        (look(desired=False), Reason.FILTER_MISSING),
        (look(replace(serving, guest=GuestInfo("wasi-http"))), Reason.FILTER_UNSUITABLE),
        (look(replace(serving, target=0, ready=0)), Reason.FILTER_NOT_READY),
    ):
        assert brief(wrong, *kinds) == [("False", reason), ("False", reason), ("False", Reason.ROLLOUT_COMPLETE)]
    assert brief(look(), *kinds) == [
        ("False", Reason.FILTER_NOT_READY),
        ("False", Reason.FILTER_NOT_READY),
        ("True", Reason.FILTER_NOT_READY),
    ]


def test_accepted_is_not_ready() -> None:
    states = seen()
    assert states[Condition.ACCEPTED].status == "True"
    assert brief(states, Condition.MODULE_READY, Condition.AVAILABLE, Condition.READY) == [
        ("Unknown", Reason.LOADING),
        ("False", Reason.NO_READY_INSTANCES),
        ("Unknown", Reason.LOADING),
    ]


def test_a_bad_new_revision_leaves_the_old_one_available_and_says_why() -> None:
    failure = Failure(Reason.MISSING_IMPORT, "env.nonsense is missing", NextStep.STALL)
    bad = replace(NEW, serving=False, ready=0, phase=PoolPhase.FAILED, failure=failure, guest=None, failures=1)
    states = seen(OLD, bad)
    assert states[Condition.AVAILABLE].status == "True"
    assert brief(states, Condition.READY, Condition.MODULE_READY, Condition.STALLED) == [
        ("False", Reason.MISSING_IMPORT),
        ("False", Reason.MISSING_IMPORT),
        ("True", Reason.MISSING_IMPORT),
    ]
    assert "env.nonsense is missing" in states[Condition.READY].message


def test_a_module_that_cannot_be_found_is_not_ready_while_the_old_one_serves() -> None:
    lost = Failure(Reason.NOT_FOUND, "there is no file a.wasm")
    target = replace(TARGET, revision=None)
    states = tell(View(target, ObservedPlugin("p", (OLD,)), unresolved=lost))
    assert brief(states, Condition.AVAILABLE, Condition.READY) == [
        ("True", Reason.MINIMUM_INSTANCES_READY),
        ("False", Reason.NOT_FOUND),
    ]
    assert Condition.STALLED not in states


def test_a_crash_loop_tells_its_count_and_its_next_try() -> None:
    failure = Failure(Reason.TRAPPED, "unreachable")
    looping = replace(NEW, ready=0, crashes=5, failure=failure)
    states = seen(looping, retry_in=1.6)
    assert states[Condition.READY].reason is Reason.CRASH_LOOP_BACK_OFF
    assert "5 times" in states[Condition.READY].message
    assert "1.6 s" in states[Condition.READY].message
    assert states[Condition.DRIFTED].reason is Reason.INSTANCE_MISSING


def test_a_full_process_is_said_as_what_it_is() -> None:
    full = Failure(Reason.CAPACITY_EXHAUSTED, "this process can hold no more instances")
    states = seen(replace(NEW, ready=1, phase=PoolPhase.FAILED, failure=full, failures=3))
    assert brief(states, Condition.READY, Condition.AVAILABLE) == [
        ("False", Reason.CAPACITY_EXHAUSTED),
        ("True", Reason.MINIMUM_INSTANCES_READY),
    ]


def test_scaled_to_zero_is_ready() -> None:
    target = replace(TARGET, instances=0)
    states = tell(View(target, ObservedPlugin("p", (replace(NEW, target=0, ready=0),))))
    assert brief(states, Condition.READY, Condition.AVAILABLE) == [
        ("True", Reason.RECONCILIATION_SUCCEEDED),
        ("True", Reason.SCALED_TO_ZERO),
    ]


def test_progress_has_a_name_for_each_stage() -> None:
    starting = replace(NEW, serving=False, ready=1, phase=PoolPhase.STARTING)
    assert seen(OLD, starting)[Condition.PROGRESSING].reason is Reason.NEW_REVISION
    assert seen(replace(NEW, ready=1, phase=PoolPhase.STARTING))[Condition.PROGRESSING].reason is Reason.SCALING
    draining = replace(OLD, serving=False, target=0, ready=0, retiring=1, busy=1)
    assert seen(NEW, draining)[Condition.PROGRESSING].reason is Reason.DRAINING
    assert seen(NEW, draining)[Condition.READY].status == "True"


def test_a_module_that_calls_itself_otherwise_is_told() -> None:
    states = seen(replace(NEW, guest=GuestInfo("proxy-wasm", route_id="id_1")))
    assert "'id_1'" in states[Condition.MODULE_READY].message


def test_documents_that_claim_one_name_are_named() -> None:
    states = seen(NEW, conflict="b.yaml:3")
    assert states[Condition.ACCEPTED].reason is Reason.NAME_CONFLICT
    assert "b.yaml:3" in states[Condition.ACCEPTED].message


def test_a_status_keeps_its_time_until_it_changes() -> None:
    view = View(TARGET, ObservedPlugin("p", (NEW,)))
    first = conditions(view, (), 100.0)
    second = conditions(view, first, 200.0)
    assert {state.since for state in second} == {100.0}
    third = conditions(View(TARGET, ObservedPlugin("p", ())), second, 300.0)
    assert {state.type: state.since for state in third}[Condition.READY] == 300.0
