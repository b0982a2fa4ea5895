"""A guest that makes whatever host calls a request tells it to, and requests that tell it to make any.

The request's body is a program: a byte that names a host function, then its arguments, eight bytes each, one after
the other. The guest copies it to its memory and runs it there, so a call may well overwrite what comes next: whatever
the bytes become, they are a program again. Every import of the kind is among the functions.
"""

import random
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from reconciler.wasm.proxy_wasm.guest import _GROUPS
from reconciler.wasm.proxy_wasm.hostcalls import HostCall, table
from reconciler.wasm.proxy_wasm.state import Current

PROGRAM = 3 * 65536
"""Where the program lies; the memory ends one page after it."""
PAGES = 4

ENGINE_WASI = {
    "args_get": "ii",
    "args_sizes_get": "ii",
    "environ_get": "ii",
    "environ_sizes_get": "ii",
    "clock_res_get": "ii",
    "fd_close": "i",
    "fd_fdstat_get": "ii",
    "fd_prestat_get": "ii",
    "fd_prestat_dir_name": "iii",
    "fd_read": "iiii",
    "fd_seek": "iIii",
    "fd_filestat_get": "ii",
    "path_open": "iiiiiIIii",
    "random_get": "ii",
    "sched_yield": "",
}
"""Functions of the engine's own WASI."""


def host_calls() -> list[HostCall]:
    """Every function that the host offers to a proxy-wasm guest, and some of the engine's own."""
    ours = list(table(group(Current()) for group in _GROUPS).values())
    theirs = [HostCall(name, params, _never, "wasi_snapshot_preview1") for name, params in ENGINE_WASI.items()]
    return ours + theirs


def _never(*_values: int) -> int:
    raise AssertionError("the engine has its own")


def interpreter(calls: Sequence[HostCall]) -> bytes:
    """The guest, as WAT. It runs the program in each callback of a request, and answers with what is left of it."""
    imports = "\n".join(
        f'(import "{call.module}" "{call.name}" (func $f{index} (param {" ".join(call.types)}) (result i32)))'
        for index, call in enumerate(calls)
    )
    cases = "\n".join(_case(index, call) for index, call in enumerate(calls))
    labels = "\n".join(f"(block $b{index}" for index in reversed(range(len(calls))))
    targets = " ".join(f"$b{index}" for index in range(len(calls)))
    return f"""(module
      {imports}
      (memory (export "memory") {PAGES})
      (global $heap (mut i32) (i32.const 65536))
      (func (export "proxy_abi_version_0_2_1"))
      (func $malloc (export "malloc") (param $size i32) (result i32) (local $at i32)
        (local.set $at (global.get $heap))
        (global.set $heap (i32.add (local.get $at) (i32.and (local.get $size) (i32.const 0xffff))))
        (if (i32.gt_u (global.get $heap) (i32.const {PROGRAM})) (then (global.set $heap (i32.const 65536))))
        (local.get $at))
      (func $run (param $body i32)
        (local $at i32) (local $end i32)
        (drop (call $f{_index(calls, "proxy_get_buffer_bytes")} (i32.const 0) (i32.const 0) (i32.const 65535)
                (i32.const 32) (i32.const 36)))
        (memory.copy (i32.const {PROGRAM}) (i32.load (i32.const 32))
          (i32.and (i32.load (i32.const 36)) (i32.const 0x7fff)))
        (local.set $at (i32.const {PROGRAM}))
        (local.set $end (i32.add (local.get $at) (i32.and (i32.load (i32.const 36)) (i32.const 0x7fff))))
        (block $done (loop $next
          (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
          {labels}
          (br_table {targets} (i32.rem_u (i32.load8_u (local.get $at)) (i32.const {len(calls)})))
          {cases}
          (br $next))))
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
        (global.set $heap (i32.const 65536)) (call $run (i32.const 0)) (i32.const 0))
      (func (export "proxy_on_response_headers") (param i32 i32 i32) (result i32)
        (call $run (i32.const 0)) (i32.const 0))
      (func (export "proxy_on_http_call_response") (param i32 i32 i32 i32 i32) (call $run (i32.const 0)))
      (func (export "proxy_on_tick") (param i32) (call $run (i32.const 0)))
      (func (export "proxy_on_queue_ready") (param i32 i32) (call $run (i32.const 0)))
      (func (export "proxy_on_done") (param i32) (result i32) (i32.load8_u (i32.const 40)))
      (func (export "proxy_on_log") (param i32) (call $run (i32.const 0))))""".encode()


def _index(calls: Sequence[HostCall], name: str) -> int:
    return next(index for index, call in enumerate(calls) if call.name == name)


def _case(index: int, call: HostCall) -> str:
    pushed = " ".join(
        f"({kind}.load (i32.add (local.get $at) (i32.const {1 + 8 * place})))" for place, kind in enumerate(call.types)
    )
    step = f"(local.set $at (i32.add (local.get $at) (i32.const {1 + 8 * len(call.types)})))"
    return f") (drop (call $f{index} {pushed})) {step} (br $next)"


@dataclass
class Programs:
    """Random programs, the same for the same seed."""

    calls: Sequence[HostCall]
    seed: int

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        # The engine's own functions end a guest that names bad memory, and with it the rest of its program.
        self._weights = [1 if call.name in ENGINE_WASI else 20 for call in self.calls]

    def next(self) -> bytes:
        """One program of up to 24 calls; some of its pointers are good, some lie at an edge, some are wild."""
        chosen = self._random.choices(range(len(self.calls)), self._weights, k=self._random.randint(1, 24))
        return b"".join(
            bytes([index]) + b"".join(self._value(kind) for kind in self.calls[index].types) for index in chosen
        )

    def _value(self, kind: str) -> bytes:
        pick = self._random.random()
        end = PAGES * 65536
        if pick < 0.35:
            value = self._random.randint(0, 16)
        elif pick < 0.7:
            value = self._random.randrange(end)
        elif pick < 0.85:
            value = self._random.choice(
                (end - 1, end, end + 1, end - 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0)
            )
        else:
            value = self._random.getrandbits(64 if kind == "i64" else 32)
        return struct.pack("<Q", value)
