"""The pool host: pools grow, shrink, switch, drain and go, and requests find their way meanwhile."""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from reconciler.core.observed import PoolSettings
from reconciler.core.plan import CloseFailed, ConfigurePool, CreatePool, RemovePool, ResizePool, Serve, Withdraw
from reconciler.core.states import NextStep, PoolPhase, Reason
from reconciler.host.invoke import QueueFull, RouteUnavailable, RouteUnknown, Unroutable
from reconciler.host.leases import PoolLease
from reconciler.host.pool import HARDER, PROOF, STALL
from reconciler.host.router import Expectation
from reconciler.wasm.kind import GuestFailed, Request
from tests.guest_wat import SPIN, TRAP, WORK_GLOBAL, answering, trap_on_call, work
from tests.host.conftest import World

NONSENSE = b"""
(module
  (import "env" "proxy_nonsense" (func))
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_0"))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) i32.const 0))
"""


def ask(world: World, route: str) -> str:
    return world.host.invoke(Request(route)).body.decode()


class Waiting:
    """A Waiter that keeps what it is told."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.lease: PoolLease | None = None
        self.error: Unroutable | None = None

    def granted(self, lease: PoolLease) -> None:
        self.lease = lease
        self.told.set()

    def refused(self, error: Unroutable) -> None:
        self.error = error
        self.told.set()


def test_a_pool_answers_once_it_serves(world: World) -> None:
    spec = world.spec("one", answering("hello"))
    world.apply(CreatePool("one", "r1", spec, world.settings("one"), 2))
    world.until(lambda: world.pool("one", "r1").ready == 2)
    with pytest.raises(RouteUnknown):
        ask(world, "one")
    world.apply(Serve("one", "r1"))
    assert ask(world, "one") == "hello"


def test_a_resize_goes_both_ways_and_to_nothing(world: World) -> None:
    revision = world.install(world.spec("one", answering("hello")), 1)
    for count in (5, 2, 0, 3):
        world.apply(ResizePool("one", revision, count))
        settled = (count, PoolPhase.IDLE)
        world.until(lambda: ((pool := world.pool("one", revision)).ready, pool.phase) == settled)  # noqa: B023
        if count == 0:
            world.until(lambda: not world.host._pools["one"][revision].idle)
            with pytest.raises(RouteUnavailable, match="scaled to zero"):
                ask(world, "one")
    assert ask(world, "one") == "hello"


def test_a_switch_loses_no_request(world: World) -> None:
    old = world.install(world.spec("one", answering("old")), 2)
    stop = threading.Event()
    answers: list[str] = []

    def load() -> None:
        while not stop.is_set():
            answers.append(ask(world, "one"))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    new = world.install(world.spec("one", answering("new")), 2)
    world.until(lambda: world.pool("one", old).busy == 0)
    world.apply(RemovePool("one", old))
    world.until(lambda: answers[-1:] == ["new"])
    stop.set()
    for thread in threads:
        thread.join()
    assert set(answers) == {"old", "new"}
    assert world.host.observe("one").pool(old) is None
    assert world.pool("one", new).serving


def test_a_busy_instance_of_a_withdrawn_pool_answers_before_it_goes(world: World) -> None:
    old = world.install(world.spec("one", answering("old")), 2)
    lease = world.host.acquire("one", Waiting())
    assert lease is not None
    new = world.install(world.spec("one", answering("new")), 1)
    draining = world.pool("one", old)
    assert (draining.serving, draining.retiring) == (False, 1)
    assert draining.draining_since is not None
    assert lease.call(Request("one")).body == b"old"
    world.until(lambda: world.pool("one", old).failed + world.pool("one", old).busy == 1 or True)
    world.apply(CloseFailed("one", old), RemovePool("one", old))
    assert ask(world, "one") == "new"
    assert world.pool("one", new).ready == 1


def test_removing_a_pool_with_a_busy_instance_waits_for_its_answer(world: World) -> None:
    revision = world.install(world.spec("one", answering("bye")), 1)
    lease = world.host.acquire("one", Waiting())
    assert lease is not None
    world.apply(RemovePool("one", revision))
    assert world.host.observe("one").pools == ()
    assert lease.call(Request("one")).body == b"bye"


def test_an_instance_that_trapped_is_spent_and_named(world: World) -> None:
    revision = world.install(world.spec("one", answering("x", before=trap_on_call(2))), 1)
    assert ask(world, "one") == "x"
    with pytest.raises(GuestFailed, match="unreachable"):
        ask(world, "one")
    pool = world.pool("one", revision)
    assert (pool.ready, pool.failed, pool.restarts, pool.crashes) == (0, 1, 1, 1)
    assert pool.failure is not None
    assert pool.failure.reason is Reason.TRAPPED
    world.until(lambda: "one" in world.changed)
    world.apply(CloseFailed("one", revision), ResizePool("one", revision, 1))
    assert ask(world, "one") == "x"


def test_a_guest_that_does_not_end_is_stopped_at_its_timeout(world: World) -> None:
    world.install(world.spec("one", answering("x", before=SPIN), timeout=0.1), 1)
    with pytest.raises(GuestFailed) as failed:
        ask(world, "one")
    assert failed.value.failure.reason is Reason.DEADLINE_EXCEEDED


def test_a_start_that_fails_shows_and_is_tried_again_when_told(world: World) -> None:
    spec = world.spec("one", answering("x", start=TRAP))
    world.apply(CreatePool("one", "r", spec, world.settings("one"), 1))
    world.until(lambda: world.pool("one", "r").phase is PoolPhase.FAILED)
    first = world.pool("one", "r")
    assert (first.failures, first.ready) == (1, 0)
    world.apply(ResizePool("one", "r", 1))
    world.until(lambda: world.pool("one", "r").failures == 2)


@pytest.mark.parametrize(
    ("wasm", "reason"),
    [
        (b"\0asm not really", Reason.COMPILE_FAILED),
        (b"hello", Reason.COMPILE_FAILED),
        (NONSENSE, Reason.MISSING_IMPORT),
    ],
)
def test_a_module_that_cannot_run_says_why_and_stalls(world: World, wasm: bytes, reason: Reason) -> None:
    spec = world.spec("one", wasm)
    world.apply(CreatePool("one", "r", spec, world.settings("one"), 1))
    world.until(lambda: world.pool("one", "r").phase is PoolPhase.FAILED)
    failure = world.pool("one", "r").failure
    assert failure is not None
    assert (failure.reason, failure.next_step) == (reason, NextStep.STALL)


def test_a_full_queue_refuses_and_a_freed_instance_goes_to_who_waited_first(world: World) -> None:
    world.install(world.spec("one", answering("x")), 1, queue=2)
    lease = world.host.acquire("one", Waiting())
    assert lease is not None
    line = [Waiting(), Waiting()]
    for waiter in line:
        assert world.host.acquire("one", waiter) is None
    with pytest.raises(QueueFull):
        world.host.acquire("one", Waiting())
    lease.call(Request("one"))
    assert line[0].told.is_set()
    assert not line[1].told.is_set()
    assert line[0].lease is not None
    line[0].lease.cancel()
    assert line[1].told.is_set()


def test_one_who_left_the_queue_is_not_told(world: World) -> None:
    world.install(world.spec("one", answering("x")), 1)
    lease = world.host.acquire("one", Waiting())
    assert lease is not None
    gone = Waiting()
    assert world.host.acquire("one", gone) is None
    assert world.host.abandon("one", gone)
    assert not world.host.abandon("one", gone)
    lease.call(Request("one"))
    assert not gone.told.is_set()
    assert world.host.acquire("one", Waiting()) is not None


def test_a_request_for_a_desired_route_waits_until_it_serves(world: World) -> None:
    world.host.expect({"one": Expectation("one", 8, 5.0, 2**20, 1)})
    waiter = Waiting()
    assert world.host.acquire("one", waiter) is None
    world.install(world.spec("one", answering("at last")), 1)
    assert waiter.told.wait(5)
    assert waiter.lease is not None
    assert waiter.lease.call(Request("one")).body == b"at last"


def test_who_waits_for_a_plugin_that_goes_is_told(world: World) -> None:
    world.host.expect({"one": Expectation("one", 8, 5.0, 2**20, 1)})
    waiter = Waiting()
    assert world.host.acquire("one", waiter) is None
    world.host.expect({"one": None})
    assert isinstance(waiter.error, RouteUnknown)


def test_shares_follow_instances_within_a_route(world: World) -> None:
    world.install(world.spec("a", answering("a")), 1, route="shared")
    world.install(world.spec("b", answering("b")), 2, route="shared")
    shares = Counter(ask(world, "shared") for _ in range(300))
    assert shares == {"a": 100, "b": 200}


def test_an_idle_instance_of_the_group_goes_before_a_busy_one(world: World) -> None:
    world.install(world.spec("a", answering("a")), 1, route="shared")
    world.install(world.spec("b", answering("b")), 1, route="shared")
    first = world.host.acquire("shared", Waiting())
    second = world.host.acquire("shared", Waiting())
    assert first is not None
    assert second is not None
    assert {first.plugin, second.plugin} == {"a", "b"}
    first.cancel()
    third = world.host.acquire("shared", Waiting())
    assert third is not None
    assert third.plugin == first.plugin


def test_a_route_can_change_under_a_running_pool(world: World) -> None:
    revision = world.install(world.spec("one", answering("x")), 1)
    settings = PoolSettings("other", 8, 1.0, 1.0, None)
    world.apply(ConfigurePool("one", revision, settings))
    assert ask(world, "other") == "x"
    with pytest.raises(RouteUnknown):
        ask(world, "one")


def test_an_instance_retires_after_its_number_of_requests(world: World) -> None:
    revision = world.install(world.spec("one", answering("x")), 1, max_invocations=3)
    for _ in range(3):
        assert ask(world, "one") == "x"
    pool = world.pool("one", revision)
    assert (pool.ready, pool.failed, pool.restarts) == (0, 1, 0)


def test_as_many_guests_run_at_once_as_there_are_instances(world: World) -> None:
    wasm = answering("x", before=work(30_000_000), exports=WORK_GLOBAL)
    world.install(world.spec("one", wasm), 2)
    leases = [world.host.acquire("one", Waiting()) for _ in range(2)]
    assert world.host.acquire("one", Waiting()) is None
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda lease: lease.call(Request("one")).body, leases))
    assert answers == [b"x", b"x"]


def test_withdrawing_takes_the_route_away_and_closes_what_is_idle(world: World) -> None:
    revision = world.install(world.spec("one", answering("x")), 3)
    world.apply(Withdraw("one", revision))
    with pytest.raises(RouteUnknown):
        ask(world, "one")
    world.until(lambda: world.pool("one", revision).ready == 0)


def test_the_same_content_is_compiled_once(world: World) -> None:
    wasm = answering("same")
    a, b = world.install(world.spec("a", wasm), 1), world.install(world.spec("b", wasm), 1)
    guests = [world.pool("a", a).guest, world.pool("b", b).guest]
    assert [guest.from_cache for guest in guests if guest is not None] == [False, True]
    cached = list((world.directory / "state" / "aot").rglob("*.cwasm"))
    assert len(cached) == 1


def test_a_fault_of_ours_is_a_failure_that_shows_and_is_logged(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_shape: object, _abi: str) -> object:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(world.host, "_choose_kind", broken)
    world.apply(CreatePool("one", "r", world.spec("one", answering("x")), world.settings("one"), 1))
    world.until(lambda: world.pool("one", "r").phase is PoolPhase.FAILED)
    failure = world.pool("one", "r").failure
    assert failure is not None
    assert failure.reason is Reason.INTERNAL
    world.until(lambda: "ZeroDivisionError" in caplog.text)


def test_a_plugin_that_once_held_up_the_loop_must_prove_itself_longer(world: World) -> None:
    revision = world.install(world.spec("one", answering("x")), 1)
    pool = world.host._pools["one"][revision]
    slot = pool.idle[0]
    for _ in range(PROOF):
        pool.called(slot, 0.0, inline=False, bad=False)
    assert pool.inline
    pool.called(slot, STALL * 2, inline=True, bad=False)
    assert not pool.inline
    for _ in range(PROOF * HARDER - 1):
        pool.called(slot, 0.0, inline=False, bad=False)
    assert not pool.inline
    pool.called(slot, 0.0, inline=False, bad=False)
    assert pool.inline
