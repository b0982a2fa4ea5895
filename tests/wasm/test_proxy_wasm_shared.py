"""What instances share, from many threads at once; maps on the wire, from any bytes."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.wasm.proxy_wasm import abi, wire
from reconciler.wasm.proxy_wasm.shared import SharedSpace, SharedSpaces

LATIN = st.text(st.characters(max_codepoint=255))


def test_compare_and_swap_loses_no_update() -> None:
    space = SharedSpace("s")
    space.set(b"n", b"0", 0)

    def work() -> None:
        for _ in range(200):
            while True:
                found = space.get(b"n")
                assert found is not None
                if space.set(b"n", str(int(found[0]) + 1).encode(), found[1]) == abi.OK:
                    break

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert space.get(b"n") == (b"800", 801)


def test_a_namespace_lives_as_long_as_its_users() -> None:
    spaces = SharedSpaces()
    first, second = spaces.acquire("a"), spaces.acquire("a")
    assert first is second
    first.set(b"k", b"v", 0)
    spaces.release(first)
    assert spaces.acquire("a").get(b"k") == (b"v", 1)
    spaces.release(first)
    spaces.release(first)
    assert spaces.snapshot() == ()
    assert spaces.acquire("a").get(b"k") is None


def test_removing_items_makes_room_again() -> None:
    space = SharedSpace("s")
    number = space.register_queue(b"q")
    item = bytes(2**20)
    while space.enqueue(number, item) == abi.OK:
        pass
    assert space.enqueue(number, item) == abi.INTERNAL_FAILURE
    assert space.dequeue(number)[0] == abi.OK
    assert space.enqueue(number, item) == abi.OK


def test_a_histogram_counts_its_records() -> None:
    space = SharedSpace("s")
    _, number = space.define_metric(abi.HISTOGRAM, "h")
    assert [space.record_metric(number, value) for value in (3, 4)] == [abi.OK, abi.OK]
    assert space.increment_metric(number, 1) == abi.BAD_ARGUMENT
    assert space.metrics() == (("h", abi.HISTOGRAM, 7, 2),)


@given(st.lists(st.tuples(LATIN, LATIN), max_size=20))
def test_a_map_comes_back_as_it_went(pairs: list[tuple[str, str]]) -> None:
    data = wire.encode_pairs(pairs)
    assert len(data) == wire.encoded_size(pairs)
    assert wire.decode_pairs(data) == [(key.lower(), value) for key, value in pairs]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_map_or_a_value_error(data: bytes) -> None:
    try:
        pairs = wire.decode_pairs(data)
    except ValueError:
        return
    assert len(pairs) <= wire.MAX_PAIRS


def test_the_example_of_the_specification() -> None:
    data = wire.encode_pairs([("a", "1"), ("b", "22")])
    assert data == b"\x02\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\x02\0\0\0a\x001\0b\x0022\0"
    assert wire.decode_pairs(b"") == wire.decode_pairs(b"\0") == []


@pytest.mark.parametrize("separator", [b"\0", b"0"])
def test_layottos_separator_is_skipped_too(separator: bytes) -> None:
    data = b"\x01\0\0\0\x01\0\0\0\x01\0\0\0a" + separator + b"1" + separator
    assert wire.decode_pairs(data) == [("a", "1")]
