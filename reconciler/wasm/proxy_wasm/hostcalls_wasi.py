"""The WASI functions that this host answers itself; the rest are the engine's own, with nothing granted.

fd_write, because what a guest prints belongs in its log; clock_time_get and poll_oneoff, because the engine's would
sleep past the deadline of the call.
"""

from collections.abc import Iterable
from typing import Final

from reconciler.wasm import preview1
from reconciler.wasm.proxy_wasm import abi
from reconciler.wasm.proxy_wasm.hostcalls import HostCall, HostCallGroup
from reconciler.wasm.proxy_wasm.state import MAX_LINE, GuestState

_LEVELS: Final = {1: abi.INFO, 2: abi.ERROR}
"""Log levels of stdout and stderr, as the specification has them."""
_MAX_VECTORS: Final = 1024
_MAX_WRITE: Final = 8 * MAX_LINE
"""Bytes that one write takes; of more, a part is taken, which the guest is told as POSIX has it."""


class WasiCalls(HostCallGroup):
    """Printing, clocks, sleeping."""

    def calls(self) -> Iterable[HostCall]:
        """The functions of the group."""
        return (
            HostCall("fd_write", "iiii", self.write, preview1.MODULE),
            HostCall("poll_oneoff", "iiii", self.poll, preview1.MODULE),
            HostCall("clock_time_get", "iIi", self.now, preview1.MODULE),
        )

    def write(self, descriptor: int, vectors: int, count: int, written_at: int) -> int:
        """Write to the log, a line at a time."""
        state = self._current.state
        memory = state.memory
        if descriptor not in _LEVELS:
            return preview1.BAD_DESCRIPTOR
        if count > _MAX_VECTORS:
            return preview1.INVALID
        memory.check(written_at, 4)
        parts = []
        room = _MAX_WRITE
        for place in range(vectors, vectors + 8 * count, 8):
            address, size = memory.read_u32(place), memory.read_u32(place + 4)
            memory.check(address, size)
            taken = min(size, room)
            parts.append(memory.read(address, taken))
            room -= taken
        _print(state, descriptor, b"".join(parts))
        memory.write_u32(written_at, _MAX_WRITE - room)
        return preview1.SUCCESS

    def poll(self, subscriptions: int, events: int, count: int, count_at: int) -> int:
        """Sleep until the first of some clocks, or until the call's deadline."""
        state = self._current.state
        deadline = 0.0 if state.call is None else state.call.deadline
        return preview1.poll_oneoff(
            state.guest,
            state.memory,
            deadline,
            subscriptions=subscriptions,
            events=events,
            count=count,
            count_at=count_at,
        )

    def now(self, clock: int, _precision: int, time_at: int) -> int:
        """The time by a clock, in nanoseconds."""
        return preview1.clock_time_get(self._current.state.memory, clock, time_at)


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
