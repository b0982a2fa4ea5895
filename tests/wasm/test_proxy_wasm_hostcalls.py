"""Each host function, called by a guest: what it answers and what it leaves in the guest's memory."""

import struct
import time

import pytest

from reconciler.core.revision import InstanceSpec
from reconciler.wasm import preview1
from reconciler.wasm.kind import GuestFailed, Request
from reconciler.wasm.proxy_wasm import abi, wire
from tests.wasm.world import BIG, SPEC, Memory, World, handle, probe

NAME, VALUE, OUT, OUT_SIZE, MORE = 1000, 1100, 600, 604, 608
KEY = b"x-key"
REQUEST = Request(
    "probe",
    method="POST",
    path="/a/b",
    query="q=1",
    headers=[("host", "h"), ("x-key", "one"), ("x-key", "two")],
    body=b"0123456789",
    authority="h",
    request_id="r-1",
    remote="10.0.0.9",
)


def pairs(memory: Memory, address: int = OUT) -> list[tuple[str, str]]:
    return wire.decode_pairs(memory.given(address))


# Buffers


@pytest.mark.parametrize(
    ("start", "length", "status", "content"),
    [
        (0, 10, abi.OK, b"0123456789"),
        (0, BIG, abi.OK, b"0123456789"),
        (3, 4, abi.OK, b"3456"),
        (8, 100, abi.OK, b"89"),
        (10, 5, abi.OK, b""),
        (11, 1, abi.BAD_ARGUMENT, b""),
        (5, 0xFFFFFFFF, abi.BAD_ARGUMENT, b""),
    ],
)
def test_a_buffer_is_read_from_start_up_to_length(
    world: World, start: int, length: int, status: int, content: bytes
) -> None:
    memory = world.probe(("proxy_get_buffer_bytes", [abi.REQUEST_BODY, start, length, OUT, OUT_SIZE]), request=REQUEST)
    assert memory.statuses == [status]
    assert memory.given(OUT) == content


@pytest.mark.parametrize(
    ("start", "length", "content"),
    [
        (0, BIG, b"new"),  # replace
        (0, 10, b"new"),
        (0, 0, b"new0123456789"),  # prepend
        (BIG, 0, b"0123456789new"),  # append
        (10, 3, b"0123456789new"),
        (2, 3, b"01new56789"),  # replace a part
        (4, 0, b"0123new456789"),  # insert
        (8, 100, b"01234567new"),
    ],
)
def test_a_buffer_is_written_by_start_and_length(world: World, start: int, length: int, content: bytes) -> None:
    memory = world.probe(
        ("proxy_set_buffer_bytes", [abi.REQUEST_BODY, start, length, VALUE, 3]),
        ("proxy_get_buffer_bytes", [abi.REQUEST_BODY, 0, BIG, OUT, OUT_SIZE]),
        ("proxy_get_buffer_status", [abi.REQUEST_BODY, MORE, MORE + 4]),
        data={VALUE: b"new"},
        request=REQUEST,
    )
    assert memory.statuses == [abi.OK] * 3
    assert memory.given(OUT) == content
    assert memory.u32(MORE) == len(content)


def test_appending_many_times_adds_up(world: World) -> None:
    appends = [("proxy_set_buffer_bytes", [abi.REQUEST_BODY, BIG, 0, VALUE, 3])] * 20
    memory = world.probe(
        *appends, ("proxy_get_buffer_bytes", [abi.REQUEST_BODY, 0, BIG, OUT, OUT_SIZE]), data={VALUE: b"new"}
    )
    assert memory.given(OUT) == b"new" * 20


def test_buffers_that_are_not_there_are_told_from_unknown_ones(world: World) -> None:
    memory = world.probe(
        ("proxy_get_buffer_bytes", [2, 0, BIG, OUT, OUT_SIZE]),
        ("proxy_get_buffer_bytes", [abi.HTTP_CALL_BODY, 0, BIG, OUT, OUT_SIZE]),
        ("proxy_get_buffer_bytes", [77, 0, BIG, OUT, OUT_SIZE]),
        ("proxy_get_buffer_status", [77, OUT, OUT_SIZE]),
        ("proxy_set_buffer_bytes", [abi.PLUGIN_CONFIGURATION, 0, 0, VALUE, 3]),
        ("proxy_set_buffer_bytes", [77, 0, 0, VALUE, 3]),
    )
    assert memory.statuses == [1, 1, 2, 2, 1, 2]


def test_the_configuration_is_read_in_every_version(world: World) -> None:
    spec = InstanceSpec(**{**_fields(SPEC), "config": '{"greeting": "hi"}'})
    memory = world.probe(
        ("proxy_get_buffer_bytes", [abi.PLUGIN_CONFIGURATION, 0, BIG, OUT, OUT_SIZE]),
        ("proxy_get_buffer_bytes", [abi.VM_CONFIGURATION, 0, BIG, MORE, MORE + 4]),
        ("proxy_get_configuration", [MORE + 8, MORE + 12]),
        spec=spec,
        version="0_1_0",
    )
    assert memory.statuses == [0, 0, 0]
    assert memory.given(OUT) == memory.given(MORE + 8) == b'{"greeting": "hi"}'
    assert memory.given(MORE) == b""


def test_a_text_configuration_is_given_as_it_is(world: World) -> None:
    spec = InstanceSpec(**{**_fields(SPEC), "config": '"a: [b]"'})
    memory = world.probe(("proxy_get_buffer_bytes", [abi.PLUGIN_CONFIGURATION, 0, BIG, OUT, OUT_SIZE]), spec=spec)
    assert memory.given(OUT) == b"a: [b]"


def _fields(spec: InstanceSpec) -> dict[str, object]:
    return {name: getattr(spec, name) for name in spec.__dataclass_fields__}


# Maps


def test_headers_come_with_pseudo_headers_and_repeats(world: World) -> None:
    memory = world.probe(
        ("proxy_get_header_map_pairs", [abi.REQUEST_HEADERS, OUT, OUT_SIZE]),
        ("proxy_get_header_map_size", [abi.REQUEST_HEADERS, MORE]),
        request=REQUEST,
    )
    assert memory.statuses == [0, 0]
    assert pairs(memory) == [
        (":authority", "h"),
        (":path", "/a/b?q=1"),
        (":method", "POST"),
        (":scheme", "http"),
        ("host", "h"),
        ("x-key", "one"),
        ("x-key", "two"),
    ]
    assert memory.u32(MORE) == memory.u32(OUT_SIZE)


def test_a_value_is_found_in_any_case_and_joined(world: World) -> None:
    memory = world.probe(
        ("proxy_get_header_map_value", [abi.REQUEST_HEADERS, NAME, 5, OUT, OUT_SIZE]),
        ("proxy_get_header_map_value", [abi.REQUEST_HEADERS, NAME, 4, MORE, MORE + 4]),
        data={NAME: b"X-Key"},
        request=REQUEST,
    )
    assert memory.statuses == [abi.OK, abi.NOT_FOUND]
    assert memory.given(OUT) == b"one,two"


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
def test_maps_are_changed_by_add_replace_and_remove(world: World, kind: int) -> None:
    memory = world.probe(
        ("proxy_add_header_map_value", [kind, NAME, 5, VALUE, 3]),
        ("proxy_add_header_map_value", [kind, NAME, 5, VALUE, 2]),
        ("proxy_replace_header_map_value", [kind, NAME, 5, VALUE + 3, 3]),
        ("proxy_get_header_map_value", [kind, NAME, 5, OUT, OUT_SIZE]),
        ("proxy_remove_header_map_value", [kind, NAME, 5]),
        ("proxy_get_header_map_value", [kind, NAME, 5, MORE, MORE + 4]),
        ("proxy_remove_header_map_value", [kind, NAME, 5]),
        ("proxy_replace_header_map_value", [kind, NAME, 5, VALUE, 3]),
        ("proxy_get_header_map_value", [kind, NAME, 5, MORE, MORE + 4]),
        data={NAME: b"x-new", VALUE: b"oldnew"},
        request=REQUEST,
    )
    assert memory.statuses == [0, 0, 0, 0, 0, 1, 0, 0, 0]
    assert (memory.given(OUT), memory.given(MORE)) == (b"new", b"old")


def test_a_whole_map_is_set(world: World) -> None:
    data = wire.encode_pairs([("A", "1"), ("b", "22")])
    assert data.hex() == "0200000001000000010000000100000002000000410031006200323200"
    memory = world.probe(
        ("proxy_set_header_map_pairs", [abi.RESPONSE_HEADERS, VALUE, len(data)]),
        ("proxy_get_header_map_pairs", [abi.RESPONSE_HEADERS, OUT, OUT_SIZE]),
        ("proxy_set_header_map_pairs", [abi.RESPONSE_HEADERS, VALUE, 0]),
        ("proxy_get_header_map_pairs", [abi.RESPONSE_HEADERS, MORE, MORE + 4]),
        data={VALUE: data},
    )
    assert memory.statuses == [0, 0, 0, 0]
    assert pairs(memory) == [("a", "1"), ("b", "22")]
    assert pairs(memory, MORE) == []


@pytest.mark.parametrize(
    "data", [b"\xff\xff\xff\xff", b"\x01\0\0\0\x05\0\0\0", struct.pack("<III", 1, 0xFFFFFFF0, 5) + b"ab"]
)
def test_a_map_that_is_none_is_a_parse_failure(world: World, data: bytes) -> None:
    memory = world.probe(("proxy_set_header_map_pairs", [2, VALUE, len(data)]), data={VALUE: data})
    assert memory.statuses == [abi.PARSE_FAILURE]


def test_unknown_and_read_only_maps_are_bad_arguments(world: World) -> None:
    memory = world.probe(
        ("proxy_get_header_map_pairs", [99, OUT, OUT_SIZE]),
        ("proxy_get_header_map_value", [99, NAME, 5, OUT, OUT_SIZE]),
        ("proxy_get_header_map_size", [99, OUT]),
        ("proxy_add_header_map_value", [99, NAME, 5, VALUE, 3]),
        ("proxy_replace_header_map_value", [6, NAME, 5, VALUE, 3]),
        ("proxy_remove_header_map_value", [6, NAME, 5]),
        ("proxy_set_header_map_pairs", [6, VALUE, 0]),
    )
    assert memory.statuses == [2] * 7


def test_a_map_does_not_grow_without_end(world: World) -> None:
    memory = world.probe(
        "(local $n i32) (loop $more"
        " (i32.store (i32.const 300) (call $proxy_add_header_map_value (i32.const 2) (i32.const 1000) (i32.const 5)"
        " (i32.const 1100) (i32.const 3)))"
        " (local.set $n (i32.add (local.get $n) (i32.const 1)))"
        " (br_if $more (i32.lt_u (local.get $n) (i32.const 2000))))",
        ("proxy_add_header_map_value", [2, NAME, 5, VALUE, 3]),
        data={NAME: KEY, VALUE: b"abc"},
    )
    assert memory.statuses == [abi.INTERNAL_FAILURE]


# Log, clock, status, contexts, foreign functions


def test_lines_reach_the_log_with_their_level(world: World) -> None:
    memory = world.probe(
        *[("proxy_log", [level, NAME, 5]) for level in range(7)],
        ("proxy_get_log_level", [OUT]),
        data={NAME: b"h\xc3\xa9llo"[:5]},
    )
    assert memory.statuses == [0] * 6 + [2, 0]
    assert world.services.lines == [(level, "héll") for level in range(6)]


def test_the_level_that_is_worth_logging_is_told(world: World) -> None:
    world.services.level = 3
    assert world.probe(("proxy_get_log_level", [OUT])).u32(OUT) == 3


def test_a_long_line_is_cut(world: World) -> None:
    world.probe(("proxy_log", [2, 0, 60000]))
    assert len(world.services.lines[0][1]) < 10_000


def test_the_clock_has_all_its_bits(world: World) -> None:
    before = time.time_ns()
    memory = world.probe(("proxy_get_current_time_nanoseconds", [OUT]), ("clock_time_get", [0, 1, MORE]))
    assert memory.statuses == [0, 0]
    assert before <= memory.u64(OUT) <= memory.u64(MORE) <= time.time_ns()


def test_contexts_foreign_functions_and_status(world: World) -> None:
    memory = world.probe(
        ("proxy_set_effective_context", [1]),
        ("proxy_get_header_map_pairs", [0, OUT, OUT_SIZE]),
        ("proxy_set_effective_context", [99]),
        ("proxy_set_effective_context", [2]),
        ("proxy_get_header_map_pairs", [0, OUT, OUT_SIZE]),
        ("proxy_done", []),
        ("proxy_call_foreign_function", [NAME, 5, VALUE, 3, OUT, OUT_SIZE]),
        ("proxy_get_status", [MORE, MORE + 4, MORE + 8]),
    )
    assert memory.statuses == [0, 1, 2, 0, 0, 1, 1, 0]


def test_grpc_is_not_offered(world: World) -> None:
    memory = world.probe(
        ("proxy_grpc_call", [0] * 12),
        ("proxy_grpc_stream", [0] * 9),
        ("proxy_grpc_send", [0] * 4),
        ("proxy_grpc_cancel", [0]),
        ("proxy_grpc_close", [0]),
        ("proxy_resume_downstream", []),
    )
    assert memory.statuses == [12] * 6


# Properties


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (b"request\0path", b"/a/b?q=1"),
        (b"request\0url_path", b"/a/b"),
        (b"request\0method", b"POST"),
        (b"request\0host", b"h"),
        (b"request\0scheme", b"http"),
        (b"request\0query", b"q=1"),
        (b"request\0id", b"r-1"),
        (b"request\0protocol", b"HTTP/1.1"),
        (b"request\0headers\0x-key", b"one,two"),
        (b"request\0headers\0x-key\0", b"one,two"),
        (b"request.path", b"/a/b?q=1"),
        (b"request\0size", (10).to_bytes(8, "little")),
        (b"response\0code", (200).to_bytes(8, "little")),
        (b"source\0address", b"10.0.0.9"),
        (b"route_name", b"probe"),
        (b"plugin_name", b"probe"),
        (b"plugin_root_id", b"probe"),
    ],
)
def test_a_property_of_the_request(world: World, path: bytes, value: bytes) -> None:
    memory = world.probe(("proxy_get_property", [NAME, len(path), OUT, OUT_SIZE]), data={NAME: path}, request=REQUEST)
    assert memory.statuses == [abi.OK]
    assert memory.given(OUT) == value


def test_properties_are_set_and_missing_ones_told(world: World) -> None:
    memory = world.probe(
        ("proxy_get_property", [NAME, 3, OUT, OUT_SIZE]),
        ("proxy_set_property", [NAME, 3, VALUE, 5]),
        ("proxy_get_property", [NAME, 3, OUT, OUT_SIZE]),
        data={NAME: b"own", VALUE: b"thing"},
    )
    assert memory.statuses == [abi.NOT_FOUND, abi.OK, abi.OK]
    assert memory.given(OUT) == b"thing"


# Shared data, queues, metrics


def test_shared_data_is_set_by_compare_and_swap(world: World) -> None:
    memory = world.probe(
        ("proxy_get_shared_data", [NAME, 5, OUT, OUT_SIZE, MORE]),
        ("proxy_set_shared_data", [NAME, 5, VALUE, 3, 0]),
        ("proxy_get_shared_data", [NAME, 5, OUT, OUT_SIZE, MORE]),
        ("proxy_set_shared_data", [NAME, 5, VALUE, 2, 77]),
        ("proxy_set_shared_data", [NAME, 5, VALUE, 2, 1]),
        ("proxy_get_shared_data", [NAME, 5, OUT + 32, OUT_SIZE + 32, MORE + 4]),
        data={NAME: KEY, VALUE: b"abc"},
    )
    assert memory.statuses == [abi.NOT_FOUND, 0, 0, abi.CAS_MISMATCH, 0, 0]
    assert (memory.given(OUT), memory.u32(MORE)) == (b"abc", 1)
    assert (memory.given(OUT + 32), memory.u32(MORE + 4)) == (b"ab", 2)


def test_shared_data_is_bounded(world: World) -> None:
    memory = world.probe(
        "(local $n i32) (loop $more (i32.store (i32.const 1000) (local.get $n))"
        " (i32.store (i32.const 300) (call $proxy_set_shared_data (i32.const 1000) (i32.const 4) (i32.const 0)"
        " (i32.const 60000) (i32.const 0)))"
        " (local.set $n (i32.add (local.get $n) (i32.const 1)))"
        " (br_if $more (i32.lt_u (local.get $n) (i32.const 300))))",
        ("proxy_set_shared_data", [1100, 5, 0, 60000, 0]),
    )
    assert memory.statuses == [abi.INTERNAL_FAILURE]


def test_queues_are_registered_resolved_filled_and_emptied(world: World) -> None:
    memory = world.probe(
        ("proxy_resolve_shared_queue", [VALUE, 5, NAME, 5, OUT]),
        ("proxy_register_shared_queue", [NAME, 5, OUT]),
        ("proxy_resolve_shared_queue", [VALUE, 5, NAME, 5, OUT + 4]),
        ("proxy_resolve_shared_queue", [VALUE + 1, 4, NAME, 5, OUT + 8]),
        ("proxy_dequeue_shared_queue", [1, MORE, MORE + 4]),
        ("proxy_enqueue_shared_queue", [1, NAME, 5]),
        ("proxy_enqueue_shared_queue", [1, VALUE, 5]),
        ("proxy_dequeue_shared_queue", [1, MORE, MORE + 4]),
        ("proxy_dequeue_shared_queue", [1, MORE + 8, MORE + 12]),
        ("proxy_enqueue_shared_queue", [9, VALUE, 5]),
        ("proxy_dequeue_shared_queue", [9, MORE + 8, MORE + 12]),
        data={NAME: KEY, VALUE: b"probe"},
    )
    assert memory.statuses == [1, 0, 0, 1, abi.EMPTY, 0, 0, 0, 0, 1, 1]
    assert memory.u32(OUT) == memory.u32(OUT + 4) == 1
    assert (memory.given(MORE), memory.given(MORE + 8)) == (KEY, b"probe")


def test_metrics_count_record_and_refuse(world: World) -> None:
    memory = world.probe(
        ("proxy_define_metric", [abi.COUNTER, NAME, 5, OUT]),
        ("proxy_define_metric", [abi.GAUGE, VALUE, 5, OUT + 4]),
        ("proxy_define_metric", [abi.COUNTER, NAME, 5, OUT + 64]),
        ("proxy_define_metric", [abi.GAUGE, NAME, 5, OUT + 68]),
        ("proxy_define_metric", [9, NAME, 5, OUT + 68]),
        ("proxy_increment_metric", [1, 1 << 33]),
        ("proxy_increment_metric", [1, -1]),
        ("proxy_record_metric", [2, 10]),
        ("proxy_increment_metric", [2, -3]),
        ("proxy_get_metric", [1, MORE]),
        ("proxy_get_metric", [2, MORE + 8]),
        ("proxy_get_metric", [3, MORE + 16]),
        ("proxy_record_metric", [3, 1]),
        data={NAME: KEY, VALUE: b"gauge"},
    )
    assert memory.statuses == [0, 0, 0, 2, 2, 0, 2, 0, 0, 0, 0, 1, 1]
    assert (memory.u32(OUT), memory.u32(OUT + 4), memory.u32(OUT + 64)) == (1, 2, 1)
    assert (memory.u64(MORE), memory.u64(MORE + 8)) == (1 << 33, 7)


def test_what_is_shared_is_shared_by_the_instances_of_a_namespace_and_no_others(world: World) -> None:
    writer = world.start(probe(("proxy_set_shared_data", [NAME, 5, VALUE, 3, 0]), data={NAME: KEY, VALUE: b"abc"}))
    assert Memory(handle(writer).body).statuses == [0]
    read = ("proxy_get_shared_data", [NAME, 5, OUT, OUT_SIZE, MORE])
    assert world.probe(read, data={NAME: KEY}).given(OUT) == b"abc"
    other = InstanceSpec(**{**_fields(SPEC), "namespace": "other"})
    assert world.probe(read, data={NAME: KEY}, spec=other).statuses == [abi.NOT_FOUND]
    writer.close()


# Layotto


def test_a_state_store_is_read(world: World) -> None:
    memory = world.probe(
        ("proxy_get_state", [NAME, 5, VALUE, 5, OUT, OUT_SIZE]),
        ("proxy_get_state", [NAME, 5, VALUE, 4, MORE, MORE + 4]),
        ("proxy_get_state", [NAME, 4, VALUE, 5, MORE, MORE + 4]),
        ("proxy_get_state", [NAME, 5, VALUE + 5, 4, MORE, MORE + 4]),
        data={NAME: b"books", VALUE: b"book1down"},
    )
    assert memory.statuses == [0, 0, abi.INTERNAL_FAILURE, abi.INTERNAL_FAILURE]
    assert memory.given(OUT) == b"100"
    assert memory.u32(MORE) != 0, "nothing is still an allocated nothing"
    assert memory.u32(MORE + 4) == 0
    assert [level for level, _ in world.services.lines] == [abi.ERROR, abi.ERROR]


def test_another_plugin_is_invoked_as_layotto_does(world: World) -> None:
    memory = world.probe(
        ("proxy_invoke_service", [NAME, 4, NAME + 4, 5, VALUE, 3, OUT, OUT_SIZE]),
        data={NAME: b"id_2stock", VALUE: b"abc"},
    )
    assert memory.statuses == [0]
    assert memory.given(OUT) == b"answer"
    (asked,) = world.services.invoked
    assert (asked.route, asked.method, asked.path, asked.body) == ("id_2", "GET", "/stock", b"abc")
    assert ("id", "id_2") in asked.headers


# Printing


def test_what_a_guest_prints_is_logged_by_lines(world: World) -> None:
    memory = world.probe(
        ("fd_write", [1, 2000, 2, OUT]),
        ("fd_write", [1, 2000, 1, OUT]),
        ("fd_write", [2, 2008, 1, OUT + 4]),
        ("fd_write", [7, 2000, 1, OUT]),
        data={2000: struct.pack("<IIII", NAME, 5, VALUE, 4), NAME: b"hello", VALUE: b" you\n"[:4] + b"\n"},
        extra="",
    )
    assert memory.statuses == [0, 0, 0, preview1.BAD_DESCRIPTOR]
    assert world.services.lines == []
    assert memory.u32(OUT + 4) == 4


def test_whole_lines_are_logged_and_the_rest_kept(world: World) -> None:
    world.probe(
        ("fd_write", [1, 2000, 1, OUT]),
        ("fd_write", [2, 2008, 1, OUT]),
        data={2000: struct.pack("<IIII", NAME, 8, VALUE, 6), NAME: b"one\ntwo\n", VALUE: b"three\n"},
    )
    assert world.services.lines == [(abi.INFO, "one"), (abi.INFO, "two"), (abi.ERROR, "three")]


def test_sleeping_ends_with_the_clock(world: World) -> None:
    subscription = struct.pack("<QB7xI4xQQH6x", 42, 0, 1, 5_000_000, 0, 0)
    memory = world.probe(("poll_oneoff", [NAME, 700, 1, OUT]), data={NAME: subscription})
    assert memory.statuses == [0]
    assert (memory.u32(OUT), memory.u64(700)) == (1, 42)


def test_sleeping_past_the_deadline_ends_the_guest(world: World) -> None:
    subscription = struct.pack("<QB7xI4xQQH6x", 42, 0, 1, 60_000_000_000, 0, 0)
    instance = world.start(
        probe(
            ("poll_oneoff", [NAME, 700, 1, OUT]), "(call $work)", data={NAME: subscription}, extra="(func $work (loop))"
        )
    )
    started = time.monotonic()
    with pytest.raises(GuestFailed, match="DeadlineExceeded"):
        handle(instance, seconds=0.1)
    assert time.monotonic() - started < 5
    instance.close()


# Bad memory

HOSTILE = 0xFFFFFFF0


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("proxy_log", [2, NAME, 5]),
        ("proxy_get_buffer_bytes", [0, 0, BIG, OUT, OUT_SIZE]),
        ("proxy_set_buffer_bytes", [0, 0, 3, VALUE, 3]),
        ("proxy_get_buffer_status", [0, OUT, OUT_SIZE]),
        ("proxy_get_header_map_pairs", [0, OUT, OUT_SIZE]),
        ("proxy_get_header_map_size", [0, OUT]),
        ("proxy_set_header_map_pairs", [2, VALUE, 3]),
        ("proxy_get_header_map_value", [0, NAME, 5, OUT, OUT_SIZE]),
        ("proxy_add_header_map_value", [0, NAME, 5, VALUE, 3]),
        ("proxy_replace_header_map_value", [0, NAME, 5, VALUE, 3]),
        ("proxy_remove_header_map_value", [0, NAME, 5]),
        ("proxy_send_local_response", [200, NAME, 5, VALUE, 3, VALUE, 3, 0]),
        ("proxy_get_property", [NAME, 5, OUT, OUT_SIZE]),
        ("proxy_set_property", [NAME, 5, VALUE, 3]),
        ("proxy_get_shared_data", [NAME, 5, OUT, OUT_SIZE, MORE]),
        ("proxy_set_shared_data", [NAME, 5, VALUE, 3, 0]),
        ("proxy_register_shared_queue", [NAME, 5, OUT]),
        ("proxy_resolve_shared_queue", [VALUE, 5, NAME, 5, OUT]),
        ("proxy_enqueue_shared_queue", [1, NAME, 5]),
        ("proxy_dequeue_shared_queue", [1, OUT, OUT_SIZE]),
        ("proxy_define_metric", [0, NAME, 5, OUT]),
        ("proxy_get_metric", [1, OUT]),
        ("proxy_get_current_time_nanoseconds", [OUT]),
        ("proxy_get_log_level", [OUT]),
        ("proxy_get_status", [OUT, OUT_SIZE, MORE]),
        ("proxy_get_state", [NAME, 5, VALUE, 5, OUT, OUT_SIZE]),
        ("proxy_invoke_service", [NAME, 4, NAME, 5, VALUE, 3, OUT, OUT_SIZE]),
        ("proxy_http_call", [NAME, 5, VALUE, 3, VALUE, 3, VALUE, 3, 100, OUT]),
        ("proxy_call_foreign_function", [NAME, 5, VALUE, 3, OUT, OUT_SIZE]),
        ("fd_write", [1, NAME, 1, OUT]),
        ("poll_oneoff", [NAME, OUT, 1, MORE]),
        ("clock_time_get", [0, 1, OUT]),
    ],
)
def test_a_hostile_pointer_or_size_is_a_status_and_never_more(
    world: World, name: str, good: list[int], caplog: pytest.LogCaptureFixture
) -> None:
    """Every argument in turn becomes hostile; the guest lives on, and no bug of ours is logged."""
    steps = []
    for index in range(len(good)):
        for bad in (HOSTILE, 65535, 0x80000000, 0xFFFFFFFF):
            values = list(good)
            values[index] = bad
            steps.append((name, values))
    steps.insert(0, ("proxy_register_shared_queue", [NAME, 5, OUT]))
    steps.insert(0, ("proxy_define_metric", [0, NAME, 5, OUT]))
    # 100 statuses fit below 400.
    instance = world.start(probe(*steps[:99], data={NAME: b"books", VALUE: b"book1"}))
    try:
        memory = Memory(handle(instance, REQUEST).body)
        assert len(memory.statuses) == len(steps[:99])
        pointers = preview1.FAULT if name in ("fd_write", "poll_oneoff", "clock_time_get") else 6
        assert pointers in memory.statuses
        assert caplog.text == ""
        assert handle(instance, REQUEST).status == 200
    finally:
        instance.close()
