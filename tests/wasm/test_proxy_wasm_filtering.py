"""A proxy-wasm guest before an upstream: what goes on, what comes back, and what it may do in between."""

import time
from dataclasses import replace

import pytest

from reconciler.core.states import Reason
from reconciler.wasm.egress import EgressResponse
from reconciler.wasm.kind import CallContext, Filter, GuestFailed, Request, Response
from reconciler.wasm.proxy_wasm import wire
from tests.guest_wat import TRAP, answering, stamping
from tests.wasm.test_proxy_wasm_flow import TRACE, said
from tests.wasm.world import SPEC, World, probe

SENT = Request("r", "POST", "/a", "b=c", [("content-length", "3")], b"abc", trailers=(("t", "1"),))
ANSWER = Response(201, [("server", "s")], b"xyz", (("u", "2"),))


def call(seconds: float = 2.0) -> CallContext:
    return CallContext(time.monotonic() + seconds)


def start(world: World, wat: bytes | str, **spec: object) -> Filter:
    instance = world.start(wat if isinstance(wat, str) else wat.decode(), replace(SPEC, **spec))
    assert isinstance(instance, Filter)
    return instance


def pausing(callback: str, *, resume: str) -> str:
    """A guest that dispatches a call and pauses in a callback, and does that when the answer comes."""
    headers = wire.encode_pairs([(":method", "GET"), (":path", "/check"), (":authority", "api.test")])
    arguments = (3000, 8, 2000, len(headers), 0, 0, 0, 0, 1000, 700)
    return probe(
        ("proxy_http_call", arguments),
        data={2000: headers, 3000: b"api.test"},
        callback=callback,
        action=1,
        extra=f"""(func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32)
          (drop (call $switch (i32.const 2))) {resume})""",
    ).replace(
        "(memory",
        """(import "env" "proxy_set_effective_context" (func $switch (param i32) (result i32)))
        (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
        (memory""",
        1,
    )


def test_each_phase_has_its_callbacks_once(world: World) -> None:
    wat = TRACE.replace("DONE", "i32.const 1").replace(
        "EXTRA",
        """(func (export "proxy_on_response_trailers") (param i32 i32) (result i32)
        (call $say (i32.const 84) (local.get 1)) i32.const 0)""",
    )
    guest = start(world, wat)
    said(world)
    assert guest.begin(SENT, call()) == SENT
    assert said(world) == "c2 h5 e0 b3 e0 t1"
    assert guest.finish(ANSWER, call()) == ANSWER
    assert said(world) == "H2 B0 T1 d2 l2 x2"
    guest.begin(Request("r"), call())
    said(world)
    guest.finish(Response(204), call())
    assert said(world) == "H1 d3 l3 x3"
    guest.begin(Request("r"), call())
    said(world)
    guest.drop(call())
    assert said(world) == "d4 l4 x4"


def test_headers_bodies_and_trailers_are_changed_both_ways(world: World) -> None:
    guest = start(world, stamping("q"))
    passed = guest.begin(SENT, call())
    assert isinstance(passed, Request)
    assert (passed.method, passed.path, passed.query) == ("POST", "/a", "b=c")
    assert passed.headers == [("content-length", "4"), ("x-q", "q")]
    assert passed.body == b"abcq"
    assert passed.trailers == (("t", "1"), ("x-q", "q"))
    assert guest.finish(ANSWER, call()) == Response(
        201, [("server", "s"), ("x-q", "q")], b"xyzq", (("u", "2"), ("x-q", "q"))
    )


def test_a_changed_path_method_and_status_are_passed_on(world: World) -> None:
    pairs = {":path": "/new?x", ":method": "PUT", ":authority": "other"}
    data, steps, at = {}, [], 1000
    for key, value in pairs.items():
        data[at], data[at + 50] = key.encode(), value.encode()
        steps.append(("proxy_replace_header_map_value", (0, at, len(key), at + 50, len(value))))
        at += 100
    passed = start(world, probe(*steps, data=data)).begin(SENT, call())
    assert isinstance(passed, Request)
    assert (passed.method, passed.path, passed.query, passed.authority) == ("PUT", "/new", "x", "other")
    wat = probe(
        ("proxy_replace_header_map_value", (2, 1000, 7, 1100, 3)),
        data={1000: b":status", 1100: b"299"},
        callback="proxy_on_response_headers",
    )
    guest = start(world, wat)
    guest.begin(SENT, call())
    assert guest.finish(ANSWER, call()).status == 299


def test_a_local_answer_ends_the_request(world: World) -> None:
    guest = start(world, answering("denied"))
    assert guest.begin(SENT, call()) == Response(200, [], b"denied")


@pytest.mark.parametrize(("callback", "stream"), [("proxy_on_request_headers", 0), ("proxy_on_response_headers", 1)])
def test_a_paused_filter_goes_on_after_its_http_call(world: World, callback: str, stream: int) -> None:
    world.upstreams.answers["/check"] = EgressResponse(200, (), b"")
    wat = pausing(callback, resume=f"(drop (call $continue (i32.const {stream})))")
    guest = start(world, wat, allowed_hosts=("api.test",))
    passed = guest.begin(SENT, call())
    assert isinstance(passed, Request)
    assert len(world.upstreams.requests) == 1 - stream
    assert guest.finish(ANSWER, call()).status == 201
    assert [request.path for request in world.upstreams.requests] == ["/check"]


def test_a_pause_that_nothing_ends_is_a_failure(world: World) -> None:
    guest = start(world, stamping("q", before="(local.set $action (i32.const 1))"))
    with pytest.raises(GuestFailed, match="nothing is pending") as failed:
        guest.begin(Request("r"), call())
    assert not failed.value.fatal
    assert failed.value.failure.reason is Reason.BAD_RESPONSE


def test_an_end_without_time_is_made_good_by_the_next_request(world: World) -> None:
    guest = start(world, TRACE.replace("DONE", "i32.const 1").replace("EXTRA", ""))
    guest.begin(Request("r"), call())
    with pytest.raises(GuestFailed, match="no time was left"):
        guest.finish(ANSWER, call(-1))
    said(world)
    guest.begin(Request("r"), call())
    assert said(world) == "d2 l2 x2 c3 h4 e1"


def test_a_trap_in_the_response_phase_spoils_the_filter(world: World) -> None:
    wat = stamping("q").replace(
        b'"proxy_on_response_body") (param i32 i32 i32) (result i32)',
        b'"proxy_on_response_body") (param i32 i32 i32) (result i32) ' + TRAP.encode(),
    )
    guest = start(world, wat)
    guest.begin(SENT, call())
    with pytest.raises(GuestFailed) as failed:
        guest.finish(ANSWER, call())
    assert failed.value.fatal
