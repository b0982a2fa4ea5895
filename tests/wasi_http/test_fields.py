"""`wasi:http/types` fields, called as a guest calls them."""

import pytest

from reconciler.wasm.ffi.components import GuestRefused
from reconciler.wasm.kind import CallContext, Request
from reconciler.wasm.wasi_http.fields import FUNCTIONS, Fields
from reconciler.wasm.wasi_http.run import Run
from reconciler.wasm.wasi_http.streams import Streams
from tests.wasi_http.world import World
from tests.wasm.world import SPEC

OK = (True, None)
INVALID = (False, ("invalid-syntax", None))
FORBIDDEN = (False, ("forbidden", None))
IMMUTABLE = (False, ("immutable", None))


@pytest.fixture
def run(world: World) -> Run:
    """A request under way. Fields use none of its streams."""
    streams = object.__new__(Streams)
    return Run(SPEC, world.services, Request("probe"), CallContext(0.0), streams, {})


def new(run: Run) -> int:
    rep: int = FUNCTIONS["[constructor]fields"](run).rep
    return rep


def test_names_are_found_however_they_are_written_and_keep_their_order(run: Run) -> None:
    fields = new(run)
    assert FUNCTIONS["[method]fields.append"](run, fields, "X-A", b"1") == OK
    assert FUNCTIONS["[method]fields.append"](run, fields, "x-b", b"2") == OK
    assert FUNCTIONS["[method]fields.append"](run, fields, "x-a", b"3") == OK
    assert FUNCTIONS["[method]fields.get"](run, fields, "x-A") == [b"1", b"3"]
    assert FUNCTIONS["[method]fields.entries"](run, fields) == [("x-a", b"1"), ("x-b", b"2"), ("x-a", b"3")]
    assert FUNCTIONS["[method]fields.set"](run, fields, "X-a", [b"4"]) == OK
    assert FUNCTIONS["[method]fields.delete"](run, fields, "X-B") == OK
    assert FUNCTIONS["[method]fields.entries"](run, fields) == [("x-a", b"4")]
    assert not FUNCTIONS["[method]fields.has"](run, fields, "x-b")


@pytest.mark.parametrize(
    ("name", "value", "answer"),
    [
        ("Connection", b"close", FORBIDDEN),
        ("host", b"a", FORBIDDEN),
        ("transfer-encoding", b"chunked", FORBIDDEN),
        ("", b"", INVALID),
        ("a b", b"", INVALID),
        ("a:", b"", INVALID),
        ("a", b"x\r\ny: z", INVALID),
        ("a", b"\0", INVALID),
        ("a", b"\t\xff", OK),
    ],
)
def test_what_no_message_may_have_is_refused(run: Run, name: str, value: bytes, answer: object) -> None:
    fields = new(run)
    assert FUNCTIONS["[method]fields.append"](run, fields, name, value) == answer
    assert FUNCTIONS["[method]fields.set"](run, fields, name, [value]) == answer
    good, _ = FUNCTIONS["[static]fields.from-list"](run, [(name, value)])
    assert good == (answer == OK)


def test_received_fields_cannot_be_changed_but_their_clones_can(run: Run) -> None:
    fields = run.give(Fields.received([("X-A", "1"), ("Host", "a"), ("Keep-Alive", "5")])).rep
    assert FUNCTIONS["[method]fields.entries"](run, fields) == [("x-a", b"1")]
    assert FUNCTIONS["[method]fields.append"](run, fields, "b", b"") == IMMUTABLE
    assert FUNCTIONS["[method]fields.set"](run, fields, "b", []) == IMMUTABLE
    assert FUNCTIONS["[method]fields.delete"](run, fields, "x-a") == IMMUTABLE
    clone = FUNCTIONS["[method]fields.clone"](run, fields).rep
    assert FUNCTIONS["[method]fields.append"](run, clone, "b", b"") == OK
    assert FUNCTIONS["[method]fields.entries"](run, fields) == [("x-a", b"1")]


def test_fields_have_a_bound(run: Run) -> None:
    fields = new(run)
    with pytest.raises(GuestRefused, match="131072 bytes"):
        for _ in range(200):
            FUNCTIONS["[method]fields.append"](run, fields, "x-a", bytes(1000).replace(b"\0", b"a"))
