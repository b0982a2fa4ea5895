"""Components that run inside the adapter: which do, and that nobody can tell but by the clock."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from random import randbytes

import pytest
from wasmtime.component import Component

from reconciler.core.states import Reason
from reconciler.wasm.engine import CompiledModule
from reconciler.wasm.flow import Flow
from reconciler.wasm.http_adapter.compose import Composer
from reconciler.wasm.http_adapter.passed import PASSED, import_of
from reconciler.wasm.kind import CallContext, GuestFailed, ModuleShape, Request, Response
from reconciler.wasm.slots import MEMORIES
from reconciler.wasm.wasi_http.light import LightHost, LightSlot
from tests.wasi_http.world import ECHO, LIGHT, PROBE, World, handle
from tests.wasm.world import SPEC


def test_what_imports_little_is_light_and_the_rest_is_not(world: World) -> None:
    assert world.modules.get(ECHO).light
    assert world.modules.get(LIGHT).light
    assert not world.modules.get(PROBE).light


@pytest.mark.parametrize(
    "wat",
    [
        b"(component)",
        b'(component (import "wasi:io/poll@0.3.0" (instance)))',
        b'(component (import "wasi:sockets/tcp@0.2.0" (instance)))',
        b'(component (import "f" (func)))',
    ],
    ids=["no handler", "another version", "another interface", "no interface"],
)
def test_what_is_no_light_component_is_left_alone(world: World, wat: bytes) -> None:
    module = world.engine.compile(wat)
    assert not module.light
    module.close()


def test_a_function_that_the_adapter_lacks_makes_a_component_an_ordinary_one(world: World) -> None:
    wat = b"""(component
      (import "wasi:http/types@0.2.0" (instance
        (export "outgoing-request" (type (sub resource)))))
      (instance $handler)
      (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"""
    module = world.engine.compile(wat)
    assert not module.light
    assert {item.module for item in module.shape.imports} == {"wasi:http/types@0.2.0"}
    module.close()


@pytest.mark.parametrize("size", [9, 40, 300, 5000])
def test_a_component_that_is_cut_off_is_not_touched(size: int) -> None:
    assert Composer().compose(ECHO.read_bytes()[:size]) is None


@pytest.mark.parametrize("reuse", [1, 10])
def test_large_bodies_go_through_in_parts(world: World, reuse: int) -> None:
    slot = world.start(ECHO, replace(SPEC, reuse=reuse), response_bytes=4 * 2**20)
    for size in (65_535, 65_536, 65_537, 1_000_003):
        body = bytes(index * index % 256 for index in range(size))
        assert handle(slot, Request("echo", "POST", "/echo", body=body)).body == body
        assert handle(slot, Request("echo", path="/bytes/200000")).body[:6] == b"wasm\0\xff"


def test_what_a_plugin_passes_on_cannot_forge_lines(world: World) -> None:
    request = Request("echo", "POST", "/echo", headers=[("x-a", "1\n99\nx-b"), ("x-\u03bb", "\u03bb")], body=b"b")
    answer = handle(world.start(ECHO), request)
    assert answer.body == b"b"
    assert answer.headers[0] == ("x-a", "1 99 x-b")


def test_prints_are_logged(world: World) -> None:
    assert handle(world.start(LIGHT), Request("probe", path="/print")).body == b"printed"
    assert [line for _, line in world.services.lines] == ["first", "second half"]
    assert handle(world.start(LIGHT), Request("probe", path="/flood")).body == b"printed"
    assert "the rest is dropped" in world.services.lines[-1][1]


def test_environment_and_configuration_are_the_plugins(world: World) -> None:
    spec = replace(SPEC, env=(("TOKEN", "s3cret"),), config='{"greeting": "hell\u00f6 \u03bb", "times": [1, 2]}')
    slot = world.start(LIGHT, spec)
    answers = {
        "/env/TOKEN": "s3cret",
        "/env/PATH": "nothing",
        "/config/greeting": "hell\u00f6 \u03bb",
        "/config/times": "[1, 2]",
        "/config/other": "nothing",
    }
    assert {path: handle(slot, Request("probe", path=path)).body.decode() for path in answers} == answers


@pytest.mark.parametrize("interface", PASSED)
def test_the_host_has_all_functions_of_what_is_passed_on(world: World, interface: str) -> None:
    wat = f'(component {import_of(interface)} (instance $i) (export "nothing" (instance $i)))'
    component = Component(world.engine.native(False, light=True), wat.encode())
    entry = component.get_export_index("nothing")
    assert entry is not None
    module = CompiledModule(None, ModuleShape(component=True), "", False, component=component, light=True)
    recipe = LightHost(world.engine, world.kind.ffi).recipe(module, entry, SPEC)
    assert recipe.linker
    recipe.close()
    module.close()


def test_a_store_answers_as_many_requests_as_reuse_says(world: World) -> None:
    slot = world.start(LIGHT, replace(SPEC, reuse=3))
    counts = [handle(slot, Request("probe", path="/count")).body for _ in range(5)]
    assert counts == [b"01", b"02", b"03", b"01", b"02"]


def test_a_brief_call_lasts_by_what_its_thread_works(world: World) -> None:
    slot = world.start(LIGHT)
    over = CallContext(time.monotonic(), brief=True)
    assert slot.handle(Request("probe", path="/fine"), over).body == b"ok"
    with pytest.raises(GuestFailed) as failed:
        slot.handle(Request("probe", path="/spin"), CallContext(time.monotonic() + 10, brief=True))
    assert failed.value.failure.reason is Reason.DEADLINE_EXCEEDED


@pytest.mark.parametrize("reuse", [1, 10])
def test_bodies_flow_both_ways_at_once(world: World, reuse: int) -> None:
    slot = world.start(ECHO, replace(SPEC, reuse=reuse))
    assert isinstance(slot, LightSlot)
    for size in (3, 70_000, 500_000):
        with closing(Flow(lambda: None, request=True)) as flow, ThreadPoolExecutor(1) as pool:
            request = Request("echo", "POST", "/echo", headers=[("x-a", "1")])
            ended = pool.submit(slot.stream, request, CallContext(time.monotonic() + 10), flow)
            assert flow.take_over()
            sent, came, deadline = randbytes(size), b"", time.monotonic() + 10
            rest = memoryview(sent)
            while flow.whole is None or len(came) < flow.whole:
                assert time.monotonic() < deadline
                rest = rest[flow.offer(rest[:4096]) :] if rest else rest
                part = flow.take()
                came += part
                if not rest and flow.trailers is None and len(came) == size:
                    assert flow.whole is None  # all of it came back before the end was told
                    flow.end_request([("x-t", "t")])
            assert ended.result() is None
            assert came == sent
            assert flow.head == Response(200, [("x-a", "1")], trailers=[])
            assert flow.last == [("x-t", "t")]


def test_an_answer_that_is_quick_does_not_flow(world: World) -> None:
    slot = world.start(ECHO)
    assert isinstance(slot, LightSlot)
    with closing(Flow(lambda: None, request=False)) as flow:
        answer = slot.stream(Request("echo", "POST", "/echo", body=b"b" * 9), CallContext(time.monotonic() + 10), flow)
        assert answer == Response(200, [], b"b" * 9, [])
        assert not flow.take_over()


def test_a_client_that_leaves_ends_what_waits_for_it(world: World) -> None:
    slot = world.start(ECHO)
    assert isinstance(slot, LightSlot)
    for path in ("/echo", "/bytes/100000000"):
        with closing(Flow(lambda: None, request=True)) as flow, ThreadPoolExecutor(1) as pool:
            ended = pool.submit(slot.stream, Request("echo", path=path), CallContext(time.monotonic() + 10), flow)
            assert flow.take_over()
            while flow.head is None:
                time.sleep(0.001)
            flow.stop()
            assert ended.result(5) is None
    assert handle(slot, Request("echo", path="/x")).body == b"GET /x\n"


def test_more_instances_than_slots_are_a_full_host(world: World) -> None:
    prepared = world.prepare(LIGHT)
    slots = []
    with pytest.raises(GuestFailed) as failed:
        while len(slots) <= MEMORIES:
            slots.append(prepared.start())
    assert failed.value.failure.reason is Reason.CAPACITY_EXHAUSTED
    for slot in slots:
        slot.close()
    assert handle(world.start(LIGHT), Request("probe", path="/fine")).body == b"ok"
