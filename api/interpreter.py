"""What holds for a whole process of ours. Called where a process begins; nothing else owns the process."""

import sys
import threading
from typing import Final

THREAD_STACK: Final = 16 * 2**20
"""Bytes of address space for a thread's stack: guests call guests on one thread, up to 16 deep."""


def tune() -> None:
    """Set it."""
    threading.stack_size(THREAD_STACK)
    # A thread that holds the interpreter keeps the event loop waiting no longer than this.
    sys.setswitchinterval(0.000_5)
