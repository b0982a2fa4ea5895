"""What a call costs beside the least that it can cost, and beside Extism: the other side in the same run, in turn.

The least: the same module, the same guest calls and host calls over the C API, and nothing else: no request, no
deadline, no bounds, no bodies that differ. Once as one would write that in ctypes, once over our own, quicker boundary.
Run with `python -m benchmarks calls`; Extism is the PyPI package `extism`.
"""

import importlib
import importlib.util
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import wasmtime

from benchmarks.guest import FUNCTION, HEADERS, Services, prepare
from benchmarks.plain_ctypes import PlainCtypes
from benchmarks.report import Figure
from reconciler.core.revision import InstanceLimits, InstanceSpec, ModuleSource
from reconciler.wasm.engine import Engine
from reconciler.wasm.ffi.fast import FastFfi
from reconciler.wasm.ffi.memory import GuestMemory
from reconciler.wasm.ffi.seam import Guest, Signature
from reconciler.wasm.kind import CallContext, Request
from reconciler.wasm.wasi_command import WasiCommandKind

ROUNDS = 15
PLAIN = b'(module (memory (export "memory") 1) (func (export "run") (result i32) (i32.const 0)))'
EXPORTS = (
    "malloc",
    "proxy_on_context_create",
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_done",
    "proxy_on_delete",
)
HELLO = Path(__file__).parents[1] / "examples" / "wasi-c" / "hello.wasm"

Timed = Callable[[], object]


def microseconds(work: Timed, number: int) -> float:
    """CPU time of one call, of `number` in a row: the clock would count what else runs on the machine."""
    started = time.thread_time()
    for _ in range(number):
        work()
    return (time.thread_time() - started) / number * 1e6


class Bare:
    """An id_2 request as nothing but its calls: five of the guest, four of the host, two allocations."""

    def __init__(self, engine: Engine, ffi: FastFfi | PlainCtypes) -> None:
        module = engine.compile(FUNCTION).module
        assert module is not None
        self._engine = engine
        self._module = module
        self._linker = wasmtime.Linker(engine.native(False))
        five, six, three = ("i32",) * 5, ("i32",) * 6, ("i32",) * 3
        self._kept = [
            ffi.define(self._linker, "env", name, Signature(types, ("i32",), fault=6, broken=10), function, _go_on)
            for name, types, function in (
                ("proxy_get_buffer_bytes", five, self._get),
                ("proxy_set_buffer_bytes", five, self._set),
                ("proxy_get_state", six, self._state),
                ("proxy_log", three, self._log),
            )
        ]
        self._store = wasmtime.Store(engine.native(False))
        self._store.set_epoch_deadline(1 << 40)
        instance = self._linker.instantiate(self._store, module)
        self._guest: Guest = ffi.bind(self._store, instance, EXPORTS)
        memory = self._guest.memory
        assert memory is not None
        self._memory: GuestMemory = memory
        self.answer = b""

    def request(self) -> None:
        """The calls, in their order."""
        call = self._guest.call
        call(1, 2, 1)
        call(2, 2, 4, 0)
        call(3, 2, 5, 1)
        call(4, 2)
        call(5, 2)

    def _give(self, data: bytes, address_at: int, size_at: int) -> int:
        address = self._guest.call(0, len(data))
        self._memory.write(address, data)
        self._memory.write_u32(address_at, address)
        self._memory.write_u32(size_at, len(data))
        return 0

    def _get(self, _kind: int, _start: int, _length: int, address_at: int, size_at: int) -> int:
        return self._give(b"book1", address_at, size_at)

    def _state(self, _store: int, _size: int, key: int, key_size: int, address_at: int, size_at: int) -> int:
        self._memory.read(key, key_size)
        return self._give(b"100", address_at, size_at)

    def _set(self, _kind: int, _start: int, _length: int, address: int, size: int) -> int:
        self.answer = self._memory.read(address, size)
        return 0

    def _log(self, _level: int, address: int, size: int) -> int:
        self._memory.read(address, size)
        return 0


def requests() -> list[Figure]:
    """An id_2 request here and as bare calls, in turn."""
    engine, prepared = prepare(FastFfi())
    instance, least, loop = prepared.start(), Bare(engine, FastFfi()), Bare(engine, PlainCtypes())

    def ours() -> None:
        request = Request("id_2", query="book1", headers=HEADERS, authority="localhost:2045")
        instance.handle(request, CallContext(time.monotonic() + 1))

    for bare in (least, loop):
        bare.request()
        assert bare.answer == b"100"
    rounds = [[microseconds(work, 2000) for work in (ours, loop.request, least.request)] for _ in range(ROUNDS)]
    mine, plain, quick = zip(*rounds, strict=True)
    return [
        Figure("an id_2 request in process", mine, "us", bar=22.0),
        Figure("its calls in a loop of ctypes", plain, "us"),
        Figure("its calls over our own boundary", quick, "us"),
        Figure(
            "an id_2 request, to the loop of ctypes", [a / b for a, b in zip(mine, plain, strict=True)], "", bar=1.5
        ),
        Figure("an id_2 request, to our own boundary", [a / b for a, b in zip(mine, quick, strict=True)], ""),
    ]


def plain_calls() -> list[Figure]:
    """A call of one exported function here and by Extism, in turn."""
    if importlib.util.find_spec("extism") is None:
        print("calls: extism (PyPI) is not installed; nothing to compare with")
        return []
    extism: Any = importlib.import_module("extism")
    engine = Engine(FastFfi())
    module = engine.compile(PLAIN).module
    assert module is not None
    store = wasmtime.Store(engine.native(False))
    store.set_epoch_deadline(1 << 40)
    call = engine.ffi.bind(store, wasmtime.Instance(store, module, []), ["run"]).call
    plugin = extism.Plugin({"wasm": [{"data": bytes(wasmtime.wat2wasm(PLAIN.decode()))}]})
    pairs = [
        (microseconds(lambda: call(0), 5000), microseconds(lambda: plugin.call("run", b""), 500)) for _ in range(ROUNDS)
    ]
    return [
        Figure("a plain call", [mine for mine, _ in pairs], "us"),
        Figure("a plain call by Extism", [theirs for _, theirs in pairs], "us"),
        Figure("Extism's plain call, to ours", [theirs / mine for mine, theirs in pairs], "", bar=5.0, at_least=True),
    ]


def commands() -> list[Figure]:
    """A request that a WASI command answers: a new instance, its start, its output."""
    engine = Engine(FastFfi())
    limits = InstanceLimits(2**26, 1.0, 5.0, None, 2**20, 2**20)
    spec = InstanceSpec("hello", ModuleSource("sha256:0"), "auto", "wasmtime", "{}", (), (), (), (), "hello", limits)
    prepared = WasiCommandKind(engine).prepare(engine.compile(HELLO.read_bytes()), spec, Services())
    instance, numbers = prepared.start(), count()

    def ask() -> None:
        request = Request("hello", query=f"name={next(numbers)}", headers=HEADERS, authority="localhost:2045")
        assert instance.handle(request, CallContext(time.monotonic() + 1)).status == 200

    times = [microseconds(ask, 300) for _ in range(ROUNDS)]
    instance.close()
    prepared.close()
    return [Figure("a request that a WASI command answers, in process", times, "us", bar=150.0)]


def figures() -> list[Figure]:
    """All figures of this file."""
    return [*requests(), *plain_calls(), *commands()]


def _ratios(ours: Sequence[float], theirs: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(ours, theirs, strict=True)]


def _go_on() -> None:
    """The guest need not pause."""
