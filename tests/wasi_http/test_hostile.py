"""Components that misbehave hurt only themselves: the next request on the slot is answered."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.states import Reason
from reconciler.wasm.kind import GuestFailed, Request
from tests.wasi_http.world import LIGHT, PROBE, Slot, World, handle
from tests.wasm.world import SPEC


def fail(slot: Slot, path: str, seconds: float = 5.0, body: bytes = b"") -> GuestFailed:
    with pytest.raises(GuestFailed) as failed:
        handle(slot, Request("probe", "POST", path, body=body), seconds)
    assert not failed.value.fatal
    assert handle(slot, Request("probe", path="/fine")).body == b"ok"
    return failed.value


@pytest.fixture(params=[PROBE, LIGHT], ids=["host", "adapter"])
def component(request: pytest.FixtureRequest) -> Path:
    """A component that the host serves call by call, and one inside the adapter."""
    path: Path = request.param
    return path


@pytest.fixture(params=[1, 1000], ids=["fresh", "reused"])
def slot(world: World, component: Path, request: pytest.FixtureRequest) -> Slot:
    return world.start(component, replace(SPEC, reuse=request.param))


@pytest.mark.parametrize("path", ["/trap", "/half", "/bad-handle", "/drop-twice"])
def test_a_trap_is_told_in_the_engines_words(slot: Slot, path: str) -> None:
    failure = fail(slot, path).failure
    assert failure.reason is Reason.TRAPPED
    assert "unreachable" in failure.message or "handle" in failure.message


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/silent", "no response"),
        ("/drop-outparam", "no response"),
        ("/refuse", "the error internal-error"),
        ("/unfinished", "did not finish"),
        ("/wrong-length", "content-length"),
    ],
)
def test_no_whole_answer_is_a_bad_response(slot: Slot, path: str, words: str) -> None:
    failure = fail(slot, path).failure
    assert failure.reason is Reason.BAD_RESPONSE
    assert words in failure.message


@pytest.mark.parametrize(("component", "path"), [(PROBE, "/spin"), (LIGHT, "/spin"), (PROBE, "/sleep")])
def test_the_deadline_ends_a_loop_and_a_sleep(world: World, component: Path, path: str) -> None:
    slot = world.start(component, replace(SPEC, reuse=1000))
    began = time.monotonic()
    assert fail(slot, path, seconds=0.2).failure.reason is Reason.DEADLINE_EXCEEDED
    assert 0.2 <= time.monotonic() - began < 2


def test_an_endless_body_is_stopped(world: World, component: Path) -> None:
    slot = world.start(component, response_bytes=2**20)
    failure = fail(slot, "/endless", seconds=30).failure
    assert failure.reason is Reason.BAD_RESPONSE
    assert "responseBytes" in failure.message


def test_memory_has_its_limit(world: World, component: Path) -> None:
    failure = fail(world.start(component, memory=4 * 2**20), "/grow").failure
    assert failure.reason in (Reason.TRAPPED, Reason.OUT_OF_MEMORY)


def test_handles_that_are_never_dropped_are_bounded(slot: Slot) -> None:
    assert "more than 10000 resources" in fail(slot, "/leak").failure.message


def test_fuel_runs_out(world: World, component: Path) -> None:
    assert fail(world.start(component, fuel=5_000_000), "/spin").failure.reason is Reason.FUEL_EXHAUSTED


def test_a_body_is_readable_after_its_parent_was_dropped(slot: Slot) -> None:
    assert handle(slot, Request("probe", "POST", "/drop-parent", body=b"still")).body == b"still"


@pytest.mark.parametrize("path", ["/trap-after", "/spin-after"])
def test_what_was_answered_whole_counts_whatever_comes_after(world: World, slot: Slot, path: str) -> None:
    assert handle(slot, Request("probe", path=path), 0.3).body == b"whole"
    assert "after its answer" in world.services.lines[-1][1]
    assert handle(slot, Request("probe", path="/fine")).body == b"ok"


def test_a_handle_of_another_request_is_refused(world: World, component: Path) -> None:
    slot = world.start(component, replace(SPEC, reuse=10))
    assert handle(slot, Request("probe", path="/keep", headers=[("x-secret", "1")])).body == b"kept"
    assert "not of this request" in fail(slot, "/use").failure.message
