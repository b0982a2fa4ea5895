"""The engine: what it compiles, what it refuses, and the clock behind deadlines."""

import subprocess
import sys
import threading
import time

import pytest
import wasmtime

from reconciler.wasm.engine import Engine
from reconciler.wasm.kind import GuestFailed, ModuleRefused
from reconciler.wasm.proxy_wasm.instance import ProxyWasmInstance
from reconciler.wasm.ticker import TICK, EpochTicker
from tests.wasm.world import LIMITS, SPEC, World, handle, probe

SPIN = probe("(loop $for_ever (br $for_ever))")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "this is not wasm: it starts with nothing"),
        (b"\x7fELF rest", "this is not wasm: it starts with 7f 45 4c 46"),
        (b"\0asm\x01\0\0\0garbage", ""),
        (b"(module (func $f", ""),
    ],
)
def test_what_is_not_wasm_is_refused_in_words(engine: Engine, content: bytes, words: str) -> None:
    with pytest.raises(ModuleRefused) as caught:
        engine.compile(content)
    assert caught.value.failure.reason == "CompileFailed"
    assert caught.value.failure.next_step == "stall"
    assert words in caught.value.failure.message
    assert caught.value.failure.message


def test_the_shape_tells_imports_and_exports(engine: Engine) -> None:
    module = engine.compile(b'(module (import "env" "f" (func (param i32 i64) (result f32))) (memory (export "m") 1))')
    assert [(item.module, item.name, item.params, item.results) for item in module.shape.imports] == [
        ("env", "f", ("i32", "i64"), ("f32",))
    ]
    assert module.shape.exports["m"].kind == "memory"
    assert not module.shape.component
    module.close()
    module.close()


def test_a_component_is_recognised(engine: Engine) -> None:
    assert engine.compile(b"\0asm\x0d\0\x01\0").shape.component


def test_compiled_code_is_loaded_again(engine: Engine, world: World) -> None:
    first = engine.compile(probe().encode())
    again = engine.deserialize(engine.serialize(first), digest=first.digest)
    assert again.shape == first.shape
    instance = world.kind.prepare(again, SPEC, world.services).start()
    assert handle(instance).status == 200
    instance.close()


def test_code_of_the_other_variant_or_none_at_all_is_refused(engine: Engine) -> None:
    code = engine.serialize(engine.compile(probe().encode()))
    with pytest.raises(ModuleRefused):
        engine.deserialize(code, digest="sha256:0", metered=True)
    with pytest.raises(ModuleRefused):
        engine.deserialize(b"garbage", digest="sha256:0")


def test_the_fingerprint_names_version_and_machine(engine: Engine) -> None:
    assert engine.fingerprint.startswith("wasmtime-")
    assert engine.fingerprint == Engine().fingerprint


def test_several_memories_share_the_limit(engine: Engine) -> None:
    wat = """(module (memory 1) (memory 1) (memory 1) (tag)
      (func (export "grow") (result i32)
        (loop $again (br_if $again (i32.ne (memory.grow 0 (i32.const 1)) (i32.const -1))))
        (loop $again (br_if $again (i32.ne (memory.grow 1 (i32.const 1)) (i32.const -1))))
        (loop $again (br_if $again (i32.ne (memory.grow 2 (i32.const 1)) (i32.const -1))))
        (i32.add (memory.size 0) (i32.add (memory.size 1) (memory.size 2)))))"""
    module = engine.compile(wat.encode())
    again = engine.deserialize(engine.serialize(module), digest=module.digest)
    for one in (module, again):
        assert one.memories == 4  # the fourth is where the engine keeps exceptions
        with engine.store(False, LIMITS, one.memories) as store, wasmtime.Linker(engine.native(False)) as linker:
            assert one.module is not None
            store.set_epoch_deadline(1000)
            grow = linker.instantiate(store, one.module).exports(store)["grow"]
            assert isinstance(grow, wasmtime.Func)
            assert grow(store) * 65536 == LIMITS.memory * 3 // 4


def test_more_memories_than_an_instance_may_have_are_refused(engine: Engine) -> None:
    with pytest.raises(ModuleRefused, match="9 memories"):
        engine.compile(b"(module " + b"(memory 1)" * 9 + b")")


@pytest.mark.parametrize(
    "wat",
    ["(module (type (array i8)))", "(module (memory i64 1))", "(module (memory 1 2 shared))"],
    ids=["collected objects", "64-bit memory", "shared memory"],
)
def test_memory_that_no_limit_counts_is_refused(engine: Engine, wat: str) -> None:
    with pytest.raises((ModuleRefused, wasmtime.WasmtimeError)):
        module = engine.compile(wat.encode())
        assert module.module is not None
        with engine.store(False, LIMITS) as store, wasmtime.Linker(engine.native(False)) as linker:
            linker.instantiate(store, module.module)


@pytest.mark.parametrize("seconds", [0.1, 0.3])
def test_a_deadline_holds_within_a_fifth(world: World, seconds: float) -> None:
    took = []
    for _ in range(5):  # the machine may be busy: what the clock itself is off shows in the best try
        instance = world.start(SPIN)
        started = time.monotonic()
        with pytest.raises(GuestFailed) as caught:
            handle(instance, seconds=seconds)
        took.append(time.monotonic() - started)
        instance.close()
        assert caught.value.failure.reason == "DeadlineExceeded"
        assert caught.value.fatal
    assert seconds <= min(took) <= seconds * 1.2


def test_a_call_without_time_left_does_not_start(world: World) -> None:
    instance = world.start(probe())
    with pytest.raises(GuestFailed) as caught:
        handle(instance, seconds=-1)
    assert (caught.value.failure.reason, caught.value.fatal) == ("DeadlineExceeded", False)
    assert handle(instance).status == 200
    instance.close()


def test_deadlines_hold_on_many_threads_at_once(world: World) -> None:
    instances = [world.start(SPIN) for _ in range(8)]
    reasons: list[str] = []

    def work(instance: ProxyWasmInstance) -> None:
        try:
            handle(instance, seconds=0.1)
        except GuestFailed as error:
            reasons.append(error.failure.reason)

    threads = [threading.Thread(target=work, args=(instance,)) for instance in instances]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for instance in instances:
        instance.close()
    assert reasons == ["DeadlineExceeded"] * 8


def test_the_clock_sleeps_when_no_guest_runs() -> None:
    advanced = threading.Event()
    ticker = EpochTicker(advanced.set)
    assert not ticker.awake
    ticker.enter("call")
    assert advanced.wait(5)
    ticker.leave("call")
    deadline = time.monotonic() + 10
    while ticker.awake and time.monotonic() < deadline:
        threading.Event().wait(TICK)
    assert not ticker.awake
    advanced.clear()
    ticker.enter("again")
    assert advanced.wait(5)
    ticker.leave("again")
    ticker.close()
    ticker.close()


def test_ticks_never_end_early() -> None:
    ticker = EpochTicker(lambda: None)
    assert [ticker.ticks(seconds) for seconds in (0.1, 0.001, -1)] == [11, 2, 1]


def test_a_clock_that_fell_behind_owes_its_ticks_to_new_deadlines() -> None:
    stuck, advanced = threading.Event(), threading.Event()

    def advance() -> None:
        advanced.set()
        stuck.wait(10)

    ticker = EpochTicker(advance)
    ticker.enter("call")
    assert advanced.wait(10)
    deadline = time.monotonic() + 10
    while ticker.ticks(0.1) < 15 and time.monotonic() < deadline:
        pass
    assert ticker.ticks(0.1) >= 15, "it is 4 ticks behind and will catch up"
    stuck.set()
    ticker.leave("call")
    ticker.close()


def test_fuel_ends_a_guest_that_works_too_much(world: World) -> None:
    instance = world.start(SPIN, fuel=10_000)
    with pytest.raises(GuestFailed) as caught:
        handle(instance)
    assert caught.value.failure.reason == "FuelExhausted"
    instance.close()


def test_fuel_is_given_anew_for_each_request(world: World) -> None:
    instance = world.start(probe(), fuel=2_000)
    for _ in range(20):
        assert handle(instance).status == 200
    instance.close()


def test_endless_recursion_is_a_stack_overflow(world: World) -> None:
    instance = world.start(probe("(call $deep)", extra="(func $deep (call $deep))"))
    with pytest.raises(GuestFailed) as caught:
        handle(instance)
    assert caught.value.failure.reason == "StackOverflow"
    assert "deep" in caught.value.failure.message
    instance.close()


def test_a_module_that_needs_more_memory_than_its_limit_does_not_start(world: World) -> None:
    with pytest.raises(GuestFailed) as caught:
        world.start(probe(), memory=1000)
    assert caught.value.failure.reason == "OutOfMemory"


def test_a_table_is_bounded_too(world: World) -> None:
    with pytest.raises(GuestFailed) as caught:
        world.start(probe(extra="(table 100000000 funcref)"))
    assert caught.value.failure.reason == "OutOfMemory"


FULL = """
import resource
from reconciler.wasm.engine import Engine
from reconciler.wasm.kind import GuestFailed
from tests.wasm.world import World, probe
engine = Engine()
prepared = World(engine).prepare(probe())
first = prepared.start()
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + 2**31, size + 2**31))
try:
    prepared.start()
except GuestFailed as error:
    print(error.failure.reason, error.failure.message)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits its own address space")
def test_a_process_that_can_hold_no_more_says_so() -> None:
    found = subprocess.run([sys.executable, "-c", FULL], capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.startswith("CapacityExhausted start: this process can hold no more instances")
