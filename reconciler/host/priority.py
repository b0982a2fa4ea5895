"""Which threads go first: those that run guests for long give way to the event loop, and so to short guests."""

import ctypes
import os
import platform
import struct
import threading
from typing import Final

NICE: Final = 10
"""How nice a thread is that runs guests; only where the processors are busy does it make a difference."""

_SLICE: Final = 100_000
"""Nanoseconds of the event loop's slice: a task with a short slice need not wait for a longer one's end."""
_SET_ATTRIBUTES: Final = {"x86_64": 314, "aarch64": 274}
"""The number of Linux' sched_setattr, which no library here wraps."""
_ATTRIBUTES: Final = struct.Struct("=IIQiIQQQII")
"""struct sched_attr: size, policy, flags, nice, priority, runtime, deadline, period, two utilisation clamps."""


def give_way() -> None:
    """Lower the calling thread's priority (Linux has one for each thread)."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)


def go_first() -> None:
    """Let the calling thread run as soon as it has something to do, for a short time. As far as the system can.

    Linux from 6.12 has a slice for each ordinary task; without one, a thread that wakes up may wait some milliseconds
    for the end of another's, however nice that is. Older ones ignore it, and what comes of it does not matter.
    """
    call = _SET_ATTRIBUTES.get(platform.machine())
    if call is not None:
        nice = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, _SLICE, 0, 0, 0, 0)
        ctypes.CDLL(None).syscall(call, 0, attributes, 0)
