"""Which threads go first: those that run guests for long give way to the event loop, and so to short guests."""

import os
import threading
from typing import Final

NICE: Final = 10
"""How nice a thread is that runs guests; only where the processors are busy does it make a difference."""


def give_way() -> None:
    """Lower the calling thread's priority (Linux has one for each thread)."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
