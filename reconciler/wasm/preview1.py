"""WASI preview 1 functions that several guest kinds answer themselves: the clock, and sleeping by it.

The engine's own poll_oneoff sleeps on past the deadline of the call, and its monotonic clock has an origin of its own,
so these two belong together. They answer errno values of wasi_snapshot_preview1.witx and may raise OutOfBoundsError.
"""

import struct
import time
from typing import Final

from reconciler.wasm.ffi.memory import GuestMemory
from reconciler.wasm.ffi.seam import Guest

MODULE: Final = "wasi_snapshot_preview1"
"""The module that imports name."""

SUCCESS: Final = 0
BAD_DESCRIPTOR: Final = 8
FAULT: Final = 21
INVALID: Final = 28
IO: Final = 29
NOT_SUPPORTED: Final = 58

_MONOTONIC: Final = 1
_CLOCK_EVENT: Final = 0
_ABSOLUTE: Final = 1
_SUBSCRIPTION: Final = struct.Struct("<QB7xI4xQQH6x")
_EVENT: Final = struct.Struct("<QHB21x")
_MAX_SUBSCRIPTIONS: Final = 1024


def clock_time_get(memory: GuestMemory, clock: int, time_at: int) -> int:
    """The time by the real-time or the monotonic clock, in nanoseconds."""
    if clock > _MONOTONIC:
        return NOT_SUPPORTED
    now = time.monotonic_ns() if clock == _MONOTONIC else time.time_ns()
    memory.write(time_at, now.to_bytes(8, "little"))
    return SUCCESS


def poll_oneoff(
    guest: Guest, memory: GuestMemory, deadline: float, *, subscriptions: int, events: int, count: int, count_at: int
) -> int:
    """Sleep until the first of some clocks, or the deadline (monotonic seconds), which then ends the guest.

    Streams and files are always ready, as for poll().
    """
    if not 0 < count <= _MAX_SUBSCRIPTIONS:
        return INVALID
    memory.check(events, _EVENT.size * count)
    memory.check(count_at, 4)
    waits: list[tuple[float, int]] = []
    happened: list[bytes] = []
    for user, kind, clock, timeout, _, flags in _SUBSCRIPTION.iter_unpack(
        memory.read(subscriptions, _SUBSCRIPTION.size * count)
    ):
        if kind == _CLOCK_EVENT:
            waits.append((_seconds(clock, timeout, flags), user))
        else:
            happened.append(_EVENT.pack(user, SUCCESS, kind))
    if not happened:
        wait = min(seconds for seconds, _ in waits)
        left = deadline - time.monotonic()
        time.sleep(max(0.0, min(wait, left)))
        if wait > left:
            guest.set_deadline(0)  # its time is over now, not at the next tick of the engine's clock
        happened = [_EVENT.pack(user, SUCCESS, _CLOCK_EVENT) for seconds, user in waits if seconds <= wait]
    memory.write(events, b"".join(happened))
    memory.write_u32(count_at, len(happened))
    return SUCCESS


def _seconds(clock: int, timeout: int, flags: int) -> float:
    if flags & _ABSOLUTE:
        timeout -= time.monotonic_ns() if clock == _MONOTONIC else time.time_ns()
    return max(timeout, 0) / 1e9
