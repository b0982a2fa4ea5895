"""Limits, as a guest finds them: it takes what it can and tells how much that was."""

import logging
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from reconciler.core.observed import Failure
from reconciler.core.states import Reason
from reconciler.host import loglimit
from reconciler.host.invoke import QueueFull
from reconciler.wasm import pace
from reconciler.wasm.engine import Engine
from reconciler.wasm.kind import GuestFailed, Request, Response
from reconciler.wasm.proxy_wasm import shared, wire
from reconciler.wasm.proxy_wasm.state import MAX_PROPERTY_BYTES
from tests.hostile import guests
from tests.hostile.conftest import Street
from tests.hostile.guests import FOR_EVER, SPIN, constants, doing, guest
from tests.wasm.world import World

MIB = 2**20

TELL = """(i32.store (i32.const 4096) {value})
  (drop (call $proxy_set_buffer_bytes (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 4096) (i32.const 4)))"""
"""Answers with a number: four bytes, the lowest first."""


def telling(value: str, *, before: str = "", imports: tuple[str, ...] = (), extra: str = "", data: str = "") -> bytes:
    """A guest that does something and answers with a number."""
    body = f"(local $count i32) {before} {TELL.format(value=value)}"
    return guest(
        {"proxy_on_request_headers": body}, imports=("proxy_set_buffer_bytes", *imports), extra=extra, data=data
    )


def told(street: Street) -> int:
    """The number that the guest answers with."""
    answer = street.ask()
    assert isinstance(answer, Response), answer
    return int.from_bytes(answer.body, "little")


def until_refused(call: str, *, good: int = 0) -> str:
    """WAT that counts in $count how often a host call succeeds before it does not."""
    count = "(local.set $count (i32.add (local.get $count) (i32.const 1)))"
    return f"""(block $full (loop $more
      (br_if $full (i32.ne {call} (i32.const {good}))) {count} (br $more)))"""


def grow(memory: int) -> str:
    """WAT that grows a memory by a page until it does not grow."""
    return f"(loop $more (br_if $more (i32.ne (memory.grow {memory} (i32.const 1)) (i32.const -1))))"


LONG = {"timeout": "20s"}


def test_host_calls_without_end_are_paced(street: Street) -> None:
    """So that the interpreter is free for others most of the time."""
    street.settle_in(
        guest(
            {
                "proxy_on_configure": f"(drop (call $proxy_define_metric {constants(1, 16, 2, 64)}))",
                "proxy_on_request_headers": FOR_EVER.format(
                    body="(drop (call $proxy_increment_metric (i32.const 1) (i64.const 1)))"
                ),
            },
            imports=["proxy_define_metric", "proxy_increment_metric"],
        ),
        limits={"timeout": "1s"},
    )
    began = time.monotonic()
    street.failure()
    took = time.monotonic() - began
    (metric,) = (found for space in street.node.spaces.snapshot() for found in space.metrics())
    assert metric[2] <= pace.SAMPLE * (pace.FREE + 1 + took / pace.PAUSE)


@pytest.mark.parametrize("others", [0, 1, 7])
def test_all_memories_of_an_instance_together_keep_the_limit(street: Street, others: int) -> None:
    size = " ".join(f"(i32.add (memory.size {index})" for index in range(others)) + f" (memory.size {others})"
    wasm = telling(
        size + ")" * others,
        before=" ".join(grow(index) for index in range(others + 1)),
        extra=" ".join("(memory 0)" for _ in range(others)),
    )
    street.settle_in(wasm, limits=LONG | {"memory": "4Mi"})
    pages = told(street)
    assert 4 * MIB * 0.9 < pages * 65536 <= 4 * MIB


def test_tables_take_an_eighth_of_the_memory_at_most(street: Street) -> None:
    more = "(loop $more{n} (br_if $more{n} (i32.ne (table.grow {n} (ref.null func) (i32.const 1000)) (i32.const -1))))"
    wasm = telling(
        "(i32.add (table.size 0) (table.size 1))",
        before=" ".join(more.format(n=number) for number in range(2)),
        extra="(table 0 funcref) (table 0 funcref)",
    )
    street.settle_in(wasm, limits=LONG | {"memory": "64Mi"})
    assert told(street) * 8 <= 8 * MIB


def test_a_module_with_too_many_tables_does_not_start(street: Street) -> None:
    street.move_in(telling("(i32.const 0)", extra="(table 1 funcref) " * 9))
    street.node.until(lambda: any(pool.failures for pool in street.node.host.observe("bad").pools))


def test_fuel_is_a_bound_on_work_and_not_on_time(street: Street) -> None:
    work = "(loop $more (local.set $count (i32.add (local.get $count) (i32.const 1)))" + (
        "(br_if $more (i32.lt_u (local.get $count) (i32.const {turns}))))"
    )
    wasm = telling("(local.get $count)", before=work.format(turns=1000))
    street.settle_in(wasm, limits=LONG | {"fuel": 1_000_000})  # type: ignore[dict-item]
    assert told(street) == 1000
    street.settle_in(telling("(i32.const 1)", before=SPIN), "worse", limits=LONG | {"fuel": 1_000_000})  # type: ignore[dict-item]
    assert street.failure("worse").reason is Reason.FUEL_EXHAUSTED


@pytest.fixture
def silent_server() -> Iterator[int]:
    """A server that takes connections and says nothing; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


SLEEP = (
    f"(i64.store (i32.const 4120) (i64.const 60000000000)) (drop (call $poll_oneoff {constants(4096, 6000, 1, 5000)}))"
)


@pytest.mark.parametrize("what", ["a loop", "sleep", "another guest", "an http call", "a storm of host calls"])
def test_a_timeout_holds_within_a_fifth_whatever_the_guest_does(
    street: Street, silent_server: int, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    place = f"127.0.0.1:{silent_server}"
    invoke = f"(drop (call $proxy_invoke_service {constants(16, 5, 32, 1, 0, 0, 64, 68)}))"
    doers = {
        "a loop": doing("proxy_on_request_headers", SPIN),
        "sleep": doing("proxy_on_request_headers", SLEEP + SPIN, imports=["poll_oneoff"]),
        "another guest": guest(
            {"proxy_on_request_headers": invoke + SPIN},
            imports=["proxy_invoke_service"],
            data='(data (i32.const 16) "worse") (data (i32.const 32) "/")',
        ),
        "an http call": waiting_for(place),
        "a storm of host calls": guests.storm(f"(call $proxy_log {constants(2, 0, 100)})", imports="proxy_log"),
    }
    wasm = doers[what]
    street.settle_in(doing("proxy_on_request_headers", SPIN), "worse", limits={"timeout": "60s"})
    street.settle_in(wasm, limits={"timeout": "500ms"}, capabilities={"allowedHosts": [place]})
    took = []
    for _ in range(3):  # the machine may be busy with other things; the guest is the same each time
        began = time.monotonic()
        found = street.ask()
        took.append(time.monotonic() - began)
        assert isinstance(found, Failure)
        if took[-1] <= 0.6:
            break
    assert 0.4 <= min(took) <= 0.6


def waiting_for(place: str) -> bytes:
    """A guest that pauses its request for an HTTP call's answer."""
    pairs = wire.encode_pairs([(":method", "GET"), (":path", "/"), (":authority", place)])
    text = "".join(f"\\{byte:02x}" for byte in pairs)
    values = constants(1024, len(place), 2048, len(pairs), 0, 0, 0, 0, 60000, 4096)
    call = f"(drop (call $proxy_dispatch_http_call {values}))"
    return guest(
        {"proxy_on_request_headers": f"{call} (return (i32.const 1))", "proxy_on_http_call_response": SPIN},
        imports=["proxy_dispatch_http_call"],
        data=f'(data (i32.const 1024) "{place}") (data (i32.const 2048) "{text}")',
    )


@pytest.mark.parametrize("callback", guests.AT_START)
def test_a_start_timeout_holds_within_a_fifth(callback: str) -> None:
    wasm = guests.starting_with(SPIN) if callback == "start" else doing(callback, SPIN)
    engine = Engine()
    prepared = World(engine).prepare(wasm.decode(), start_timeout=0.25)
    took = []
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(GuestFailed) as caught:
            prepared.start()
        took.append(time.monotonic() - began)
        assert caught.value.failure.reason is Reason.DEADLINE_EXCEEDED
        if took[-1] <= 0.3:
            break
    assert 0.2 <= min(took) <= 0.3
    prepared.close()
    engine.close()


def test_an_answer_larger_than_its_limit_is_refused(street: Street) -> None:
    append = f"(call $proxy_set_buffer_bytes {constants(1, 0x7FFFFFFF, 0, 0, 65536)})"
    wasm = guest(
        {"proxy_on_request_headers": f"(local $count i32) {until_refused(append)}"}, imports=["proxy_set_buffer_bytes"]
    )
    street.settle_in(wasm, limits=LONG | {"responseBytes": "1Mi"})
    failure = street.failure()
    assert (failure.reason, "1048576" in failure.message) == (Reason.BAD_RESPONSE, True)


NAMED = "(i32.const 4200) (i32.const 4)"
"""A name that the loop below makes a new one each time."""
KEPT = {
    "headers": (f"$proxy_add_header_map_value (i32.const 2) {NAMED} {constants(0, 1000)}", 1004, wire.MAX_BYTES),
    "properties": (f"$proxy_set_property {NAMED} {constants(0, 1000)}", 1004, MAX_PROPERTY_BYTES),
    "shared data": (f"$proxy_set_shared_data {NAMED} {constants(0, 60000, 0)}", 60004, shared.MAX_BYTES),
    "queues": (f"$proxy_register_shared_queue {constants(4200, 50000, 64)}", 50000, shared.MAX_BYTES),
    "metrics": (f"$proxy_define_metric (i32.const 0) {NAMED} (i32.const 64)", 1, shared.MAX_METRICS),
}
"""What a guest can have the host keep: the call, how much one call adds, and how much there may be."""


@pytest.mark.parametrize("what", KEPT)
def test_what_the_host_keeps_for_a_guest_is_bounded(street: Street, what: str) -> None:
    call, size, most = KEPT[what]
    letter = "(i32.store8 (i32.const {at}) (i32.add (i32.const 48) (i32.and (i32.const 63) {bits})))"
    name = " ".join(
        letter.format(at=4200 + place, bits=f"(i32.shr_u (local.get $count) (i32.const {6 * place}))")
        for place in range(4)
    )
    loop = f"""(block $full (loop $more {name} (br_if $full (call {call}))
      (local.set $count (i32.add (local.get $count) (i32.const 1))) (br $more)))"""
    imports = (call.split()[0].removeprefix("$"),)
    street.settle_in(telling("(local.get $count)", before=loop, imports=imports), limits=LONG)
    assert most * 0.5 < told(street) * size <= most


def test_a_queue_holds_no_more_than_its_namespace_may(street: Street) -> None:
    register = f"(drop (call $proxy_register_shared_queue {constants(16, 2, 64)}))"
    loop = until_refused(f"(call $proxy_enqueue_shared_queue {constants(1, 0, 60000)})")
    wasm = telling(
        "(local.get $count)",
        before=register + loop,
        imports=("proxy_register_shared_queue", "proxy_enqueue_shared_queue"),
    )
    street.settle_in(wasm, limits=LONG)
    assert shared.MAX_BYTES * 0.9 < told(street) * 60000 <= shared.MAX_BYTES


def test_a_flood_of_lines_is_cut_and_its_number_told(street: Street, caplog: pytest.LogCaptureFixture) -> None:
    flood = f"(drop (call $proxy_log {constants(2, 0, 1000)}))"
    street.settle_in(guest({"proxy_on_request_headers": FOR_EVER.format(body=flood)}, imports=["proxy_log"]))
    with caplog.at_level(logging.INFO, logger="guest"):
        began = time.monotonic()
        street.failure()
        took = time.monotonic() - began
        lines = [record for record in caplog.records if record.name == "guest"]
        assert len(lines) <= loglimit.BURST + loglimit.RATE * (took + 1)
        caplog.clear()
        street.node.until(lambda: _dropped(street, caplog) > 0)


def _dropped(street: Street, caplog: pytest.LogCaptureFixture) -> int:
    """How many lines the host says are missing, once the guest says something again."""
    street.ask()
    said = [record.getMessage() for record in caplog.records if "were not written" in record.getMessage()]
    return int(said[0].split()[0]) if said else 0


def test_instances_are_retired_after_as_many_calls_as_they_may_have(street: Street) -> None:
    count = "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))"
    wasm = telling("(global.get $calls)", before=count, extra="(global $calls (mut i32) (i32.const 0))")
    street.settle_in(wasm, pool={"maxInvocations": 3})
    assert [told(street) for _ in range(7)] == [1, 2, 3, 1, 2, 3, 1]


def test_requests_beyond_the_queue_are_refused_and_the_neighbours_are_not(street: Street) -> None:
    street.settle_in(
        doing("proxy_on_request_headers", SPIN), limits={"timeout": "300ms", "queue": 2, "queueTimeout": "50ms"}
    )  # type: ignore[dict-item]
    refused: list[str] = []

    def ask() -> None:
        try:
            street.node.host.invoke(Request("bad"))
        except GuestFailed:
            pass
        except QueueFull:
            refused.append("QueueFull")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    with street.undisturbed():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(refused) >= 5
