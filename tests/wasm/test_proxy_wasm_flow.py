"""The way of a request, a timer, a call through a proxy-wasm guest."""

import json
import threading
import time
from dataclasses import replace

import pytest

from reconciler.wasm.egress import EgressResponse
from reconciler.wasm.kind import CallContext, GuestFailed, Request, Response
from reconciler.wasm.proxy_wasm import abi, wire
from tests.wasm.world import BIG, SPEC, Memory, World, handle, probe

NAME, VALUE, OUT, OUT_SIZE, MORE = 1000, 1100, 600, 604, 608

TRACE = """(module
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (import "env" "proxy_done" (func $done (result i32)))
  (import "env" "proxy_set_effective_context" (func $switch (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_0"))
  (func $say (param $what i32) (param $n i32)
    (i32.store8 (i32.const 0) (local.get $what))
    (i32.store8 (i32.const 1) (i32.add (i32.const 48) (local.get $n)))
    (drop (call $log (i32.const 2) (i32.const 0) (i32.const 2))))
  (func (export "_initialize") (call $say (i32.const 105) (i32.const 0)))
  (func (export "proxy_on_context_create") (param i32 i32) (call $say (i32.const 99) (local.get 0)))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (call $say (i32.const 118) (local.get 1)) i32.const 1)
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (call $say (i32.const 111) (local.get 1))
    i32.const 1)
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (call $say (i32.const 104) (local.get 1)) (call $say (i32.const 101) (local.get 2)) i32.const 0)
  (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
    (call $say (i32.const 98) (local.get 1)) (call $say (i32.const 101) (local.get 2)) i32.const 0)
  (func (export "proxy_on_request_trailers") (param i32 i32) (result i32)
    (call $say (i32.const 116) (local.get 1)) i32.const 0)
  (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
    (call $say (i32.const 72) (local.get 1)) i32.const 0)
  (func (export "proxy_on_response_body") (param i32 i32 i32) (result i32)
    (call $say (i32.const 66) (local.get 2)) i32.const 0)
  (func (export "proxy_on_done") (param i32) (result i32) (call $say (i32.const 100) (local.get 0)) DONE)
  (func (export "proxy_on_log") (param i32) (call $say (i32.const 108) (local.get 0)))
  (func (export "proxy_on_delete") (param i32) (call $say (i32.const 120) (local.get 0)))
  EXTRA)"""


def trace(done: str = "i32.const 1", extra: str = "") -> str:
    return TRACE.replace("DONE", done).replace("EXTRA", extra)


def said(world: World) -> str:
    found = " ".join(line for _, line in world.services.lines)
    world.services.lines.clear()
    return found


# The order of callbacks


def test_a_guest_is_started_in_order(world: World) -> None:
    world.start(trace()).close()
    assert said(world) == "i0 c1 v0 o0"


def test_a_request_without_a_body(world: World) -> None:
    instance = world.start(trace())
    said(world)
    assert handle(instance) == Response(200, [], b"")
    assert said(world) == "c2 h4 e1 H1 B1 d2 l2 x2"
    handle(instance)
    assert said(world).startswith("c3 ")
    instance.close()


def test_a_request_with_body_and_trailers(world: World) -> None:
    instance = world.start(trace())
    said(world)
    handle(instance, Request("r", headers=[("a", "b")], body=b"12345", trailers=(("t", "1"), ("u", "2"))))
    assert said(world) == "c2 h5 e0 b5 e0 t2 H1 B1 d2 l2 x2"
    instance.close()


def test_a_context_that_is_not_done_is_kept_until_the_guest_says_so(world: World) -> None:
    """The next request's headers callback says proxy_done for the context of the one before."""
    extra = '(func (export "proxy_on_tick") (param i32) (drop (call $switch (i32.const 2))) (drop (call $done)))'
    tick = '(import "env" "proxy_set_tick_period_milliseconds" (func $every (param i32) (result i32)))'
    wat = trace("i32.const 0", extra).replace("(memory", f"{tick}(memory", 1)
    wat = wat.replace("(call $say (i32.const 105) (i32.const 0))", "(drop (call $every (i32.const 10)))")
    instance = world.start(wat)
    said(world)
    handle(instance)
    assert said(world) == "c2 h4 e1 H1 B1 d2"
    assert instance.tick_period == 0.01
    _tick(instance)
    assert said(world) == "l2 x2"
    instance.close()


def test_contexts_that_are_never_done_do_not_pile_up(world: World) -> None:
    instance = world.start(trace("i32.const 0"))
    for _ in range(1100):
        handle(instance)
    assert said(world).count(" x") >= 70
    instance.close()


@pytest.mark.parametrize(("version", "params"), [("0_1_0", "i32 i32"), ("0_2_0", "i32 i32 i32")])
def test_headers_callbacks_of_both_shapes_are_called(world: World, version: str, params: str) -> None:
    wat = f"""(module (memory (export "memory") 1) (func (export "proxy_abi_version_{version}"))
      (func (export "proxy_on_request_headers") (param {params}) (result i32) i32.const 0))"""
    instance = world.start(wat)
    assert handle(instance).status == 200
    instance.close()


# Answers


def test_a_local_response_is_the_answer(world: World) -> None:
    headers = wire.encode_pairs([("x-a", "1"), (":status", "999")])
    instance = world.start(
        probe(
            ("proxy_send_local_response", [404, 0, 0, NAME, 5, VALUE, len(headers), 0xFFFFFFFF]),
            data={NAME: b"hello", VALUE: headers},
            action=1,
        )
    )
    assert handle(instance) == Response(404, [("x-a", "1")], b"hello")
    instance.close()


def test_the_response_phase_shapes_an_empty_200(world: World) -> None:
    instance = world.start(
        probe(
            ("proxy_replace_header_map_value", [abi.RESPONSE_HEADERS, NAME, 7, VALUE, 3]),
            ("proxy_add_header_map_value", [abi.RESPONSE_HEADERS, NAME + 7, 3, VALUE, 3]),
            data={NAME: b":statusx-a", VALUE: b"418"},
            callback="proxy_on_response_body",
        )
    )
    answer = handle(instance)
    assert (answer.status, answer.headers, len(answer.body)) == (418, [("x-a", "418")], 65536)
    instance.close()


def test_a_pause_with_nothing_pending_fails_the_request_and_not_the_guest(world: World) -> None:
    instance = world.start(probe(action=1))
    for _ in range(2):
        with pytest.raises(GuestFailed) as caught:
            handle(instance)
        assert (caught.value.failure.reason, caught.value.fatal) == ("BadResponse", False)
        assert "paused" in caught.value.failure.message
    instance.close()


def test_a_pause_on_headers_may_be_resumed_by_the_body(world: World) -> None:
    body = '(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) i32.const 0)'
    instance = world.start(probe(action=1, extra=body))
    assert handle(instance, Request("r", body=b"x")).status == 200
    instance.close()


def test_a_closed_stream_has_no_answer(world: World) -> None:
    instance = world.start(probe(("proxy_close_stream", [0])))
    with pytest.raises(GuestFailed, match="closed the stream"):
        handle(instance)
    instance.close()


def test_a_body_beyond_the_limit_is_refused(world: World) -> None:
    instance = world.start(probe(), response_bytes=1000)
    with pytest.raises(GuestFailed) as caught:
        handle(instance)
    assert (caught.value.failure.reason, caught.value.fatal) == ("BadResponse", False)
    assert "1000" in caught.value.failure.message
    instance.close()


# Failures


def test_a_trap_is_fatal_and_tells_where(world: World) -> None:
    instance = world.start(probe("(call $deep)", extra="(func $deep unreachable)"))
    with pytest.raises(GuestFailed) as caught:
        handle(instance)
    assert (caught.value.failure.reason, caught.value.fatal) == ("Trapped", True)
    assert "unreachable" in caught.value.failure.message
    assert "deep" in caught.value.failure.message
    instance.close()
    instance.close()


@pytest.mark.parametrize("callback", ["proxy_on_vm_start", "proxy_on_configure"])
def test_a_guest_that_refuses_to_start_does_not(world: World, callback: str) -> None:
    refusing = f"""(module (memory (export "memory") 1)
        (func (export "{callback}") (param i32 i32) (result i32) i32.const 0))"""
    with pytest.raises(GuestFailed) as caught:
        world.start(refusing)
    assert caught.value.failure.reason == "StartFailed"
    assert callback in caught.value.failure.message


def test_a_start_is_bounded_in_time(world: World) -> None:
    spinning = """(module (memory (export "memory") 1)
        (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (loop $l (br $l)) i32.const 1))"""
    with pytest.raises(GuestFailed) as caught:
        world.start(spinning, start_timeout=0.1)
    assert caught.value.failure.reason == "DeadlineExceeded"


def test_an_allocation_that_fails_is_a_status(world: World) -> None:
    wat = probe(("proxy_get_buffer_bytes", [0, 0, BIG, OUT, OUT_SIZE]))
    for answer in ("(i32.const 0)", "(i32.const 0xfffffff0)"):
        start = wat.index('(func (export "proxy_on_memory_allocate")')
        end = wat.index("(func (export", start + 5)
        broken = f'{wat[:start]}(func (export "malloc") (param i32) (result i32) {answer})\n{wat[end:]}'
        instance = world.start(broken)
        memory = Memory(handle(instance, Request("r", body=b"x")).body)
        assert memory.statuses in ([abi.INTERNAL_FAILURE], [abi.INVALID_MEMORY_ACCESS])
        instance.close()


def test_an_allocator_that_traps_spoils_the_instance(world: World) -> None:
    wat = """(module
      (import "env" "proxy_get_buffer_bytes" (func $get (param i32 i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_1"))
      (func (export "malloc") (param i32) (result i32) unreachable)
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (call $get (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 0) (i32.const 4))))"""
    instance = world.start(wat)
    with pytest.raises(GuestFailed, match="the allocator: ") as caught:
        handle(instance, Request("r", body=b"x"))
    assert caught.value.fatal
    assert caught.value.failure.reason == "Trapped"
    instance.close()


def test_many_threads_run_their_own_instances(world: World) -> None:
    steps = [("proxy_get_property", [NAME, 10, OUT, OUT_SIZE])] * 20
    instances = [world.start(probe(*steps, data={NAME: b"request.id"})) for _ in range(6)]
    wrong: list[bytes] = []

    def work(number: int) -> None:
        for turn in range(50):
            wanted = f"{number}-{turn}"
            found = Memory(handle(instances[number], Request("r", request_id=wanted)).body).given(OUT)
            if found != wanted.encode():
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for instance in instances:
        instance.close()
    assert wrong == []


# Timers and queues


def _tick(instance: object, wait: float = 0.02) -> None:
    threading.Event().wait(wait)
    instance.tick(CallContext(time.monotonic() + 2))  # type: ignore[attr-defined]


def test_a_timer_is_called_as_often_as_asked(world: World) -> None:
    extra = """(func (export "proxy_on_configure") (param i32 i32) (result i32)
        (drop (call $proxy_set_tick_period_milliseconds (i32.const 20))) i32.const 1)"""
    instance = world.start(
        probe(
            ("proxy_log", [2, NAME, 4]),
            "(drop (call $proxy_set_tick_period_milliseconds (i32.const 0)))",
            ("proxy_set_tick_period_milliseconds", [0]),
            data={NAME: b"tick"},
            callback="proxy_on_tick",
            extra=extra,
        )
    )
    assert instance.tick_period == 0.02
    instance.tick(CallContext(time.monotonic() + 2))
    assert said(world) == "", "not due yet"
    _tick(instance, 0.03)
    assert said(world) == "tick"
    assert instance.tick_period is None
    instance.close()


def test_each_item_of_a_queue_is_announced_once(world: World) -> None:
    extra = """(func (export "proxy_on_configure") (param i32 i32) (result i32)
        (drop (call $proxy_register_shared_queue (i32.const 1000) (i32.const 5) (i32.const 600))) i32.const 1)"""
    reader = probe(
        ("proxy_register_shared_queue", [NAME, 5, OUT]),
        ("proxy_dequeue_shared_queue", [1, OUT, OUT_SIZE]),
        "(drop (call $proxy_log (i32.const 2) (i32.load (i32.const 600)) (i32.load (i32.const 604))))",
        ("proxy_log", [2, NAME, 5]),
        data={NAME: b"queue"},
        callback="proxy_on_queue_ready",
        extra=extra,
    )
    readers = [world.start(reader), world.start(reader)]
    assert readers[0].tick_period == 0.1
    writer = world.start(
        probe(
            ("proxy_enqueue_shared_queue", [1, VALUE, 3]),
            ("proxy_enqueue_shared_queue", [1, VALUE, 2]),
            data={VALUE: b"abc"},
        )
    )
    handle(writer)
    for instance in readers:
        instance.tick(CallContext(time.monotonic() + 2))
    assert said(world) == "abc queue ab queue"
    for instance in (*readers, writer):
        instance.close()


# HTTP calls

CALL_HEADERS = wire.encode_pairs([(":method", "GET"), (":path", "/stock?x=1"), (":authority", "stock.test")])


def caller(then: str, *, action: int = 1, target: bytes = b"stock.test:8080") -> str:
    """A guest that dispatches a call on headers and does something when the answer is there."""
    answered = f"""(func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
        (i32.store (i32.const 700) (local.get 1)) (i32.store (i32.const 704) (local.get 2))
        (i32.store (i32.const 708) (local.get 3))
        (drop (call $proxy_get_buffer_bytes (i32.const 4) (i32.const 0) (i32.const 0x7fffffff)
          (i32.const 720) (i32.const 724)))
        (drop (call $proxy_set_effective_context (i32.const 2)))
        {then})"""
    return probe(
        ("proxy_set_effective_context", [2]),
        ("proxy_http_call", [NAME, len(target), VALUE, len(CALL_HEADERS), NAME, 4, 0, 0, 500, OUT]),
        ("proxy_get_buffer_bytes", [4, 0, 10, 720, 724]),
        ("proxy_continue_stream", [1]),
        data={NAME: target, VALUE: CALL_HEADERS},
        action=action,
        extra=answered,
    )


RESUME = "(drop (call $proxy_continue_stream (i32.const 0)))"
ECHO = (
    """(drop (call $answer_with (i32.const 1) (i32.const 0) (i32.const 0x7fffffff) (i32.const 0) (i32.const 65536)))"""
)
OPEN = replace(SPEC, allowed_hosts=("stock.test:8080",))


def test_a_call_is_made_and_its_answer_resumes_the_request(world: World) -> None:
    world.upstreams.answers["/stock?x=1"] = EgressResponse(203, (("a", "b"),), b"100 left")
    instance = world.start(caller(ECHO + RESUME), OPEN)
    memory = Memory(handle(instance).body)
    assert memory.statuses == [0, 0, 1, 0]
    assert (memory.u32(OUT), memory.u32(700), memory.u32(704), memory.u32(708)) == (1, 1, 2, 8)
    assert memory.given(720) == b"100 left"
    (asked,) = world.upstreams.requests
    assert (asked.method, asked.scheme, asked.host, asked.port, asked.path) == (
        "GET",
        "http",
        "stock.test",
        8080,
        "/stock?x=1",
    )
    assert asked.body == b"stoc"
    instance.close()


def test_an_answer_is_told_to_the_root_context(world: World) -> None:
    world.upstreams.answers["/stock?x=1"] = EgressResponse(200, (), b"")
    wat = caller("(i32.store (i32.const 740) (local.get 0))" + ECHO + RESUME)
    seen = "(i32.store (i32.const 744) (call $proxy_get_header_map_size (i32.const 0) (i32.const 748)))"
    wat = wat.replace("(i32.store (i32.const 700)", f"{seen} (i32.store (i32.const 700)")
    declared = (
        '(import "env" "proxy_get_header_map_size" (func $proxy_get_header_map_size (param i32 i32) (result i32)))'
    )
    instance = world.start(wat.replace("(module", f"(module {declared}", 1), OPEN)
    memory = Memory(handle(instance).body)
    assert (memory.u32(740), memory.u32(744)) == (abi.ROOT, abi.NOT_FOUND)
    instance.close()


def test_a_call_that_fails_is_told_without_headers(world: World) -> None:
    instance = world.start(caller(ECHO + RESUME), OPEN)
    memory = Memory(handle(instance).body)
    assert (memory.u32(700), memory.u32(704), memory.u32(708)) == (1, 0, 0)
    assert "connection refused" in said(world)
    instance.close()


def test_a_guest_that_does_not_resume_has_paused_for_ever(world: World) -> None:
    instance = world.start(caller(""), OPEN)
    with pytest.raises(GuestFailed, match="nothing is pending"):
        handle(instance)
    instance.close()


def test_a_call_that_nobody_waits_for_is_made_all_the_same(world: World) -> None:
    instance = world.start(caller("", action=0), OPEN)
    assert handle(instance).status == 200
    assert len(world.upstreams.requests) == 1
    instance.close()


@pytest.mark.parametrize("hosts", [(), ("other.test",), ("stock.test:443",)])
def test_a_host_that_is_not_allowed_is_a_bad_argument(world: World, hosts: tuple[str, ...]) -> None:
    instance = world.start(caller(RESUME, action=0), replace(SPEC, allowed_hosts=hosts))
    assert Memory(handle(instance).body).statuses[1] == abi.BAD_ARGUMENT
    assert world.upstreams.requests == []
    instance.close()


def test_a_cluster_name_stands_for_its_authority(world: World) -> None:
    instance = world.start(caller(RESUME, target=b"outbound|stock"), replace(SPEC, allowed_hosts=("stock.test",)))
    handle(instance)
    assert (world.upstreams.requests[0].host, world.upstreams.requests[0].port) == ("stock.test", 80)
    instance.close()


def test_config_reaches_the_guest(world: World) -> None:
    spec = replace(SPEC, config=json.dumps({"a": 1}))
    said_sizes = trace()
    world.start(said_sizes, spec).close()
    assert said(world) == "i0 c1 v0 o8"
