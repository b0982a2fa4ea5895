"""The link between two workers: one asks the other for an instance of a route, and has it called.

    SEEK id route behind       ->   lease, or stand in the line
                               <-   HAVE id plugin revision | REFUSED id full sentence
    CALL id request ... | DROP id
                               <-   ANSWER id plugin response | FAILED id plugin failure

Either side may ask. The instance is held from HAVE to CALL, which is a moment; whoever was asked by one that is gone
takes everything back. Frames are a length and a marshalled tuple: both ends are the same code.

Everything here runs on the loop's thread, but Offer's Waiter methods, and the call of a guest on a thread.
"""

import asyncio
import marshal
import struct
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from math import inf
from typing import Any, Final, Protocol, cast

from api.dataplane.engine_room import EngineRoom
from api.dataplane.offers import Call, Held, Offer
from reconciler.core.observed import Failure
from reconciler.core.states import NextStep, Reason
from reconciler.host.invoke import (
    Called,
    QueueFull,
    RouteUnavailable,
    RouteUnknown,
    Unroutable,
    Waiter,
)
from reconciler.host.leases import PoolLease
from reconciler.wasm.kind import GuestFailed, Request, Response

SEEK, HAVE, REFUSED, CALL, DROP = range(5)
LENGTH: Final = struct.Struct(">I")
REQUEST: Final = tuple(field.name for field in fields(Request))


class Pools(Protocol):
    """The pools of this process, where what others ask for is looked for; it is not sent on."""

    def acquire(self, route: str, waiter: Waiter, *, behind: bool = False) -> Held | None:
        """An idle instance now; or None, and the waiter is queued. Raises Unroutable."""

    def lease(self, route: str, deadline: float, depth: int, *, behind: bool) -> Called:
        """An instance for a call on this thread, waited for if need be. Raises Unroutable."""

    def abandon(self, route: str, waiter: Waiter) -> bool:
        """Leave the queue."""


class Asker(Protocol):
    """Who asked for an instance. Told once, on the loop."""

    def offered(self, link: "PeerLink", number: int, plugin: str, revision: str) -> None:
        """The peer holds one; it waits for `call` or `drop`."""

    def refused_by(self, link: "PeerLink", *, full: bool, sentence: str) -> None:
        """The peer has none: too many wait there, or it is gone, or does not know the route."""


class Caller(Protocol):
    """Who had an instance called. Told once, on the loop."""

    def answered(self, response: Response, plugin: str) -> None:
        """A plugin's guest answered."""

    def failed(self, failure: GuestFailed | Unroutable, plugin: str) -> None:
        """It did not, or the peer is gone."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a call brings along: when it must be over (monotonic seconds; None: the plugin's timeout), and how deep."""

    deadline: float | None = None
    depth: int = 0


class PeerLink(asyncio.Protocol):
    """One end. `ended(link)` is called when the other end is gone."""

    def __init__(self, peer: int, pools: Pools, room: EngineRoom, ended: Callable[["PeerLink"], None]) -> None:
        self.peer = peer
        self._pools = pools
        self._room = room
        self._ended = ended
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._number = 0
        self._askers: dict[int, Asker] = {}
        self._callers: dict[int, Caller] = {}
        self._offers: dict[int, Offer] = {}

    # What this side asks for.

    def seek(self, route: str, behind: bool, asker: Asker) -> int:
        """Ask for an instance; the number of the question."""
        self._number += 1
        self._askers[self._number] = asker
        self._send(SEEK, self._number, route, behind)
        return self._number

    def drop(self, number: int) -> None:
        """It is not wanted any more. Harmless where it is over."""
        self._askers.pop(number, None)
        self._send(DROP, number)

    def call(self, number: int, request: Request, bounds: Bounds, caller: Caller) -> None:
        """Have the instance called that was offered."""
        if self._transport is None:
            caller.failed(self._gone(), "")
            return
        self._callers[number] = caller
        values = tuple(getattr(request, name) for name in REQUEST)
        self._send(CALL, number, values, bounds.deadline, bounds.depth)

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Both ends are there."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """The peer said something."""
        received = self._received
        received += data
        at, size = 0, len(received)
        while size - at >= 4:
            end = at + 4 + LENGTH.unpack_from(received, at)[0]
            if end > size:
                break
            frame = marshal.loads(memoryview(received)[at + 4 : end])  # noqa: S302 (a process of ours wrote it)
            at = end
            self._hear(*frame)
        del received[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer is gone: what it has of ours is lost, what we have of its is free."""
        self._transport = None
        offers, self._offers = self._offers, {}
        for offer in offers.values():
            self._withdraw(offer)
        callers, self._callers = self._callers, {}
        for caller in callers.values():
            caller.failed(self._gone(), "")
        askers, self._askers = self._askers, {}
        for asker in askers.values():
            asker.refused_by(self, full=False, sentence="")
        self._ended(self)

    def close(self) -> None:
        """End it."""
        if self._transport is not None:
            self._transport.close()

    # What the peer says.

    def _hear(self, what: int, number: int, *rest: Any) -> None:
        match what:
            case 0:
                self._sought(number, *rest)
            case 1:
                self._offered(number, *rest)
            case 2:
                self._refused(number, *rest)
            case 3:
                self._called(number, *rest)
            case 4:
                self._dropped(number)
            case 5:
                self._answered(number, *rest)
            case 6:
                self._failed(number, *rest)

    def _sought(self, number: int, route: str, behind: bool) -> None:
        offer = self._offers[number] = Offer(self, number, route, behind)
        try:
            lease = self._pools.acquire(route, offer, behind=behind)
        except Unroutable as reason:
            self.on_refused((offer, reason))
            return
        if lease is not None:
            self.on_granted((offer, lease))

    def _offered(self, number: int, plugin: str, revision: str) -> None:
        asker = self._askers.pop(number, None)
        if asker is not None:  # else it was dropped, which the peer hears soon
            asker.offered(self, number, plugin, revision)

    def _refused(self, number: int, full: bool, sentence: str) -> None:
        asker = self._askers.pop(number, None)
        if asker is not None:
            asker.refused_by(self, full=full, sentence=sentence)

    def _dropped(self, number: int) -> None:
        offer = self._offers.pop(number, None)
        if offer is not None:
            self._withdraw(offer)

    def _called(self, number: int, values: tuple[Any, ...], deadline: float | None, depth: int) -> None:
        offer = self._offers.pop(number)
        lease = offer.lease
        assert lease is not None
        if isinstance(lease, PoolLease):
            lease.depth = depth
        call = Call(number, Request(*values), inf if deadline is None else deadline)
        if lease.inline and not call.make_briefly(lease, self._reply):
            again = partial(self._pools.lease, offer.route, call.deadline, depth, behind=offer.behind)
            self._on_thread(call, again)
        elif not lease.inline and not self._on_thread(call, lambda: lease):
            lease.cancel()

    def _on_thread(self, call: Call, find: Callable[[], Called]) -> bool:
        """Call a guest for the peer on a thread of its own, where `find` gives, or waits for, the instance."""
        reply = partial(self._room.mailbox.post, self._reply)
        there = self._room.threads.run(partial(call.make_with, find, reply))
        if not there:
            self._reply(call.failed("", GuestFailed(Failure(Reason.INTERNAL, "no thread is free to run the guest"))))
        return there

    def _answered(self, number: int, plugin: str, values: tuple[Any, ...]) -> None:
        caller = self._callers.pop(number, None)
        if caller is not None:
            caller.answered(Response(*values), plugin)

    def _failed(self, number: int, plugin: str, reason: str, message: str, step: str, fatal: bool) -> None:
        caller = self._callers.pop(number, None)
        if caller is None:
            return
        if reason:
            caller.failed(GuestFailed(Failure(Reason(reason), message, NextStep(step)), fatal=fatal), plugin)
        else:
            caller.failed(_unroutable(step, message), plugin)

    # What becomes of an offer.

    def on_granted(self, what: tuple[Offer, Held]) -> None:
        """An instance is there for the peer."""
        offer, lease = what
        if self._offers.get(offer.number) is not offer:
            lease.cancel()
            return
        offer.lease = lease
        self._send(HAVE, offer.number, lease.plugin, lease.revision)

    def on_refused(self, what: tuple[Offer, Unroutable]) -> None:
        """There will be none."""
        offer, reason = what
        if self._offers.pop(offer.number, None) is not None:
            self._send(REFUSED, offer.number, isinstance(reason, QueueFull), str(reason))

    def granted_on_thread(self, offer: Offer, lease: Held) -> None:
        """As on_granted, from any thread."""
        self._room.mailbox.post(self.on_granted, (offer, lease))

    def refused_on_thread(self, offer: Offer, error: Unroutable) -> None:
        """As on_refused, from any thread."""
        self._room.mailbox.post(self.on_refused, (offer, error))

    def _withdraw(self, offer: Offer) -> None:
        if offer.lease is not None:
            offer.lease.cancel()
        else:
            self._pools.abandon(offer.route, offer)

    def _reply(self, reply: tuple[Any, ...]) -> None:
        self._send(*reply)

    def _send(self, *frame: Any) -> None:
        if self._transport is not None:
            data = marshal.dumps(frame)
            self._transport.write(LENGTH.pack(len(data)) + data)

    def _gone(self) -> GuestFailed:
        return GuestFailed(Failure(Reason.INTERNAL, "the worker process that ran the guest ended"))


def _unroutable(kind: str, sentence: str) -> Unroutable:
    kinds: dict[str, type[Unroutable]] = {kind.__name__: kind for kind in (RouteUnknown, RouteUnavailable, QueueFull)}
    return kinds.get(kind, Unroutable)(sentence)
