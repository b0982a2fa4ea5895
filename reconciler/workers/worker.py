"""The worker's side: does what the control process says, one thing after the other, and ends with it."""

import socket
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from reconciler.core.plan import Action, Outcome
from reconciler.host.router import Expectation
from reconciler.workers.messages import Apply, Drain, Drained, Expect, Meet, Open, Place, Placed, Quit
from reconciler.workers.outbox import Outbox
from reconciler.workers.wire import Ended, Inbox, Line


class Pools(Protocol):
    """The pool host of this process."""

    def apply(self, actions: Sequence[Action], patience: float) -> tuple[Outcome, ...]:
        """Do, or begin, what was decided."""

    def expect(self, expectations: Mapping[str, Expectation | None]) -> None:
        """Plugins are desired, or no longer."""


class Plane(Protocol):
    """The data plane of this process."""

    def open(self) -> None:
        """Take requests from now on."""

    def drain(self, seconds: float) -> bool:
        """Take no more connections, let requests end. Returns whether none was cut."""

    def meet(self, peer: int, sock: socket.socket) -> None:
        """That socket leads to another worker."""

    def place(self, places: Sequence[Place]) -> None:
        """Where requests of plugins can go has changed."""


class Worker:
    """Listens to the control process."""

    def __init__(self, inbox: Inbox, line: Line, pools: Pools, plane: Plane, outbox: Outbox) -> None:
        self._inbox = inbox
        self._line = line
        self._pools = pools
        self._plane = plane
        self._outbox = outbox

    def run(self) -> bool:
        """Until told to quit (True), or until the control process is gone (False)."""
        with suppress(Ended):
            while True:
                for message in self._inbox.receive():
                    if isinstance(message, Quit):
                        return True
                    self._do(message)
        return False

    def _do(self, message: object) -> None:
        match message:
            case Apply(number, actions, patience):
                self._pools.apply(actions, patience)
                self._outbox.applied(number, dict.fromkeys(action.plugin for action in actions))
            case Expect(number, plugins):
                self._pools.expect(dict(plugins))
                self._outbox.applied(number, ())
            case Placed(places):
                self._plane.place(places)
            case Meet(peer):
                self._plane.meet(peer, socket.socket(fileno=self._inbox.take_fd()))
            case Open():
                self._plane.open()
            case Drain(seconds):
                # Beside what else is to be heard: that the control process is gone ends the wait.
                threading.Thread(target=self._drain, args=(seconds,), name="drain", daemon=True).start()

    def _drain(self, seconds: float) -> None:
        clean = self._plane.drain(seconds)
        with suppress(Ended):
            self._line.send(Drained(clean))
