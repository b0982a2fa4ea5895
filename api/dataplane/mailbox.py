"""How other threads reach the event loop: letters that the loop delivers, many per wake-up."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

Letter = tuple[Callable[[Any], None], Any]


class Mailbox:
    """Calls to be made on the loop's thread. `post` may be called from any thread and never blocks."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._letters: deque[Letter] = deque()
        self._awake = False
        self._closed = False
        self.thread = 0
        """The loop's thread, once it runs; 0 before."""

    def post(self, receiver: Callable[[Any], None], content: object) -> None:
        """Have `receiver(content)` called on the loop.

        After `close` it is called here and now: every exchange is over by then, and an ended one only gives back
        what it is sent.
        """
        self._letters.append((receiver, content))
        # Whoever finds `_awake` set may rely on it: `_deliver` clears it before it looks at the letters.
        if self._closed:
            self._deliver()
        elif not self._awake:
            self._wake()

    def close(self) -> None:
        """Deliver what is there now, and what comes later at once. For the loop's thread, before the loop ends."""
        self._closed = True
        while self._letters:
            self._deliver()

    def _wake(self) -> None:
        self._awake = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:  # the loop was closed since `_closed` was read
            self._deliver()

    def _deliver(self) -> None:
        self._awake = False
        try:
            # Only as many as there are now: a receiver that calls a guest causes more, and the loop serves others too.
            for _ in range(len(self._letters)):
                try:
                    receiver, content = self._letters.popleft()
                except IndexError:  # another thread took the last one, which happens after `close` only
                    break
                receiver(content)
        finally:
            if self._letters and not self._awake and not self._closed:
                self._wake()
