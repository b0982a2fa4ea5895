"""Recognising, linking and starting proxy-wasm modules, and answering the Layotto way."""

import json
from dataclasses import replace

import pytest

from reconciler.core.observed import Failure
from reconciler.core.states import Reason
from reconciler.wasm.kind import CallContext, GuestFailed, ModuleRefused, Request, Response
from reconciler.wasm.proxy_wasm import abi, wire
from tests.wasm.world import BIG, SPEC, Memory, World, handle, probe

NAME, VALUE, OUT, OUT_SIZE = 1000, 1100, 600, 604

ECHO = """(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
    (drop (call $get (i32.const 0) (i32.const 0) (local.get 1) (i32.const 600) (i32.const 604)))
    (drop (call $set (i32.const 1) (i32.const 0) (i32.const 0x7fffffff)
      (i32.load (i32.const 600)) (i32.load (i32.const 604))))
    (i32.const ACTION))"""
BY_CALL_DATA = """(func (export "proxy_get_id")
    (drop (call $set (i32.const 8) (i32.const 0) (i32.const 0x7fffffff) (i32.const 16) (i32.const 4))))"""


def function(get_id: str = BY_CALL_DATA, body: str = ECHO, action: int = 0, extra: str = "") -> str:
    """A function of Layotto's kind: it answers with what it was asked."""
    return f"""(module
      (import "env" "proxy_get_buffer_bytes" (func $get (param i32 i32 i32 i32 i32) (result i32)))
      (import "env" "proxy_set_buffer_bytes" (func $set (param i32 i32 i32 i32 i32) (result i32)))
      (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 16) "id_7\\00 more")
      (func (export "malloc") (param i32) (result i32) i32.const 8192)
      (func (export "proxy_abi_version_0_2_0"))
      {get_id} {body.replace("ACTION", str(action))} {extra})"""


def refusal(world: World, wat: str) -> Failure:
    with pytest.raises(ModuleRefused) as caught:
        world.prepare(wat)
    return caught.value.failure


# Recognising and linking


@pytest.mark.parametrize(
    ("export", "recognised"),
    [
        ('(func (export "proxy_abi_version_0_1_0"))', True),
        ('(func (export "proxy_on_request_headers") (param i32 i32) (result i32) i32.const 0)', True),
        ('(func (export "proxy_get_id"))', True),
        ('(func (export "_start"))', False),
        ("", False),
    ],
)
def test_a_module_is_recognised_by_its_exports(world: World, export: str, recognised: bool) -> None:
    assert world.kind.recognise(world.engine.compile(f"(module {export})".encode()).shape) is recognised


def test_all_missing_imports_are_named_with_their_types(world: World) -> None:
    failure = refusal(
        world,
        """(module (import "env" "proxy_nothing" (func (param i32 i64) (result i32)))
        (import "env" "proxy_log" (func (param i32) (result i32)))
        (import "other" "thing" (func)) (import "env" "table" (table 1 funcref))
        (import "wasi_snapshot_preview1" "fd_nonsense" (func (param i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func (param i32 i32 i32 i32) (result i32)))
        (memory (export "memory") 1))""",
    )
    assert (failure.reason, failure.next_step) == ("MissingImport", "stall")
    for words in (
        "env.proxy_nothing (i32, i64) -> (i32)",
        "env.proxy_log (i32) -> (i32): the host has (i32, i32, i32) -> (i32)",
        "other.thing () -> ()",
        "env.table (table)",
        "wasi_snapshot_preview1.fd_nonsense (i32) -> (i32)",
    ):
        assert words in failure.message
    assert "fd_read" not in failure.message


def test_a_host_function_may_be_declared_without_its_status(world: World) -> None:
    wat = """(module (import "env" "proxy_continue_request" (func $resume)) (memory (export "memory") 1)
      (func (export "proxy_on_request_headers") (param i32 i32) (result i32) (call $resume) i32.const 0))"""
    instance = world.start(wat)
    assert handle(instance).status == 200
    instance.close()


@pytest.mark.parametrize(
    ("wat", "reason", "words"),
    [
        ('(module (func (export "proxy_abi_version_0_3_0")) (memory (export "memory") 1))', "UnsupportedABI", "0_3_0"),
        ('(module (func (export "proxy_abi_version_0_2_0")))', "MissingExport", "memory"),
        (
            '(module (memory (export "memory") 1) (func (export "proxy_on_request_body") (param i64)))',
            "UnsupportedABI",
            "proxy_on_request_body has the type (i64) -> ()",
        ),
    ],
)
def test_a_module_that_does_not_fit_is_refused(world: World, wat: str, reason: str, words: str) -> None:
    failure = refusal(world, wat)
    assert failure.reason == reason
    assert words in failure.message


def test_a_component_is_refused(world: World) -> None:
    with pytest.raises(ModuleRefused, match="component"):
        world.kind.prepare(world.engine.compile(b"\0asm\x0d\0\x01\0"), SPEC, world.services)


def test_a_bad_host_list_is_refused(world: World) -> None:
    with pytest.raises(ModuleRefused, match="allowedHosts"):
        world.prepare(probe(), replace(SPEC, allowed_hosts=("http://x/",)))


def test_what_can_wait_is_known_beforehand(world: World) -> None:
    assert not world.prepare(probe()).info.may_wait
    assert world.prepare(probe(("proxy_invoke_service", [0] * 8))).info.may_wait


def test_a_prepared_guest_is_closed_twice_without_harm(world: World) -> None:
    prepared = world.prepare(probe())
    prepared.close()
    prepared.close()


def test_a_module_is_linked_once_for_all_that_run_it_and_again_after_the_last(world: World) -> None:
    module = world.engine.compile(probe().encode())
    first, second = (world.kind.prepare(module, SPEC, world.services) for _ in range(2))
    assert first.callbacks is second.callbacks
    first.close()
    instance = second.start()
    assert handle(instance).status == 200
    instance.close()
    second.close()
    third = world.kind.prepare(module, SPEC, world.services)
    assert third.callbacks is not second.callbacks
    third.start().close()


# Starting


@pytest.mark.parametrize("entry", ["_start", "_initialize"])
def test_the_entry_runs_once_and_may_exit_with_nothing(world: World, entry: str) -> None:
    wat = f"""(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
      (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 0) "up")
      (func (export "{entry}") (drop (call $log (i32.const 2) (i32.const 0) (i32.const 2)))
        (call $exit (i32.const STATUS)))
      (func (export "proxy_abi_version_0_2_0")))"""
    instance = world.start(wat.replace("STATUS", "0"))
    assert world.services.lines == [(2, "up")]
    assert handle(instance).status == 200
    instance.close()
    with pytest.raises(GuestFailed) as caught:
        world.start(wat.replace("STATUS", "3"))
    assert caught.value.failure.reason == "GuestExited"
    assert "3" in caught.value.failure.message


def test_main_runs_after_initialize(world: World) -> None:
    wat = """(module (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 0) "im")
      (func (export "_initialize") (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1))))
      (func (export "_start") unreachable)
      (func (export "main") (param i32 i32) (result i32)
        (drop (call $log (i32.const 2) (i32.const 1) (i32.const 1))) i32.const 0)
      (func (export "proxy_abi_version_0_2_0")))"""
    world.start(wat).close()
    assert world.services.lines == [(2, "i"), (2, "m")]


def test_a_wasm_start_function_may_call_the_host_before_there_is_memory(world: World) -> None:
    wat = """(module (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (func $first (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1))))
      (start $first)
      (func (export "proxy_abi_version_0_2_0")))"""
    instance = world.start(wat)
    assert handle(instance).status == 200
    assert world.services.lines == []
    instance.close()


def test_the_environment_is_the_plugins_own(world: World) -> None:
    spec = replace(SPEC, env=(("GREETING", "hi"), ("B", "2")))
    memory = world.probe(("environ_sizes_get", [OUT, OUT_SIZE]), ("environ_get", [700, 800]), spec=spec)
    assert memory.statuses == [0, 0]
    assert memory.u32(OUT) == 2
    assert memory.content[800 : 800 + memory.u32(OUT_SIZE)] == b"GREETING=hi\0B=2\0"


def test_a_closed_instance_answers_nothing(world: World) -> None:
    instance = world.start(probe())
    instance.close()
    with pytest.raises(GuestFailed, match="closed"):
        handle(instance)


# Layotto's functions


@pytest.mark.parametrize(
    "get_id",
    [
        BY_CALL_DATA,
        BY_CALL_DATA.replace('"proxy_get_id")', '"proxy_get_id") (result i32)')
        .replace("(drop (call", "((call")
        .replace("((call", "(call")
        .replace("(i32.const 4))))", "(i32.const 4)))"),
        """(func (export "proxy_get_id") (result i32) i32.const 16)
        (func (export "proxy_get_id_length") (result i32) i32.const 4)""",
        '(func (export "proxy_get_id") (result i32) i32.const 16)',
        """(func (export "proxy_get_id") (param i32)
        (i32.store (local.get 0) (i32.const 16)) (i32.store offset=4 (local.get 0) (i32.const 4)))""",
    ],
    ids=["call data", "status", "pointer and length", "pointer", "result"],
)
def test_the_id_is_told_in_any_shape(world: World, get_id: str) -> None:
    prepared = world.prepare(function(get_id))
    instance = prepared.start()
    assert prepared.info.route_id == "id_7"
    assert handle(instance, Request("r", body=b"x")).body == b"x"
    instance.close()


def test_an_id_outside_memory_is_a_failed_start(world: World) -> None:
    with pytest.raises(GuestFailed) as caught:
        world.start(
            function(
                '(func (export "proxy_get_id") (param i32) (i32.store (local.get 0) (i32.const -8)) '
                "(i32.store offset=4 (local.get 0) (i32.const 4)))"
            )
        )
    assert caught.value.failure.reason == "StartFailed"


def test_a_function_gets_the_body_or_else_the_query_and_answers_with_its_buffer(world: World) -> None:
    instance = world.start(function())
    assert handle(instance, Request("r", body=b"body", query="a=b")) == Response(200, [], b"body")
    assert handle(instance, Request("r", query="name=book1")) == Response(200, [], b"name=book1")
    assert handle(instance, Request("r")) == Response(200, [], b"")
    instance.close()


def test_a_function_that_pauses_has_answered_only_if_it_wrote_something(world: World) -> None:
    instance = world.start(function(action=1))
    assert handle(instance, Request("r", body=b"x")).body == b"x"
    instance.close()
    silent = '(func (export "proxy_on_request_body") (param i32 i32 i32) (result i32) i32.const ACTION)'
    instance = world.start(function(body=silent, action=1))
    with pytest.raises(GuestFailed) as caught:
        handle(instance, Request("r", body=b"x"))
    assert (caught.value.failure.reason, caught.value.fatal) == ("BadResponse", False)
    instance.close()


def test_the_response_phase_is_not_for_functions(world: World) -> None:
    trap = '(func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32) unreachable)'
    instance = world.start(function(extra=trap))
    assert handle(instance, Request("r", body=b"x")).body == b"x"
    instance.close()


def test_a_functions_configuration_is_a_map(world: World) -> None:
    configure = """(func (export "proxy_on_configure") (param i32 i32) (result i32)
      (drop (call $get (i32.const 7) (i32.const 0) (local.get 1) (i32.const 600) (i32.const 604)))
      (drop (call $log (i32.const 2) (i32.load (i32.const 600)) (i32.load (i32.const 604)))) i32.const 1)"""
    spec = replace(SPEC, config=json.dumps({"name": "id_7", "n": 3}))
    world.start(function(extra=configure), spec).close()
    ((_, line),) = world.services.lines
    assert wire.decode_pairs(line.encode("latin-1")) == [("name", "id_7"), ("n", "3")]


def test_a_call_that_fails_is_a_status_and_a_line(world: World) -> None:
    world.services.answer = GuestFailed(Failure(Reason.TRAPPED, "boom"))
    asking = ("proxy_invoke_service", [NAME, 4, NAME, 4, VALUE, 3, OUT, OUT_SIZE])
    assert world.probe(asking, data={NAME: b"id_2"}).statuses == [abi.INTERNAL_FAILURE]
    assert "boom" in world.services.lines[0][1]
    world.services.answer = Response(404)
    assert world.probe(asking, data={NAME: b"id_2"}).statuses == [abi.INTERNAL_FAILURE]


def test_a_guest_may_call_a_guest_on_the_same_thread(world: World) -> None:
    callee = world.start(probe(("proxy_get_buffer_bytes", [0, 0, BIG, OUT, OUT_SIZE])))

    def invoke(request: Request, call: CallContext) -> Response:
        return Response(200, [], Memory(callee.handle(request, call).body).given(OUT))

    world.services.invoke = invoke  # type: ignore[method-assign]
    memory = world.probe(
        ("proxy_invoke_service", [NAME, 4, NAME, 4, VALUE, 3, OUT, OUT_SIZE]),
        ("proxy_get_buffer_bytes", [0, 0, BIG, 620, 624]),
        data={NAME: b"id_2", VALUE: b"abc"},
        request=Request("r", body=b"mine"),
    )
    assert memory.statuses == [0, 0]
    assert (memory.given(OUT), memory.given(620)) == (b"abc", b"mine")
    callee.close()
