"""`wasi:keyvalue` over the state stores, called by a component and as a component calls it."""

import pytest

from reconciler.state.memory import MAX_BYTES, MemoryStore
from reconciler.wasm.kind import CallContext, Request
from reconciler.wasm.wasi_http.run import Run
from reconciler.wasm.wasi_http.stores import ATOMICS, MAX_VALUE, STORE, Bucket
from reconciler.wasm.wasi_http.streams import Streams
from tests.wasi_http.world import World, handle
from tests.wasm.world import SPEC


def test_a_component_writes_lists_counts_and_swaps(world: World) -> None:
    slot = world.start()

    def do(what: str) -> bytes:
        return handle(slot, Request("probe", path=f"/kv/{what}")).body

    assert [do("e"), do("s_7"), do("e"), do("l")] == [b"no", b"ok", b"yes", b"1"]
    assert do("i") == b":"  # ten, as a digit
    assert world.services.counts.get("k") == b"10"
    assert do("w_swapped") == b"ok"
    assert world.services.counts.get("k") == b"swapped"
    assert do("i") == b"error"
    assert do("x_lost") == b"error"
    assert world.services.counts.get("k") == b"1"
    assert [do("d"), do("e"), do("l")] == [b"ok", b"no", b"0"]


@pytest.fixture
def run(world: World) -> Run:
    """A request under way; stores use none of its streams."""
    return Run(SPEC, world.services, Request("probe"), CallContext(0.0), object.__new__(Streams), {})


def test_what_no_store_can_do_is_told(run: Run) -> None:
    bucket = run.give(Bucket(MemoryStore())).rep
    set_one, add = STORE["[method]bucket.set"], ATOMICS["increment"]
    assert set_one(run, bucket, "k", bytes(MAX_VALUE + 1))[1][0] == "other"
    assert STORE["[method]bucket.list-keys"](run, bucket, "-1")[1][0] == "other"
    assert add(run, bucket, "n", 2**63 - 1) == (True, 2**63 - 1)
    assert "64 bits" in add(run, bucket, "n", 1)[1][1]
    assert set_one(run, bucket, "n", b"12a")[0]
    assert "whole number" in add(run, bucket, "n", 1)[1][1]
    for number in range(MAX_BYTES // MAX_VALUE + 1):
        answer = set_one(run, bucket, f"k{number}", bytes(MAX_VALUE))
    assert "full" in answer[1][1]


def test_keys_come_in_pages_whose_cursor_is_a_text_and_a_number(run: Run) -> None:
    store = MemoryStore()
    for number in range(300):
        store.set(f"{number}", b"")
    bucket = run.give(Bucket(store)).rep
    list_keys = STORE["[method]bucket.list-keys"]
    _, (first, cursor) = list_keys(run, bucket, None)
    assert (len(first), cursor, cursor.__index__()) == (256, "256", 256)
    for form in (cursor, 256):
        _, (rest, end) = list_keys(run, bucket, form)
        assert (len(rest), end) == (44, None)
