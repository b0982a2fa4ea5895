"""What runs behind the data plane: its event loop, the way to it from other threads, and the threads of long guests."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import uvloop

from api.dataplane.mailbox import Mailbox
from api.dataplane.settings import Settings
from api.dataplane.threads import GuestThreads


@dataclass(frozen=True, slots=True)
class EngineRoom:
    """Made before the data plane where others use it too; the data plane runs and closes it."""

    loop: asyncio.AbstractEventLoop
    mailbox: Mailbox
    threads: GuestThreads

    def do(self, work: Callable[[Any], None], about: object) -> None:
        """Have `work(about)` done on the loop: now where this is its thread, else soon. Any thread."""
        if threading.get_ident() == self.mailbox.thread:
            work(about)
        else:
            self.mailbox.post(work, about)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """A new one, which does not run yet."""
        loop = uvloop.new_event_loop()
        return cls(loop, Mailbox(loop), GuestThreads(settings.guest_threads, settings.guest_thread_idle))
