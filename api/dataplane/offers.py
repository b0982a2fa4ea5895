"""What a worker does for another one: an instance is held for it, then called, and there is a reply.

Belongs here: one offer and one call. Does not: the link that they came over (peers.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, Final, Protocol

from reconciler.core.observed import Failure
from reconciler.core.states import Reason
from reconciler.host.filters import FilteredLease
from reconciler.host.invoke import Called, CutShort, Lease, Unroutable
from reconciler.host.leases import PoolLease
from reconciler.wasm.kind import GuestFailed, Request, Response

ANSWER: Final = 5
FAILED: Final = 6
"""What a reply's frame begins with; see peers.py."""
RESPONSE: Final = tuple(field.name for field in fields(Response))

Reply = Callable[[tuple[Any, ...]], None]
"""Sends a frame."""
Held = PoolLease | FilteredLease
"""An instance that is held for a peer, or will be when it is called."""


class Asked(Protocol):
    """The link that an offer belongs to."""

    def granted_on_thread(self, offer: "Offer", lease: Held) -> None:
        """An instance is there, from any thread."""

    def refused_on_thread(self, offer: "Offer", error: Unroutable) -> None:
        """There will be none, from any thread."""


class Offer:
    """A peer's place in the line here (a Waiter). `lease` is set while an instance is held for the peer."""

    __slots__ = ("_link", "behind", "lease", "number", "route")

    def __init__(self, link: Asked, number: int, route: str, behind: bool) -> None:
        self._link = link
        self.number = number
        self.route = route
        self.behind = behind
        self.lease: Held | None = None

    def granted(self, lease: Lease) -> None:
        """An instance is there (Waiter; any thread)."""
        assert isinstance(lease, Held)
        self._link.granted_on_thread(self, lease)

    def refused(self, error: Unroutable) -> None:
        """There will be none (Waiter; any thread)."""
        self._link.refused_on_thread(self, error)


@dataclass(frozen=True, slots=True)
class Call:
    """A call that a peer asked for; what it makes are frames of replies."""

    number: int
    request: Request
    deadline: float

    def make_briefly(self, lease: Held, reply: Reply) -> bool:
        """Call a guest on the loop. Whatever happens, there is a reply, unless False: then it is to be made again."""
        frame: tuple[Any, ...] | None = self._fault()
        try:
            frame = self.answered(lease.plugin, lease.call_briefly(self.request))
        except CutShort:
            frame = None
        except GuestFailed as failed:
            frame = self.failed(lease.plugin, failed)
        finally:
            if frame is not None:
                reply(frame)
        return frame is not None

    def make_with(self, find: Callable[[], Called], reply: Reply) -> None:
        """Find an instance and call it. Whatever happens, there is a reply."""
        frame, plugin = self._fault(), ""
        try:
            lease = find()
            plugin = lease.plugin
            response = lease.call(self.request, self.deadline)
            frame = self.answered(lease.plugin, response)
        except (GuestFailed, Unroutable) as failed:
            frame = self.failed(lease.plugin if plugin else "", failed)
        finally:
            reply(frame)

    def _fault(self) -> tuple[Any, ...]:
        fault = Failure(Reason.INTERNAL, "this is a fault of the daemon; its log says how")
        return self.failed("", GuestFailed(fault))

    def answered(self, plugin: str, response: Response) -> tuple[Any, ...]:
        """The guest answered."""
        return ANSWER, self.number, plugin, tuple(getattr(response, name) for name in RESPONSE)

    def failed(self, plugin: str, failed: GuestFailed | Unroutable) -> tuple[Any, ...]:
        """It did not."""
        if isinstance(failed, Unroutable):
            return FAILED, self.number, plugin, "", str(failed), type(failed).__name__, False
        failure = failed.failure
        return FAILED, self.number, plugin, str(failure.reason), failure.message, str(failure.next_step), failed.fatal
