"""What a well-behaved component sees and says."""

from dataclasses import replace

import pytest

from reconciler.core.states import Reason
from reconciler.wasm.kind import ModuleRefused, Request
from tests.wasi_http.world import ECHO, PROBE, World, handle
from tests.wasm.world import SPEC


def test_a_component_is_told_method_path_and_query(world: World) -> None:
    slot = world.start(ECHO)
    assert handle(slot, Request("echo", "PATCH", "/some/where", "a=b&c")).body == b"PATCH /some/where?a=b&c\n"
    assert handle(slot, Request("echo", "PURGE", "/")).body == b"PURGE /\n"


def test_body_headers_and_trailers_go_through(world: World) -> None:
    body = bytes(range(256)) * 400
    request = Request(
        "echo",
        "POST",
        "/echo",
        headers=[("x-a", "1"), ("x-a", "2"), ("x-b", "\xff")],
        body=body,
        trailers=[("x-t", "t")],
    )
    response = handle(world.start(ECHO), request)
    assert response.body == body
    assert response.headers == [("x-a", "1"), ("x-a", "2"), ("x-b", "\xff")]
    assert list(response.trailers) == [("x-t", "t")]


@pytest.mark.parametrize("status", [200, 204, 404, 500, 599])
def test_the_status_is_the_components(world: World, status: int) -> None:
    assert handle(world.start(ECHO), Request("echo", path=f"/status/{status}")).status == status


def test_each_request_has_a_store_of_its_own(world: World) -> None:
    slot = world.start()
    assert [handle(slot, Request("probe", path="/count")).body for _ in range(3)] == [b"01", b"01", b"01"]


def test_a_store_answers_as_many_requests_as_reuse_says(world: World) -> None:
    slot = world.start(PROBE, replace(SPEC, reuse=3))
    counts = [handle(slot, Request("probe", path="/count")).body for _ in range(5)]
    assert counts == [b"01", b"02", b"03", b"01", b"02"]


def test_bodies_are_right_when_a_store_is_used_again(world: World) -> None:
    slot = world.start(ECHO, replace(SPEC, reuse=100))
    for size in (0, 1, 70_000, 3, 0, 5000):
        body = bytes(index % 251 for index in range(size))
        assert handle(slot, Request("echo", "POST", "/echo", body=body)).body == body


def test_prints_go_to_the_log_not_to_the_body(world: World) -> None:
    assert world.get("/print").body == b"printed"
    assert [line for _, line in world.services.lines] == ["first", "second half"]


def test_a_flood_of_prints_is_cut(world: World) -> None:
    assert world.get("/flood").body == b"printed"
    assert "the rest is dropped" in world.services.lines[-1][1]


def test_environment_configuration_and_stores_are_the_plugins(world: World) -> None:
    spec = replace(SPEC, env=(("TOKEN", "s3cret"),), config='{"greeting": "hello", "times": [1, 2]}')
    assert world.get("/env/TOKEN", spec).body == b"s3cret"
    assert world.get("/env/PATH", spec).body == b"nothing"
    assert world.get("/config/greeting", spec).body == b"hello"
    assert world.get("/config/times", spec).body == b"[1, 2]"
    assert world.get("/config/other", spec).body == b"nothing"
    assert world.get("/store/book1").body == b"100"
    assert world.get("/store/book2").body == b"nothing"
    assert world.get("/store/down").body == b"error"
    assert world.get("/no-store").body == b"no such store"


def test_a_short_sleep_lasts_as_long_as_it_should(world: World) -> None:
    assert world.get("/nap").body == b"napped"


def test_a_missing_import_is_named_in_full(world: World) -> None:
    wat = b"""(component
      (import "wasi:sockets/quic@0.2.9" (instance (export "open" (func))))
      (import "wasi:http/types@0.2.0" (instance (export "teleport" (func))))
      (import "wasi:http/types@0.3.0" (instance (export "send" (func))))
      (import "acme:billing/pay@1.0.0" (instance (export "charge" (func)))))"""
    module = world.engine.compile(wat)
    with pytest.raises(ModuleRefused) as refused:
        world.kind.prepare(module, SPEC, world.services)
    assert refused.value.failure.reason is Reason.MISSING_IMPORT
    for name in ("wasi:http/types@0.2.0#teleport", "wasi:http/types@0.3.0#send", "acme:billing/pay@1.0.0#charge"):
        assert name in refused.value.failure.message
    module.close()


def test_a_component_survives_the_aot_cache(world: World) -> None:
    data = world.engine.serialize(world.modules.get(ECHO))
    again = world.engine.deserialize(data, digest="sha256:0")
    assert again.shape == world.modules.get(ECHO).shape
    prepared = world.kind.prepare(again, SPEC, world.services)
    slot = prepared.start()
    assert handle(slot, Request("echo", path="/x")).body == b"GET /x\n"
    slot.close()
    prepared.close()
    again.close()
