"""Taking connections where several processes listen on one socket: so that each has as many clients as the others.

Whichever process wakes first could take all of a burst, and a client stays for thousands of requests where it began. So
a process takes one at a time, and one that has more clients than another lets that go first, for a moment. A socket
for each process (SO_REUSEPORT) would spread by chance, and lose what waits in the queue of one that crashed.
"""

import asyncio
import mmap
import socket
from collections.abc import Callable
from typing import Final

MOMENT: Final = 0.001
"""Seconds that a process with more clients leaves a connection to others."""
AWAY: Final = 0xFFFF_FFFF
"""In place of a number of clients: that process takes none."""


class Tally:
    """How many clients each of several processes has, in memory that they share: made before they are forked."""

    def __init__(self, processes: int) -> None:
        self._memory = mmap.mmap(-1, 4 * processes)
        self._clients = memoryview(self._memory).cast("I")
        for process in range(processes):
            self._clients[process] = AWAY

    def put(self, process: int, clients: int) -> None:
        """That many has this one now."""
        self._clients[process] = clients

    def away(self, process: int) -> None:
        """It takes none for now."""
        self._clients[process] = AWAY

    def most(self, process: int) -> bool:
        """Whether this one has more than some other."""
        return self._clients[process] > min(self._clients)


class Turns:
    """One process's own place in a tally."""

    def __init__(self, tally: Tally, process: int) -> None:
        self._tally = tally
        self._process = process

    def count(self, clients: int) -> None:
        """This process has that many now."""
        self._tally.put(self._process, clients)

    def wait(self) -> bool:
        """Whether another one should go first."""
        return self._tally.most(self._process)


class FairAccepting:
    """Takes connections of a listening socket on a loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        serve: Callable[[socket.socket], "asyncio.Future[object]"],
        turns: Turns,
    ) -> None:
        self._loop = loop
        self._listener = listener
        self._serve = serve
        self._turns = turns
        self._later: asyncio.TimerHandle | None = None
        self._begun: set[asyncio.Future[object]] = set()
        turns.count(0)
        loop.add_reader(listener, self._ready)

    def close(self) -> None:
        """Take no more, and close the socket. Idempotent."""
        if self._later is not None:
            self._later.cancel()
            self._later = None
        elif self._listener.fileno() >= 0:
            self._loop.remove_reader(self._listener)
        self._listener.close()

    def _ready(self) -> None:
        if self._turns.wait():
            self._loop.remove_reader(self._listener)
            self._later = self._loop.call_later(MOMENT, self._again)
        else:
            self._take()

    def _again(self) -> None:
        self._later = None
        self._take()
        self._loop.add_reader(self._listener, self._ready)

    def _take(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # another process was first; or there are too many files, which the next try will see
            return
        connection.setblocking(False)
        serving = self._serve(connection)
        self._begun.add(serving)
        serving.add_done_callback(self._served)

    def _served(self, serving: "asyncio.Future[object]") -> None:
        self._begun.discard(serving)
        if not serving.cancelled():
            serving.exception()  # a client that left during its handshake is no matter
