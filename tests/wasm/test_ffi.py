"""One contract for both ways over the boundary."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import wasmtime

from reconciler.wasm.engine import Engine
from reconciler.wasm.failures import failure_of
from reconciler.wasm.ffi.fast import FastFfi
from reconciler.wasm.ffi.memory import GuestMemory, OutOfBoundsError
from reconciler.wasm.ffi.safe import SafeFfi
from reconciler.wasm.ffi.seam import GUEST_ERRORS, Ffi, Guest, Signature
from tests.wasm.world import LIMITS

MODULE = b"""(module
  (import "env" "add" (func $add (param i32 i32) (result i32)))
  (import "env" "wide" (func $wide (param i32 i64 i32) (result i32)))
  (import "env" "none" (func $none (result i32)))
  (import "env" "hush" (func $hush))
  (import "env" "note" (func $note (param i32)))
  (memory (export "memory") 1)
  (func (export "sum") (param i32 i32) (result i32) (call $add (local.get 0) (local.get 1)))
  (func (export "mix") (result i32)
    (call $wide (i32.const 1) (i64.const -2) (i32.const 3)))
  (func (export "tell") (param i32) (call $note (local.get 0)))
  (func (export "ask") (result i32) (call $hush) (call $none))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func $inner unreachable)
  (func $outer (export "trap") (call $inner))
  (func (export "same") (param i32) (result i32) (local.get 0))
  (func (export "nothing")))"""
NAMES = ("sum", "mix", "tell", "grow", "trap", "same", "nothing", "ask", "absent")
BUG = 99
SUM, MIX, TELL, GROW, TRAP, SAME, NOTHING, ASK, ABSENT = range(9)


@dataclass
class Linked:
    guest: Guest
    seen: list[tuple[int, ...]]
    store: wasmtime.Store
    kept: list[object]

    @property
    def memory(self) -> GuestMemory:
        assert self.guest.memory is not None
        return self.guest.memory


@pytest.fixture(scope="module", params=[FastFfi, SafeFfi], ids=["fast", "safe"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = Engine(request.param())
    yield engine
    engine.close()


def link(engine: Engine) -> Linked:
    ffi: Ffi = engine.ffi
    seen: list[tuple[int, ...]] = []
    linker = wasmtime.Linker(engine.native(False))

    def add(left: int, right: int) -> int:
        seen.append((left, right))
        if right == 13:
            raise OutOfBoundsError
        if right == BUG:
            raise ZeroDivisionError
        return (left + right) & 0xFFFFFFFF

    def wide(*values: int) -> int:
        seen.append(values)
        return 7

    def note(value: int) -> None:
        seen.append((value,))

    def unhurried() -> None:
        return

    two = Signature(("i32", "i32"), ("i32",), fault=6, broken=10)
    kept = [
        ffi.define(linker, "env", "add", two, add, unhurried),
        ffi.define(
            linker, "env", "wide", Signature(("i32", "i64", "i32"), ("i32",), fault=6, broken=10), wide, unhurried
        ),
        ffi.define(linker, "env", "none", Signature((), ("i32",), fault=6, broken=10), lambda: 4, unhurried),
        ffi.define(linker, "env", "hush", Signature((), (), fault=6, broken=10), lambda: None, unhurried),
        ffi.define(linker, "env", "note", Signature(("i32",), (), fault=6, broken=10), note, unhurried),
    ]
    module = engine.compile(MODULE)
    assert module.module is not None
    store = engine.store(False, LIMITS)
    store.set_epoch_deadline(1000)
    instance = linker.instantiate_pre(module.module).instantiate(store)
    guest = ffi.bind(store, instance, NAMES)
    return Linked(guest, seen, store, kept)


@pytest.fixture
def linked(engine: Engine) -> Linked:
    return link(engine)


def test_numbers_are_unsigned_both_ways(linked: Linked) -> None:
    assert linked.guest.call(SUM, 0xFFFFFFF0, 4) == 0xFFFFFFF4
    assert linked.seen == [(0xFFFFFFF0, 4)]
    assert linked.guest.call(SAME, 0x80000000) == 0x80000000


def test_a_host_function_gets_64_bit_integers_whole(linked: Linked) -> None:
    assert linked.guest.call(MIX) == 7
    assert linked.seen == [(1, 0xFFFFFFFFFFFFFFFE, 3)]


def test_functions_without_results_are_called(linked: Linked) -> None:
    linked.guest.call(TELL, 5)
    linked.guest.call(NOTHING)
    assert linked.seen == [(5,)]


def test_bad_memory_in_a_host_function_is_its_fault_status(linked: Linked) -> None:
    assert linked.guest.call(SUM, 1, 13) == 6


def test_host_functions_without_parameters_get_none(linked: Linked) -> None:
    assert linked.guest.call(ASK) == 4


def test_a_missing_export_is_known(linked: Linked) -> None:
    assert linked.guest.has(SUM)
    assert not linked.guest.has(ABSENT)


def test_a_trap_names_the_guests_functions_and_the_instance_answers_no_less(linked: Linked) -> None:
    with pytest.raises(GUEST_ERRORS) as caught:
        linked.guest.call(TRAP)
    failure = failure_of(caught.value)
    assert failure.message == "wasm trap: wasm `unreachable` instruction executed (in inner < outer)"
    assert linked.guest.call(SAME, 3) == 3


def test_a_deadline_interrupts(engine: Engine, linked: Linked) -> None:
    linked.guest.set_deadline(0)
    with pytest.raises(GUEST_ERRORS) as caught:
        linked.guest.call(SAME, 1)
    assert failure_of(caught.value).reason == "DeadlineExceeded"


def test_memory_is_read_and_written_where_the_guest_has_it(linked: Linked) -> None:
    memory = linked.memory
    memory.write(65532, b"abcd")
    memory.write_u32(8, 0xDEADBEEF)
    assert memory.read(65532, 4) == b"abcd"
    assert memory.read_u32(8) == 0xDEADBEEF
    assert memory.read(65536, 0) == b""


@pytest.mark.parametrize(("address", "length"), [(65533, 4), (65536, 1), (0, 65537), (0xFFFFFFFF, 0xFFFFFFFF)])
def test_nothing_outside_is_touched(linked: Linked, address: int, length: int) -> None:
    memory = linked.memory
    with pytest.raises(OutOfBoundsError):
        memory.check(address, length)
    with pytest.raises(OutOfBoundsError):
        memory.read(address, length)
    if length < 1 << 20:
        with pytest.raises(OutOfBoundsError):
            memory.write(address, bytes(length))


def test_memory_that_grew_is_seen_and_keeps_its_base(linked: Linked) -> None:
    memory = linked.memory
    memory.write(0, b"first")
    assert linked.guest.call(GROW, 3) == 1
    memory.write(4 * 65536 - 4, b"last")
    assert memory.read(4 * 65536 - 4, 4) == b"last"
    assert memory.read(0, 5) == b"first"


def test_memory_does_not_grow_past_the_limit(linked: Linked) -> None:
    assert linked.guest.call(GROW, LIMITS.memory // 65536) == 0xFFFFFFFF


def test_many_threads_call_their_own_instances(engine: Engine) -> None:
    guests = [link(engine) for _ in range(8)]
    wrong: list[tuple[int, int]] = []

    def work(number: int) -> None:
        for value in range(300):
            if guests[number].guest.call(SUM, value, number * 1000) != value + number * 1000:
                wrong.append((number, value))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert all(len(linked.seen) == 300 for linked in guests)


def test_a_bug_in_a_host_function_is_a_status_and_a_line_in_the_log(
    linked: Linked, caplog: pytest.LogCaptureFixture
) -> None:
    assert linked.guest.call(SUM, 1, BUG) == 10
    assert "host function add failed" in caplog.text
    assert linked.guest.call(SUM, 1, 2) == 3


def test_the_fast_way_fits_the_engine_that_the_project_asks_for() -> None:
    assert FastFfi.unfit() == ""
