"""A request that looks for an instance in all workers at once, and the right to call one that another worker offers.

Belongs here: that exactly one instance is taken, whoever is first. Does not: which workers are asked (forwarding.py).
"""

import threading
from dataclasses import dataclass
from typing import Protocol

from api.dataplane.engine_room import EngineRoom
from api.dataplane.peers import Bounds, Caller, PeerLink
from reconciler.core.observed import Failure
from reconciler.core.states import Reason
from reconciler.host.invoke import CutShort, Lease, QueueFull, Unroutable, Waiter
from reconciler.wasm.flow import Flow
from reconciler.wasm.kind import GuestFailed, Request, Response


@dataclass(frozen=True, slots=True)
class Wish:
    """What is looked for: an instance of a route, `behind` its filters; or a worker that has these `filters`.

    `here`: in this worker only.
    """

    route: str
    behind: bool = False
    filters: tuple[str, ...] = ()
    here: bool = False


class Lines(Protocol):
    """Where seekers stand."""

    def forget(self, seeker: "Seeker") -> None:
        """It seeks no more."""

    def leave(self, seeker: "Seeker") -> None:
        """It leaves the line of this process."""

    def moves(self, route: str) -> bool:
        """Whether the line of this process moves by itself."""


class Seeker:
    """A waiting request: it stands in the line here (as a Waiter), and asks other workers. Whoever is first has it.

    Where the line here is full, or is not the right one, it only asks: `waits_here` is False.
    """

    __slots__ = ("_asked", "_lines", "_lock", "_over", "_room", "waiter", "waits_here", "wish")

    def __init__(self, lines: Lines, room: EngineRoom, wish: Wish, waiter: Waiter) -> None:
        self._lines = lines
        self._room = room
        self._lock = threading.Lock()
        self._over = False
        self._asked: dict[PeerLink, int] = {}
        self.wish = wish
        self.waiter = waiter
        self.waits_here = False

    def end(self) -> bool:
        """Seek no more. Whether it did until now; any thread."""
        with self._lock:
            if self._over:
                return False
            self._over = True
        self._lines.forget(self)
        self._room.do(Seeker.drop_all, self)
        return True

    def leave(self) -> bool:
        """The request is not wanted any more. Whether nothing was found for it yet."""
        if not self.end():
            return False
        self._lines.leave(self)
        return True

    def granted(self, lease: Lease) -> None:
        """An instance here (Waiter; any thread)."""
        if self.end():
            self.waiter.granted(lease)
        else:
            lease.cancel()

    def refused(self, error: Unroutable) -> None:
        """The route is gone (Waiter; any thread)."""
        if self.end():
            self.waiter.refused(error)

    def ask(self, link: PeerLink) -> None:
        """Ask another worker, once. On the loop, as what follows."""
        if not self._over and link not in self._asked:
            self._asked[link] = link.seek(self.wish.route, self.wish.behind, self)

    def offered(self, link: PeerLink, number: int, plugin: str, revision: str) -> None:
        """An instance elsewhere."""
        self._asked.pop(link, None)
        if self.leave():
            self.waiter.granted(RemoteLease(self._room, link, number, plugin, revision))
        else:
            link.drop(number)

    def refused_by(self, link: PeerLink, *, full: bool, sentence: str) -> None:
        """None there."""
        self._asked.pop(link, None)
        moves = self.waits_here and (not full or self._lines.moves(self.wish.route))
        if not moves and not self._asked and self.leave():
            self.waiter.refused(QueueFull(sentence or f"no instance of route {self.wish.route!r} is free"))

    def drop_all(self) -> None:
        """Take back what was asked."""
        asked, self._asked = self._asked, {}
        for link, number in asked.items():
            link.drop(number)


class RemoteLease:
    """A Lease on an instance of another worker. `call` blocks its thread; `send` does not."""

    __slots__ = ("_link", "_number", "_over", "_room", "inline", "plugin", "revision", "streams")

    def __init__(self, room: EngineRoom, link: PeerLink, number: int, plugin: str, revision: str) -> None:
        self._room = room
        self._link = link
        self._number = number
        self._over = False
        self.plugin = plugin
        self.revision = revision
        self.inline = self.streams = False

    def stream(self, request: Request, flow: Flow) -> Response | None:
        """Bodies do not flow from worker to worker: nobody calls this, as `streams` says."""
        raise NotImplementedError

    def call(self, request: Request, bounds: Bounds | None = None) -> Response:
        """Have the guest called. Raises GuestFailed, Unroutable; `plugin` is then the one that answered or failed."""
        self._over = True
        reply = _Reply()
        self._room.do(lambda reply: self._link.call(self._number, request, bounds or Bounds(), reply), reply)
        return reply.wait(self)

    def call_briefly(self, request: Request) -> Response:
        """It waits, so it is for a thread. Raises CutShort."""
        raise CutShort

    def send(self, request: Request, caller: Caller) -> None:
        """As `call`, on the loop; the caller is told."""
        self._over = True
        self._link.call(self._number, request, Bounds(), caller)

    def cancel(self) -> None:
        """Give it back uncalled. Idempotent, and harmless after `call`."""
        if not self._over:
            self._over = True
            self._room.do(self._link.drop, self._number)


class DeepLease:
    """A remote lease for a call that a guest makes (Called), so many calls deep."""

    def __init__(self, lease: Lease, depth: int) -> None:
        self._lease = lease
        self._depth = depth

    @property
    def plugin(self) -> str:
        """Who answered, or failed, or will."""
        return self._lease.plugin

    @property
    def revision(self) -> str:
        """The revision."""
        return self._lease.revision

    def call(self, request: Request, deadline: float) -> Response:
        """Have the guest called. Raises GuestFailed, Unroutable."""
        if isinstance(self._lease, RemoteLease):
            return self._lease.call(request, Bounds(deadline, self._depth))
        return self._lease.call(request)


class _Reply:
    """A Caller that blocks its thread."""

    def __init__(self) -> None:
        self._told = threading.Event()
        self._plugin = ""
        self._response: Response | None = None
        self._failure: GuestFailed | Unroutable = GuestFailed(Failure(Reason.INTERNAL, "the call was not made"))

    def answered(self, response: Response, plugin: str) -> None:
        self._response, self._plugin = response, plugin
        self._told.set()

    def failed(self, failure: GuestFailed | Unroutable, plugin: str) -> None:
        self._failure, self._plugin = failure, plugin
        self._told.set()

    def wait(self, lease: RemoteLease) -> Response:
        self._told.wait()
        lease.plugin = self._plugin or lease.plugin
        if self._response is None:
            raise self._failure
        return self._response
