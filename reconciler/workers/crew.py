"""The worker processes: started, listened to, started again when they end. One thread, `workers`, does all of it.

A worker that ended is started again at once; one that keeps ending, after a backoff. What it was doing is not our
matter: whoever owns the crew is told who joined, who left, and what was heard.
"""

import contextlib
import logging
import os
import selectors
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from reconciler.core.backoff import crash_delay
from reconciler.workers.messages import Ended as ProcessEnded
from reconciler.workers.messages import Fork, Forked, Kill, Meet, Quit
from reconciler.workers.nursery import Forker
from reconciler.workers.wire import Ended, Wire

STEADY: Final = 10.0
"""Seconds: a worker that lived longer is started again at once, whatever was before."""
LONGEST: Final = 30.0
"""Seconds that a worker stays away at most."""
SOON: Final = 0.25
"""Seconds: the work of one that stays away longer is given to the others meanwhile."""
QUIT_SECONDS: Final = 10.0
"""Seconds that workers get to close everything."""

logger = logging.getLogger("workers")


class Owner(Protocol):
    """Who is told. On the thread `workers`; must not block."""

    def joined(self, worker: int) -> None:
        """A worker is there, with nothing in it. What is sent to it from now on reaches it."""

    def left(self, worker: int) -> None:
        """It is gone, and all that it had."""

    def heard(self, worker: int, message: object) -> None:
        """It said something."""


@dataclass(slots=True)
class _Seat:
    """The place of a worker. `due` is when the next one is started (clock time), where there is none.

    `away`: that takes so long that it is not counted on.
    """

    wire: Wire | None = None
    pid: int = 0
    began: float = 0.0
    deaths: int = 0
    due: float | None = None
    away: bool = False


class Crew:
    """`number` workers that all take connections of `listener`, which is listened on by then or later.

    `clock`: monotonic seconds.
    """

    def __init__(self, nursery: Forker, listener: socket.socket, number: int, clock: Callable[[], float]) -> None:
        self._nursery = nursery
        self._listener = listener
        self._clock = clock
        self._seats = [_Seat() for _ in range(number)]
        self._owner: Owner
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = socket.socketpair()
        self._to_nursery = Wire(nursery.socket, self._wake)
        self._thread = threading.Thread(target=self._run, name="workers", daemon=True)
        self._closing = False

    @property
    def size(self) -> int:
        """How many workers there should be."""
        return len(self._seats)

    @property
    def pids(self) -> dict[int, int]:
        """The processes that are known, by worker."""
        return {worker: seat.pid for worker, seat in enumerate(self._seats) if seat.wire is not None and seat.pid}

    def start(self, owner: Owner) -> None:
        """Start all workers. `owner` hears of them from now on."""
        self._owner = owner
        for sock in (self._woken, self._waker):
            sock.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._selector.register(self._to_nursery.sock, selectors.EVENT_READ, self._to_nursery)
        for worker in range(self.size):
            self._begin(worker)
        self._thread.start()

    def here(self, worker: int) -> bool:
        """Whether what is sent to a worker reaches it."""
        return self._seats[worker].wire is not None

    def counted(self) -> Sequence[int]:
        """The workers that are there, or will be in a moment."""
        return [worker for worker, seat in enumerate(self._seats) if not seat.away]

    def send(self, worker: int, message: object) -> None:
        """Say something to a worker. Never blocks; to one that is gone nothing is said."""
        wire = self._seats[worker].wire
        if wire is not None:
            wire.send(message)

    def close_listener(self) -> None:
        """Let go of the listening socket, so that it is closed once all workers closed it. Idempotent."""
        self._listener.close()

    def close(self) -> None:
        """Have all workers end, and the nursery. Idempotent."""
        if self._closing:
            return
        self._closing = True
        self.close_listener()
        for worker in range(self.size):
            self.send(worker, Quit())
        self._wake()
        if self._thread.ident is not None:
            self._thread.join(QUIT_SECONDS)
        for worker, pid in self.pids.items():
            logger.warning("a worker did not end and is killed", extra={"worker": worker, "pid": pid})
            self._to_nursery.send(Kill(pid))
        self._to_nursery.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._nursery.pid, 0)
        if self._thread.ident is not None:
            self._thread.join()
        for seat in self._seats:
            if seat.wire is not None:
                seat.wire.close()
        for sock in (self._woken, self._waker):
            sock.close()
        self._selector.close()

    # ---- on the thread

    def _run(self) -> None:
        while not (self._closing and not any(seat.wire for seat in self._seats)):
            for worker, seat in enumerate(self._seats):
                if seat.due is not None and seat.due <= self._clock() and not self._closing:
                    self._begin(worker)
            for key, events in self._selector.select(self._patience()):
                if key.data is None:
                    self._drain_waker()
                elif isinstance(key.data, Wire):
                    self._attend_nursery(events)
                else:
                    self._attend(key.data, events)
            self._look_for_room()

    def _patience(self) -> float | None:
        due = [seat.due for seat in self._seats if seat.due is not None]
        return max(0.0, min(due) - self._clock()) if due and not self._closing else None

    def _begin(self, worker: int) -> None:
        seat = self._seats[worker]
        ours, its = socket.socketpair()
        self._to_nursery.send(Fork(worker), (its.fileno(), self._listener.fileno()))
        its.close()
        seat.due, seat.away, seat.pid, seat.began = None, False, 0, self._clock()
        seat.wire = Wire(ours, self._wake)
        self._selector.register(ours, selectors.EVENT_READ, worker)
        for other, them in enumerate(self._seats):
            if other != worker and them.wire is not None:
                left, right = socket.socketpair()
                seat.wire.send(Meet(other), (left.fileno(),))
                them.wire.send(Meet(worker), (right.fileno(),))
                left.close()
                right.close()
        self._owner.joined(worker)

    def _attend(self, worker: int, events: int) -> None:
        wire = self._seats[worker].wire
        if wire is None:
            return
        try:
            if events & selectors.EVENT_WRITE:
                wire.flush()
            if events & selectors.EVENT_READ:
                for message in wire.inbox.receive():
                    self._owner.heard(worker, message)
        except Ended:
            self._lose(worker)

    def _lose(self, worker: int) -> None:
        seat = self._seats[worker]
        wire, now = seat.wire, self._clock()
        assert wire is not None
        self._selector.unregister(wire.sock)
        seat.wire = None
        wire.close()
        if self._closing:
            return
        if seat.pid:
            self._to_nursery.send(Kill(seat.pid))  # it may be there still, and say nothing any more
        seat.deaths = 1 if now - seat.began >= STEADY else seat.deaths + 1
        wait = min(LONGEST, crash_delay(seat.deaths, f"worker {worker}"))
        seat.due, seat.away = now + wait, wait > SOON
        logger.error("a worker is gone", extra={"worker": worker, "pid": seat.pid, "again_in_seconds": round(wait, 3)})
        self._owner.left(worker)

    def _attend_nursery(self, events: int) -> None:
        if events & selectors.EVENT_WRITE:
            self._to_nursery.flush()
        try:
            messages = self._to_nursery.inbox.receive()
        except Ended:
            self._selector.unregister(self._to_nursery.sock)
            if not self._closing:
                logger.critical("the process that starts workers is gone: those that end now stay away")
            return
        for message in messages:
            if isinstance(message, Forked):
                self._seats[message.worker].pid = message.pid
            elif isinstance(message, ProcessEnded) and message.code:
                logger.error("a worker ended", extra={"pid": message.pid, "how": _how(message.code)})

    def _look_for_room(self) -> None:
        """Look for room to write exactly where something waits to be written."""
        for key in list(self._selector.get_map().values()):
            wire = key.data if isinstance(key.data, Wire) else None if key.data is None else self._seats[key.data].wire
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if wire is not None and wire.pending else 0)
            if key.events != wanted:
                self._selector.modify(key.fileobj, wanted, key.data)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError, OSError):
            self._waker.send(b"\0")

    def _drain_waker(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._woken.recv(4096)


def _how(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
