"""Each guest here means harm. It hurts itself: its request fails with a reason, its instance is replaced, and the
plugin next door answers every request meanwhile with the instance that it had."""

import logging
import time

import pytest

from reconciler.core.observed import Failure
from reconciler.core.states import Condition, Reason
from tests.hostile import guests
from tests.hostile.conftest import Street
from tests.hostile.guests import CALLBACKS, EXIT, SPIN, TRAP, constants, doing, guest, starting_with, storm

ALLOWED = {"allowedHosts": ["127.0.0.1:1"]}


def at_start(callback: str, body: str, **more: list[str]) -> bytes:
    return starting_with(body, **more) if callback == "start" else doing(callback, body, **more)


def failure_of(street: Street) -> Reason | None:
    """Why the bad plugin's last instance went, or did not start."""
    pools = street.node.host.observe("bad").pools
    return next((pool.failure.reason for pool in pools if pool.failure is not None), None)


@pytest.mark.parametrize("callback", guests.IN_A_REQUEST)
def test_an_endless_loop_in_a_request_ends_at_its_timeout(street: Street, callback: str) -> None:
    street.settle_in(doing(callback, SPIN), capabilities=ALLOWED)
    with street.undisturbed():
        began = time.monotonic()
        failure = street.failure()
        took = time.monotonic() - began
    assert failure.reason is Reason.DEADLINE_EXCEEDED
    assert 0.08 <= took < 1.0
    street.recovers()


@pytest.mark.parametrize("callback", guests.AT_START)
def test_an_endless_loop_at_the_start_ends_at_its_timeout(street: Street, callback: str) -> None:
    with street.undisturbed():
        street.move_in(at_start(callback, SPIN))
        street.node.until(lambda: any(pool.failures > 1 for pool in street.node.host.observe("bad").pools))
    assert failure_of(street) is Reason.DEADLINE_EXCEEDED


@pytest.mark.parametrize("callback", guests.AT_REST)
def test_an_endless_loop_between_requests_ends_at_its_timeout(street: Street, callback: str) -> None:
    with street.undisturbed():
        street.move_in(doing(callback, SPIN))
        street.node.until(lambda: any(pool.restarts > 1 for pool in street.node.host.observe("bad").pools))
    assert failure_of(street) is Reason.DEADLINE_EXCEEDED


@pytest.mark.parametrize("body", [TRAP, EXIT], ids=["trap", "exit"])
@pytest.mark.parametrize("callback", guests.IN_A_REQUEST)
def test_a_trap_or_an_exit_in_a_request_fails_that_request(street: Street, callback: str, body: str) -> None:
    street.settle_in(doing(callback, body, imports=["proc_exit"]), capabilities=ALLOWED)
    with street.undisturbed():
        assert street.failure().reason in (Reason.TRAPPED, Reason.GUEST_EXITED)
        street.recovers()


@pytest.mark.parametrize("body", [TRAP, EXIT], ids=["trap", "exit"])
@pytest.mark.parametrize("callback", guests.AT_START)
def test_a_trap_or_an_exit_at_the_start_is_a_start_that_failed(street: Street, callback: str, body: str) -> None:
    with street.undisturbed():
        street.move_in(at_start(callback, body, imports=["proc_exit"]))
        street.node.until(lambda: any(pool.failures > 1 for pool in street.node.host.observe("bad").pools))
    ready = street.node.condition("bad", Condition.READY)
    assert ready is None or ready.status != "True"


@pytest.mark.parametrize("callback", ["proxy_on_request_headers", "malloc", "proxy_on_tick", "proxy_on_configure"])
def test_endless_recursion_ends_in_its_own_stack(street: Street, callback: str) -> None:
    endless = "(func $down (result i32) (i32.add (call $down) (i32.const 1)))"
    with street.undisturbed():
        street.move_in(doing(callback, "(drop (call $down))", extra=endless))
        if callback in guests.IN_A_REQUEST:
            street.recovers()
            assert street.failure().reason is Reason.STACK_OVERFLOW
        street.node.until(lambda: failure_of(street) is Reason.STACK_OVERFLOW)


def test_an_allocator_that_asks_for_allocations_gets_none(street: Street) -> None:
    again = (
        "(drop (call $proxy_get_buffer_bytes (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 64) (i32.const 68)))"
    )
    street.settle_in(doing("malloc", again))
    with street.undisturbed():
        assert not isinstance(street.ask(), Failure)


def test_sixteen_guests_deep_each_at_the_end_of_its_stack(street: Street) -> None:
    """Guests that call guests share a thread's stack. The last frames of each are its own to overflow."""
    deep = """(func $down (param $left i32) (drop (if (result i32) (local.get $left)
        (then (call $down (i32.sub (local.get $left) (i32.const 1))) (i32.const 0))
        (else (call $proxy_invoke_service (i32.const 16) (i32.const 3) (i32.const 0) (i32.const 1)
                (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 68))))))"""
    wasm = guest(
        {"proxy_on_request_headers": "(call $down (i32.const 5000))", "malloc": "(call $down (i32.const 5000))"},
        imports=["proxy_invoke_service"],
        extra=deep,
        data='(data (i32.const 16) "bad") (data (i32.const 0) "/")',
    )
    street.settle_in(wasm, instances=16, limits={"timeout": "5s"})
    with street.undisturbed():
        street.ask()


def test_a_growing_memory_stops_at_its_limit(street: Street) -> None:
    grow = f"(loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) {SPIN}"
    street.settle_in(doing("proxy_on_request_headers", grow), limits={"memory": "4Mi"}, instances=2)
    with street.undisturbed():
        assert street.failure().reason is Reason.DEADLINE_EXCEEDED


STORMS = {
    "log": storm(f"(call $proxy_log {constants(2, 0, 8000)})", imports="proxy_log"),
    "stdout": storm(
        f"(call $fd_write {constants(1, 0, 1024, 64)})",
        imports="fd_write",
        data='(data (i32.const 0) "\\00\\20\\00\\00\\00\\f0\\00\\00")',
    ),
    "stderr": storm(
        f"(call $fd_write {constants(2, 0, 1024, 64)})",
        imports="fd_write",
        data='(data (i32.const 0) "\\00\\20\\00\\00\\00\\f0\\00\\00")',
    ),
    "no stream": storm(f"(call $fd_write {constants(99, 0, 1024, 64)})", imports="fd_write"),
    "arguments": storm(f"(call $args_get {constants(1024, 2048)})", imports="args_get"),
    "environment": storm(f"(call $environ_get {constants(1024, 2048)})", imports="environ_get"),
    "clock": storm("(call $clock_time_get (i32.const 1) (i64.const 1) (i32.const 1024))", imports="clock_time_get"),
    "shared data": storm(
        "(call $proxy_set_shared_data (i32.const 0) (i32.add (i32.const 9) (i32.const 0)) (i32.const 0)"
        " (i32.const 100000) (i32.const 0))",
        imports="proxy_set_shared_data",
    ),
    "queue": guest(
        {
            "proxy_on_configure": f"(drop (call $proxy_register_shared_queue {constants(16, 2, 64)}))",
            "proxy_on_request_headers": guests.FOR_EVER.format(
                body=f"(drop (call $proxy_enqueue_shared_queue {constants(1, 0, 1000)}))"
            ),
        },
        imports=["proxy_register_shared_queue", "proxy_enqueue_shared_queue"],
    ),
    "metrics": guest(
        {
            "proxy_on_request_headers": guests.FOR_EVER.format(
                body="(drop (call $proxy_define_metric (i32.const 0) (i32.const 0) (i32.const 4) (i32.const 64)))"
                " (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))"
            )
        },
        imports=["proxy_define_metric"],
    ),
    "headers": storm(
        f"(call $proxy_add_header_map_value {constants(2, 0, 9, 0, 100000)})", imports="proxy_add_header_map_value"
    ),
    "properties": storm(f"(call $proxy_set_property {constants(0, 9, 0, 8000)})", imports="proxy_set_property"),
    "response": storm(
        f"(call $proxy_set_buffer_bytes {constants(1, 0x7FFFFFFF, 0, 0, 100000)})", imports="proxy_set_buffer_bytes"
    ),
    "random": storm(f"(call $random_get {constants(0, 131072)})", imports="random_get"),
}


@pytest.mark.parametrize("name", STORMS)
def test_a_storm_of_host_calls_ends_at_its_timeout(street: Street, name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    street.settle_in(STORMS[name])
    with street.undisturbed():
        began = time.monotonic()
        failure = street.failure()
        took = time.monotonic() - began
    assert failure.reason is Reason.DEADLINE_EXCEEDED
    assert took < 1.0
    street.recovers()


def test_every_callback_is_attacked() -> None:
    assert {*guests.AT_START, *guests.AT_REST, *guests.IN_A_REQUEST} == {"start", *CALLBACKS}
