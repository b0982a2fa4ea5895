"""`wasi:http/types` fields, as a component calls them: the host's own, and the adapter's."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from reconciler.wasm.kind import GuestFailed, Request
from reconciler.wasm.wasi_http.light import LightSlot
from tests.wasi_http.world import LIGHT, PROBE, Slot, World, handle

Order = tuple[str, bytes, bytes]
"""A letter that probe.c knows, a name and a value."""


@pytest.fixture(params=[PROBE, LIGHT], ids=["host", "adapter"])
def slot(world: World, request: pytest.FixtureRequest) -> Slot:
    path: Path = request.param
    slot = world.start(path)
    assert isinstance(slot, LightSlot) == (path is LIGHT)
    return slot


def tell(slot: Slot, *orders: Order, headers: Sequence[tuple[str, str]] = ()) -> list[str]:
    """What the fields say to the orders, one after the other."""
    body = b"".join(bytes([ord(letter), len(name), len(value)]) + name + value for letter, name, value in orders)
    answer = handle(slot, Request("probe", "POST", "/fields", headers=list(headers), body=body))
    return answer.body.decode("latin-1").splitlines()


def test_names_are_found_however_they_are_written_and_keep_their_order(slot: Slot) -> None:
    assert tell(
        slot,
        ("a", b"X-A", b"1"),
        ("a", b"x-b", b"2"),
        ("a", b"x-a", b"3"),
        ("g", b"x-A", b""),
        ("e", b"", b""),
        ("s", b"X-a", b"4"),
        ("d", b"X-B", b""),
        ("e", b"", b""),
        ("h", b"x-A", b""),
        ("h", b"x-b", b""),
    ) == ["ok", "ok", "ok", "1,3,ok", "x-a=1,x-b=2,x-a=3,ok", "ok", "ok", "x-a=4,ok", "ok", "invalid"]


@pytest.mark.parametrize(
    ("name", "value", "answer"),
    [
        (b"Connection", b"close", "forbidden"),
        (b"host", b"a", "forbidden"),
        (b"transfer-encoding", b"chunked", "forbidden"),
        (b"", b"", "invalid"),
        (b"a b", b"", "invalid"),
        (b"a:", b"", "invalid"),
        ("ä".encode(), b"", "invalid"),
        ("λ".encode(), b"", "invalid"),
        (b"a", b"x\r\ny: z", "invalid"),
        (b"a", b"\0", "invalid"),
        (b"a", b"\x7f", "invalid"),
        (b"a", b"\t\xff", "ok"),
        (b"!#$%&'*+-.^_`|~09azAZ", b"", "ok"),
    ],
)
def test_what_no_message_may_have_is_refused(slot: Slot, name: bytes, value: bytes, answer: str) -> None:
    assert tell(slot, ("a", name, value), ("s", name, value), ("f", name, value)) == [answer] * 3


def test_received_fields_cannot_be_changed_but_their_clones_can(slot: Slot) -> None:
    assert tell(
        slot,
        ("r", b"", b""),
        ("e", b"", b""),
        ("a", b"b", b""),
        ("s", b"b", b""),
        ("d", b"x-a", b""),
        ("c", b"", b""),
        ("a", b"b", b""),
        ("r", b"", b""),
        ("e", b"", b""),
        headers=[("X-A", "1"), ("Host", "a"), ("Keep-Alive", "5")],
    ) == ["ok", "x-a=1,ok", "immutable", "immutable", "immutable", "ok", "ok", "ok", "x-a=1,ok"]


def test_fields_have_a_bound(slot: Slot) -> None:
    with pytest.raises(GuestFailed, match="131072 bytes"):
        tell(slot, *[("m", b"x-a", b"a" * 250)] * 3)
