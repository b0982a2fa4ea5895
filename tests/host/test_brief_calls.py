"""Calls on the event loop: what lasts, or acts on others, is cut short there and made once more on a thread."""

import contextlib
import threading
import time
from dataclasses import replace

import pytest

from reconciler.host.invoke import CutShort
from reconciler.host.leases import PoolLease
from reconciler.host.pool import HARDER, LEAST_TIMEOUT, MOST_PROOF, PROOF, QUICK_START, Pool
from reconciler.state.memory import MemoryStore
from reconciler.wasm.kind import CallContext, GuestFailed, Request
from tests.guest_wat import SPIN, TRAP, WORK_GLOBAL, answering, work
from tests.host.conftest import World
from tests.host.test_host import Waiting, ask
from tests.hostile.guests import constants, guest


class Resting(MemoryStore):
    """A store that takes its time, as a thread does that the machine lets stand still."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0

    def get(self, key: str) -> bytes | None:
        self.asked += 1
        threading.Event().wait(0.1)
        return super().get(key)


def on_call(number: int, harm: str) -> bytes:
    return answering("x", before=f"(if (i32.eq (global.get $calls) (i32.const {number})) (then {harm}))")


def lease(world: World, route: str = "bad") -> PoolLease:
    found = world.host.acquire(route, Waiting())
    assert found is not None
    return found


def proven(world: World, wasm: bytes, **limits: float) -> Pool:
    """A pool of one instance that has earned a place on the event loop."""
    revision = world.install(world.spec("bad", wasm, **limits), 1)
    pool = world.host._pools["bad"][revision]
    while not pool.inline:
        ask(world, "bad")
    return pool


def test_a_call_that_lasts_is_cut_short_long_before_its_timeout(world: World) -> None:
    pool = proven(world, on_call(PROOF + 1, SPIN), timeout=30.0)
    began = time.monotonic()
    with pytest.raises(CutShort):
        lease(world).call_briefly(Request("bad"))
    assert time.monotonic() - began < 5
    assert not pool.inline


def test_a_call_that_holds_up_the_loop_and_ends_before_it_is_cut_asks_for_more_proof(world: World) -> None:
    busy = f"(if (i32.eq (global.get $calls) (i32.const {PROOF + 1})) (then {work(20_000_000)}))"
    pool = proven(world, answering("x", before=busy, exports=WORK_GLOBAL))
    with contextlib.suppress(CutShort):
        lease(world).call_briefly(Request("bad"))
    assert not pool.inline
    assert pool.proof == PROOF * HARDER


def test_what_was_cut_short_is_no_crash_and_its_instance_is_replaced_at_once(world: World) -> None:
    pool = proven(world, on_call(PROOF + 1, SPIN), timeout=30.0)
    calls = pool.calls
    with pytest.raises(CutShort):
        lease(world).call_briefly(Request("bad"))
    world.until(lambda: len(pool.idle) == 1)
    assert (pool.calls, pool.bad_calls, pool.crashes, pool.restarts, pool.failure) == (calls, 0, 0, 0, None)
    assert ask(world, "bad") == "x"


def test_a_failure_that_is_the_guests_own_stays_one(world: World) -> None:
    pool = proven(world, on_call(PROOF + 1, TRAP))
    with pytest.raises(GuestFailed):
        lease(world).call_briefly(Request("bad"))
    assert pool.crashes == 1


def test_a_plugin_with_a_timeout_as_short_as_a_brief_call_stays_on_threads(world: World) -> None:
    pool = proven(world, answering("x"))
    pool.spec = world.spec("bad", answering("x"), timeout=LEAST_TIMEOUT / 2)
    assert not pool.inline


def test_a_thread_that_stands_still_is_not_taken_for_a_guest_that_lasts(world: World) -> None:
    """The host function sleeps: the clock goes on, and the guest does nothing."""
    state = f"(drop (call $proxy_get_state {constants(16, 2, 16, 2, 64, 68)})) (drop (call $malloc (i32.const 1)))"
    spec = world.spec("bad", guest({"proxy_on_request_headers": state}, imports=["proxy_get_state"]))
    world.store = Resting()
    revision = world.install(replace(spec, stores=("ok",)), 1)
    pool = world.host._pools["bad"][revision]
    short = pool.short_calls
    assert lease(world).call_briefly(Request("bad")).status == 200
    assert world.store.asked == 1
    assert pool.short_calls == short + 1


def test_a_brief_call_that_begins_late_is_made_all_the_same(world: World) -> None:
    """A busy machine can let the thread stand still before the guest is entered."""
    proven(world, answering("x"))
    held = lease(world)
    late = CallContext(time.monotonic() - 1, held, brief=True)
    assert held.slot.instance.handle(Request("bad"), late).body == b"x"
    held.cancel()


def test_a_store_that_may_wait_is_not_read_on_the_event_loop(world: World) -> None:
    state = f"(drop (call $proxy_get_state {constants(16, 2, 16, 2, 64, 68)}))"
    spec = world.spec("bad", guest({"proxy_on_request_headers": state}, imports=["proxy_get_state"]))
    world.store = Resting()
    world.store.waits = True
    world.install(replace(spec, stores=("ok",)), 1)
    with pytest.raises(CutShort):
        lease(world).call_briefly(Request("bad"))
    assert world.store.asked == 0
    world.host.invoke(Request("bad"))
    assert world.store.asked == 1


SHARE = f"(drop (call $proxy_set_shared_data {constants(16, 2, 16, 2, 0)}))"
ENQUEUE = f"(drop (call $proxy_enqueue_shared_queue {constants(1, 16, 2)}))"
REGISTER = f"(drop (call $proxy_register_shared_queue {constants(16, 2, 64)}))"


@pytest.mark.parametrize("act", [SHARE, ENQUEUE])
def test_what_others_see_never_happens_in_a_call_that_may_be_made_again(world: World, act: str) -> None:
    wasm = guest(
        {"proxy_on_configure": REGISTER, "proxy_on_request_headers": act},
        imports=["proxy_set_shared_data", "proxy_enqueue_shared_queue", "proxy_register_shared_queue"],
    )
    world.install(world.spec("bad", wasm), 1)
    space = world.spaces.snapshot()[0]
    with pytest.raises(CutShort):
        lease(world).call_briefly(Request("bad"))
    assert (space.get(b"ok"), space.dequeue(1)[1]) == (None, b"")
    world.host.invoke(Request("bad"))
    assert (space.get(b"ok") is not None) or space.dequeue(1)[1] == b"ok"


@pytest.mark.parametrize("act", [SHARE, ENQUEUE])
def test_a_plugin_that_acts_on_others_never_gets_to_the_event_loop(world: World, act: str) -> None:
    wasm = guest(
        {"proxy_on_request_headers": act},
        imports=["proxy_set_shared_data", "proxy_enqueue_shared_queue"],
    )
    revision = world.install(world.spec("bad", wasm), 1)
    for _ in range(2 * PROOF):
        world.host.invoke(Request("bad"))
    assert not world.host._pools["bad"][revision].inline


@pytest.mark.parametrize(("end", "counted"), [("", 1), (SPIN, 0)])
def test_a_metric_counts_once_whether_or_not_its_call_is_cut_short(world: World, end: str, counted: int) -> None:
    wasm = guest(
        {
            "proxy_on_configure": f"(drop (call $proxy_define_metric {constants(0, 16, 2, 64)}))",
            "proxy_on_request_headers": f"(drop (call $proxy_increment_metric (i32.const 1) (i64.const 1))) {end}",
        },
        imports=["proxy_define_metric", "proxy_increment_metric"],
    )
    world.install(world.spec("bad", wasm), 1)
    space = world.spaces.snapshot()[0]
    held = lease(world)
    if end:
        with pytest.raises(CutShort):
            held.call_briefly(Request("bad"))
    else:
        held.call_briefly(Request("bad"))
    assert space.metric(1) == counted


def test_an_instance_that_is_slow_to_replace_is_not_risked(world: World) -> None:
    pool = proven(world, answering("x"))
    pool.start_seconds = 2 * QUICK_START
    assert not pool.inline


def test_proof_does_not_grow_for_ever(world: World) -> None:
    pool = proven(world, answering("x"))
    for _ in range(9):
        slot = pool.take()
        assert pool.cut_short(slot, spoilt=False)
    assert pool.proof == MOST_PROOF
