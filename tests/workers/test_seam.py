"""What the control side may rely on, whichever process the pools are in."""

import pytest

from reconciler.core.plan import CloseFailed, ConfigurePool, CreatePool, RemovePool, ResizePool, Serve, Withdraw
from reconciler.core.states import NextStep, PoolPhase, Reason
from tests.guest_wat import TRAP, answering, trap_on_call
from tests.workers.conftest import Seam


def test_a_pool_answers_once_it_serves(seam: Seam) -> None:
    seam.apply(CreatePool("one", "r", seam.spec("one", answering("hello")), seam.settings_of("one"), 3))
    seam.until(lambda: seam.pool("one", "r").ready == 3)
    assert seam.ask("one")[0] == 404
    seam.apply(Serve("one", "r"))
    assert [seam.ask("one") for _ in range(4)] == [(200, "hello")] * 4
    assert seam.host.plugins() == ("one",)


def test_a_resize_goes_both_ways_and_to_nothing(seam: Seam) -> None:
    revision = seam.install(seam.spec("one", answering("hello")), 1)
    for count in (5, 2, 0, 1):
        seam.expect("one", count)
        seam.apply(ResizePool("one", revision, count))
        settled = (count, PoolPhase.IDLE)
        seam.until(lambda: ((pool := seam.pool("one", revision)).ready, pool.phase) == settled)  # noqa: B023
        assert [seam.ask("one")[0] for _ in range(3)] == [200 if count else 503] * 3


def test_a_switch_takes_the_old_revision_off(seam: Seam) -> None:
    old = seam.install(seam.spec("one", answering("old")), 2)
    new = seam.install(seam.spec("one", answering("new")), 2)
    assert [seam.ask("one") for _ in range(4)] == [(200, "new")] * 4
    pool = seam.pool("one", old)
    assert (pool.serving, pool.target) == (False, 0)
    assert pool.draining_since is not None
    seam.apply(RemovePool("one", old))
    assert [pool.revision for pool in seam.host.observe("one").pools] == [new]


def test_a_revision_that_drains_and_is_wanted_again_comes_back(seam: Seam) -> None:
    first, second = (seam.install(seam.spec("one", answering(text)), 3) for text in ("old", "new"))
    for revision, text in ((first, "old"), (second, "new"), (first, "old")):
        seam.apply(ResizePool("one", revision, 3))
        seam.until(lambda: seam.pool("one", revision).ready == 3)  # noqa: B023
        seam.apply(Serve("one", revision))
        assert seam.ask("one") == (200, text)


def test_what_is_withdrawn_or_removed_answers_no_more(seam: Seam) -> None:
    revision = seam.install(seam.spec("one", answering("x")), 3)
    seam.apply(Withdraw("one", revision))
    assert seam.ask("one")[0] == 404
    seam.until(lambda: seam.pool("one", revision).ready == 0)
    seam.apply(RemovePool("one", revision))
    assert seam.host.observe("one").pools == ()
    assert seam.host.plugins() == ()
    assert seam.host.apply((ResizePool("one", revision, 1),), 0.0)[0].failure is not None


def test_an_instance_that_trapped_shows_and_is_replaced_when_told(seam: Seam) -> None:
    seam.expect("one", 1)
    revision = seam.install(seam.spec("one", answering("x", before=trap_on_call(2))), 1)
    assert seam.ask("one") == (200, "x")
    assert seam.ask("one")[0] == 502
    seam.until(lambda: "one" in seam.changed and seam.pool("one", revision).failed)
    pool = seam.pool("one", revision)
    assert (pool.ready, pool.failed, pool.restarts, pool.crashes, pool.bad_calls) == (0, 1, 1, 1, 1)
    assert pool.failure is not None
    assert pool.failure.reason is Reason.TRAPPED
    seam.apply(CloseFailed("one", revision), ResizePool("one", revision, 1))
    assert seam.ask("one") == (200, "x")
    seam.until(lambda: (seam.pool("one", revision).failed, seam.pool("one", revision).ready) == (0, 1))


@pytest.mark.parametrize(
    ("wasm", "reason", "step"),
    [
        (answering("x", start=TRAP), Reason.TRAPPED, NextStep.RETRY),
        (b"not a module", Reason.COMPILE_FAILED, NextStep.STALL),
    ],
)
def test_a_start_that_fails_says_why_and_is_tried_again_when_told(
    seam: Seam, wasm: bytes, reason: Reason, step: NextStep
) -> None:
    seam.apply(CreatePool("one", "r", seam.spec("one", wasm), seam.settings_of("one"), 1))
    for failures in (1, 2):
        seam.until(lambda: seam.pool("one", "r").failures == failures)  # noqa: B023
        pool = seam.pool("one", "r")
        assert pool.failure is not None
        assert (pool.phase, pool.failure.reason, pool.ready) == (PoolPhase.FAILED, reason, 0)
        seam.apply(ResizePool("one", "r", 1))


def test_a_route_can_change_under_a_running_pool(seam: Seam) -> None:
    revision = seam.install(seam.spec("one", answering("x")), 2)
    seam.apply(ConfigurePool("one", revision, seam.settings_of("other")))
    assert seam.ask("other") == (200, "x")
    assert seam.ask("one")[0] == 404


def test_calls_are_counted_wherever_they_go(seam: Seam) -> None:
    revision = seam.install(seam.spec("one", answering("x")), 2)
    for _ in range(10):
        assert seam.ask("one")[0] == 200
    seam.until(lambda: seam.pool("one", revision).calls == 10)
    assert seam.pool("one", revision).serving_since is not None


def test_a_request_for_a_desired_route_waits_and_shows_as_queued(seam: Seam) -> None:
    seam.expect("one", 1, queue=0)
    seam.expect("two", 1)
    assert seam.host.queued() == {"one": 0, "two": 0}
    assert seam.ask("one")[0] == 503
    seam.host.expect({"one": None})
    assert seam.ask("one")[0] == 404
    seam.install(seam.spec("two", answering("two")), 1)
    assert seam.ask("two") == (200, "two")
