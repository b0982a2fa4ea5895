"""The WASI functions that this host answers itself; the rest are the engine's own, with nothing granted.

fd_write, because what a guest prints belongs in its log; poll_oneoff, because the engine's would sleep past the
deadline of the call; clock_time_get, because the engine's monotonic clock is not the one that poll_oneoff sleeps by.
"""

import struct
import time
from collections.abc import Iterable
from typing import Final

from reconciler.wasm.proxy_wasm import abi
from reconciler.wasm.proxy_wasm.hostcalls import WASI, HostCall, HostCallGroup
from reconciler.wasm.proxy_wasm.state import MAX_LINE, GuestState

_LEVELS: Final = {1: abi.INFO, 2: abi.ERROR}
_MAX_VECTORS: Final = 1024
_MAX_SUBSCRIPTIONS: Final = 64
_SUBSCRIPTION: Final = struct.Struct("<QB7xI4xQQH6x")
_EVENT: Final = struct.Struct("<QHB21x")
_CLOCK: Final = 0
_MONOTONIC: Final = 1
_ABSOLUTE: Final = 1


class WasiCalls(HostCallGroup):
    """Printing, clocks, sleeping."""

    def calls(self) -> Iterable[HostCall]:
        """The functions of the group."""
        return (
            HostCall("fd_write", "iiii", self.write, WASI),
            HostCall("poll_oneoff", "iiii", self.poll, WASI),
            HostCall("clock_time_get", "iIi", self.now, WASI),
        )

    def now(self, clock: int, _precision: int, time_at: int) -> int:
        """The time by a clock, in nanoseconds."""
        if clock > _MONOTONIC:
            return abi.WASI_NOTSUP
        value = time.monotonic_ns() if clock == _MONOTONIC else time.time_ns()
        self._current.state.memory.write(time_at, value.to_bytes(8, "little"))
        return abi.WASI_SUCCESS

    def write(self, descriptor: int, vectors: int, count: int, written_at: int) -> int:
        """Write to the log, a line at a time."""
        state = self._current.state
        memory = state.memory
        if descriptor not in _LEVELS:
            return abi.WASI_BADF
        if count > _MAX_VECTORS:
            return abi.WASI_INVAL
        memory.check(written_at, 4)
        total = 0
        for index in range(count):
            address = memory.read_u32(vectors + 8 * index)
            size = memory.read_u32(vectors + 8 * index + 4)
            memory.check(address, size)
            _print(state, descriptor, memory.read(address, min(size, 64 * MAX_LINE)))
            total += size
        memory.write_u32(written_at, total & 0xFFFFFFFF)
        return abi.WASI_SUCCESS

    def poll(self, subscriptions: int, events: int, count: int, count_at: int) -> int:
        """Sleep until the first of some clocks, or until the call's deadline. Files are never ready: there are none."""
        state = self._current.state
        memory = state.memory
        if not 0 < count <= _MAX_SUBSCRIPTIONS:
            return abi.WASI_INVAL
        memory.check(events, _EVENT.size * count)
        memory.check(count_at, 4)
        waits: list[tuple[float, int]] = []
        happened: list[bytes] = []
        for index in range(count):
            parts = _SUBSCRIPTION.unpack(memory.read(subscriptions + index * _SUBSCRIPTION.size, _SUBSCRIPTION.size))
            user, kind, clock, timeout, _, flags = parts
            if kind == _CLOCK:
                waits.append((_seconds(clock, timeout, flags), user))
            else:
                happened.append(_EVENT.pack(user, abi.WASI_BADF, kind))
        if not happened:
            wait = min(seconds for seconds, _ in waits)
            left = 0.0 if state.call is None else state.call.deadline - time.monotonic()
            time.sleep(max(0.0, min(wait, left)))
            happened = [_EVENT.pack(user, abi.WASI_SUCCESS, _CLOCK) for seconds, user in waits if seconds <= wait]
        memory.write(events, b"".join(happened))
        memory.write_u32(count_at, len(happened))
        return abi.WASI_SUCCESS


def _seconds(clock: int, timeout: int, flags: int) -> float:
    if flags & _ABSOLUTE:
        timeout -= time.monotonic_ns() if clock == _MONOTONIC else time.time_ns()
    return max(timeout, 0) / 1e9


def _print(state: GuestState, descriptor: int, data: bytes) -> None:
    """Log whole lines and keep the rest; a line that grows too long is logged in pieces."""
    kept = b"" if state.lines is None else state.lines.pop(descriptor, b"")
    *lines, rest = (kept + data).split(b"\n")
    if len(rest) > MAX_LINE:
        lines.append(rest)
        rest = b""
    for line in lines:
        if line:
            state.log(_LEVELS[descriptor], line)
    if rest:
        if state.lines is None:
            state.lines = {}
        state.lines[descriptor] = rest
