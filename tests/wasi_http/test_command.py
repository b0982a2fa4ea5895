"""Components that are commands: CGI in, CGI out."""

import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from reconciler.core.states import Reason
from reconciler.wasm.kind import CallContext, GuestFailed, ModuleRefused, Request, Response
from reconciler.wasm.kinds import standard_kinds
from reconciler.wasm.proxy_wasm.shared import SharedSpaces
from reconciler.wasm.wasi_http.command import CommandComponentKind, ProgramSlot
from tests.wasi_http.world import ECHO, SHOUT, World
from tests.wasm.world import SPEC

LIMITS = replace(SPEC.limits, response_bytes=100_000)


@pytest.fixture
def program(world: World) -> Iterator[ProgramSlot]:
    prepared = CommandComponentKind(world.kind).prepare(
        world.modules.get(SHOUT), replace(SPEC, limits=LIMITS), world.services
    )
    yield prepared.start()
    prepared.close()


def run(program: ProgramSlot, query: str = "", body: bytes = b"", seconds: float = 5.0) -> Response:
    return program.handle(Request("shout", "POST", "/", query, body=body), CallContext(time.monotonic() + seconds))


def test_a_command_component_answers_as_a_cgi_script_does(program: ProgramSlot) -> None:
    for body in (b"hello", b"", b"x" * 70_000):
        assert run(program, body=body) == Response(
            200, [("content-type", "text/plain"), ("x-method", "POST")], body.upper()
        )


def test_leaving_with_success_is_success(program: ProgramSlot) -> None:
    assert run(program, "exit", b"bye").body == b"BYE"


def test_a_failure_has_the_programs_last_words(program: ProgramSlot, world: World) -> None:
    with pytest.raises(GuestFailed, match="its last words: there is nothing to shout") as failed:
        run(program, "fail")
    assert failed.value.failure.reason is Reason.GUEST_EXITED
    assert not failed.value.fatal
    assert world.services.lines == [(4, "there is nothing to shout")]
    assert run(program, body=b"on").body == b"ON"


def test_an_endless_answer_is_stopped(program: ProgramSlot) -> None:
    with pytest.raises(GuestFailed) as failed:
        run(program, "endless", seconds=30)
    assert failed.value.failure.reason is Reason.BAD_RESPONSE
    assert run(program, body=b"on").body == b"ON"


def test_the_kind_is_found_by_itself_and_by_its_name(world: World) -> None:
    kinds = standard_kinds(world.engine, world.upstreams, SharedSpaces())
    shape = world.modules.get(SHOUT).shape
    for abi in ("auto", "wasi-command"):
        assert isinstance(kinds.choose(shape, abi), CommandComponentKind)
    with pytest.raises(ModuleRefused, match="no wasi-http module"):
        kinds.choose(shape, "wasi-http")
    assert not isinstance(kinds.choose(world.modules.get(ECHO).shape), CommandComponentKind)


def test_a_missing_import_is_named_in_full(world: World) -> None:
    wat = b"""(component
      (import "acme:billing/pay@1.0.0" (instance (export "charge" (func))))
      (core module $m (func (export "run") (result i32) i32.const 0))
      (core instance $i (instantiate $m))
      (func $run (result (result)) (canon lift (core func $i "run")))
      (instance $x (export "run" (func $run)))
      (export "wasi:cli/run@0.2.3" (instance $x)))"""
    module = world.engine.compile(wat)
    with pytest.raises(ModuleRefused, match=r"acme:billing/pay@1\.0\.0#charge"):
        CommandComponentKind(world.kind).prepare(module, SPEC, world.services)
    module.close()
