"""What a guest costs: a request of Layotto's id_2 kind in process, without HTTP; starting; resident memory.

Run with `python -m benchmarks guest`. The request is five guest calls (context_create,
request_headers, request_body, done, delete), two allocations and four host calls (get_buffer, get_state, set_buffer,
log).
"""

import statistics
import time
from pathlib import Path

from benchmarks.report import Figure, table
from reconciler.core.addresses import HostPolicy
from reconciler.core.observed import Failure
from reconciler.core.revision import InstanceLimits, InstanceSpec, ModuleSource
from reconciler.core.states import Reason
from reconciler.state.memory import MemoryStore
from reconciler.wasm.egress import EgressFailed, EgressRequest, EgressResponse
from reconciler.wasm.engine import Engine
from reconciler.wasm.ffi.fast import FastFfi
from reconciler.wasm.ffi.safe import SafeFfi
from reconciler.wasm.ffi.seam import Ffi
from reconciler.wasm.kind import CallContext, GuestFailed, KeyValueStore, Request, Response
from reconciler.wasm.proxy_wasm.guest import ProxyWasmKind
from reconciler.wasm.proxy_wasm.prepared import PreparedProxyWasm
from reconciler.wasm.proxy_wasm.shared import SharedSpaces

FUNCTION = b"""(module
 (import "env" "proxy_get_buffer_bytes" (func $get (param i32 i32 i32 i32 i32) (result i32)))
 (import "env" "proxy_set_buffer_bytes" (func $set (param i32 i32 i32 i32 i32) (result i32)))
 (import "env" "proxy_get_state" (func $state (param i32 i32 i32 i32 i32 i32) (result i32)))
 (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
 (memory (export "memory") 1)
 (data (i32.const 16) "id_2") (data (i32.const 32) "state_demo") (data (i32.const 48) "found")
 (func (export "malloc") (param i32) (result i32) (i32.const 1024))
 (func (export "proxy_abi_version_0_2_0"))
 (func (export "proxy_get_id")
   (drop (call $set (i32.const 8) (i32.const 0) (i32.const 4) (i32.const 16) (i32.const 4))))
 (func (export "proxy_on_context_create") (param i32 i32))
 (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
 (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1))
 (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) (i32.const 0))
 (func (export "proxy_on_request_body") (param i32 i32 i32) (result i32)
   (drop (call $get (i32.const 0) (i32.const 0) (local.get 1) (i32.const 0) (i32.const 4)))
   (drop (call $state (i32.const 32) (i32.const 10) (i32.load (i32.const 0)) (i32.load (i32.const 4))
     (i32.const 0) (i32.const 4)))
   (drop (call $set (i32.const 1) (i32.const 0) (i32.const 0x7fffffff)
     (i32.load (i32.const 0)) (i32.load (i32.const 4))))
   (drop (call $log (i32.const 2) (i32.const 48) (i32.const 5)))
   (i32.const 0))
 (func (export "proxy_on_done") (param i32) (result i32) (i32.const 1))
 (func (export "proxy_on_delete") (param i32)))"""
HEADERS = [("host", "localhost:2045"), ("id", "id_2"), ("user-agent", "bench"), ("accept", "*/*")]


class Services:
    """A store with one book, and nobody who reads the log."""

    def __init__(self) -> None:
        self._store = MemoryStore()
        self._store.set("book1", b"100")

    def log(self, level: int, message: str, request_id: str = "") -> None:
        pass

    def store(self, name: str) -> KeyValueStore | None:
        return self._store

    def invoke(self, request: Request, call: CallContext) -> Response:
        raise GuestFailed(Failure(Reason.NOT_FOUND, "there are no others"))


class _NoClient:
    def send(self, request: EgressRequest, policy: HostPolicy, deadline: float) -> EgressResponse:
        raise EgressFailed("not here")


def prepare(ffi: Ffi) -> tuple[Engine, PreparedProxyWasm]:
    engine = Engine(ffi)
    limits = InstanceLimits(2**26, 1.0, 5.0, None, 2**20, 2**20)
    source = ModuleSource("sha256:0")
    spec = InstanceSpec("id_2", source, "auto", "wasmtime", "{}", (), (), ("state_demo",), (), "id_2", limits)
    kind = ProxyWasmKind(engine, _NoClient(), SharedSpaces())
    return engine, kind.prepare(engine.compile(FUNCTION), spec, Services())


def request_time(ffi: Ffi, number: int = 5_000, rounds: int = 9) -> float:
    """Microseconds for a request, the median of some rounds."""
    engine, prepared = prepare(ffi)
    instance = prepared.start()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        for _ in range(number):
            request = Request("id_2", query="book1", headers=HEADERS, authority="localhost:2045")
            answer = instance.handle(request, CallContext(time.monotonic() + 1))
        times.append((time.perf_counter() - started) / number * 1e6)
    assert answer.body == b"100"
    instance.close()
    prepared.close()
    engine.close()
    return statistics.median(times)


def instances(number: int) -> tuple[float, float, float]:
    """Microseconds to start one, kilobytes resident of one, microseconds to close one."""
    engine, prepared = prepare(FastFfi())
    prepared.start().close()
    before, started = _resident(), time.perf_counter()
    running = [prepared.start() for _ in range(number)]
    taken, grown = time.perf_counter() - started, _resident() - before
    started = time.perf_counter()
    for instance in running:
        instance.close()
    closing = time.perf_counter() - started
    engine.close()
    return taken / number * 1e6, grown / number / 1000, closing / number * 1e6


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def figures() -> list[Figure]:
    """All figures of this file."""
    start, resident, close = zip(*(instances(10_000) for _ in range(3)), strict=True)
    return [
        Figure("an id_2 request in process, without HTTP", [request_time(FastFfi()) for _ in range(5)], "us", bar=40.0),
        Figure("the same over the public API", [request_time(SafeFfi(), number=500)], "us"),
        Figure("start of a tiny instance, among 10,000", start, "us"),
        Figure("close of one", close, "us"),
        Figure("resident memory of one", resident, "KB"),
    ]


if __name__ == "__main__":
    print(table(figures()))
