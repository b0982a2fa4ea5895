"""Requests that this worker cannot answer at once: they wait in all workers, and the first instance has them.

A request for which no instance is idle here stands in the line of its route here, and in that of every worker that can
answer, so the lines are one line in effect: the bound of the queue holds for all workers together, and no instance is
idle anywhere while somebody waits. Where a worker has no instance of the plugin at all, this is how it answers. A
request that has to pass filters goes to a worker that has all of them. Bodies flow to instances of this worker only:
where it has some, a request waits for those; where it has none, bodies are whole before they go on.

Belongs here: where to look for an instance. Does not: how workers speak (peers.py), the lines (reconciler.host).
"""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from api.dataplane.engine_room import EngineRoom
from api.dataplane.peers import PeerLink
from api.dataplane.peers import Pools as PeerPools
from api.dataplane.seeking import DeepLease, Seeker, Wish
from reconciler.host.filters import FilteredLease
from reconciler.host.invoke import Called, Lease, QueueFull, RouteLimits, RouteUnknown, Unroutable, Waiter
from reconciler.workers.messages import Place


class Pools(PeerPools, Protocol):
    """The pools of this process."""

    def limits(self, route: str) -> RouteLimits:
        """The bounds of a route. Raises RouteUnknown."""

    def serves(self, route: str) -> bool:
        """Whether a pool here answers on the route, or is about to."""

    def has(self, plugins: Iterable[str]) -> bool:
        """Whether all these plugins have instances here, or are about to."""


class Forwarder:
    """A Dispatcher over the pools of this process and the workers that it met; Elsewhere for the pools themselves."""

    def __init__(self, pools: Pools, room: EngineRoom) -> None:
        self._pools = pools
        self._room = room
        self._lock = threading.Lock()
        self._links: dict[int, PeerLink] = {}
        self._places: dict[str, Place] = {}
        self._routes: dict[str, dict[str, Place]] = {}
        self._seekers: dict[Waiter, Seeker] = {}

    # The Dispatcher.

    def limits(self, route: str) -> RouteLimits:
        """The bounds of a route. Raises RouteUnknown."""
        try:
            return self._pools.limits(route)
        except RouteUnknown:
            return self._pools.limits(self._known_as(route))

    def acquire(self, route: str, waiter: Waiter) -> Lease | None:
        """An idle instance now; or None, and the waiter stands in every line. Raises Unroutable."""
        return self._acquire(Wish(route), waiter)

    def abandon(self, route: str, waiter: Waiter) -> bool:
        """Leave all lines. False if told already, or about to be."""
        with self._lock:
            seeker = self._seekers.get(waiter)
        return seeker is not None and seeker.leave()

    # Elsewhere.

    def lease(self, route: str, deadline: float, depth: int, *, behind: bool) -> Called:
        """An instance for a call on this thread, waited for as long as the route allows. Raises Unroutable."""
        patience = min(deadline - time.monotonic(), self.limits(route).queue_timeout)
        waiter = _Blocked()
        lease = self._acquire(Wish(route, behind=behind), waiter) or waiter.wait(patience)
        if lease is None:
            if self.abandon(route, waiter):
                raise QueueFull(f"no instance of {route!r} was free within {max(0.0, patience):.2f} s")
            lease = waiter.outcome()
        return DeepLease(lease, depth)

    # Where to look.

    def _acquire(self, wish: Wish, waiter: Waiter) -> Lease | None:
        try:
            lease = self._pools.acquire(wish.route, waiter, behind=wish.behind)
        except RouteUnknown:
            return self._in_line(Wish(self._known_as(wish.route), wish.behind), waiter)
        except QueueFull:
            return self._beyond(wish, waiter)
        if isinstance(lease, FilteredLease) and not self._pools.has(lease.filters):
            return self._before_filters(wish, lease, waiter)
        if lease is not None or not self._pools.abandon(wish.route, waiter):
            return lease
        if not wish.behind and self._pools.limits(wish.route).streams:
            wish = Wish(wish.route, here=True)
        return self._in_line(wish, waiter)

    def _in_line(self, wish: Wish, waiter: Waiter) -> Lease | None:
        """Stand in line here, and look elsewhere meanwhile."""
        seeker = self._seeker(wish, waiter)
        try:
            lease = self._pools.acquire(wish.route, seeker, behind=wish.behind)
        except QueueFull:
            seeker.end()
            return self._beyond(wish, waiter)
        except Unroutable:
            seeker.end()
            raise
        if lease is not None:
            seeker.end()
            return lease
        seeker.waits_here = True
        self._room.do(self._seek, seeker)
        return None

    def _beyond(self, wish: Wish, waiter: Waiter) -> Lease | None:
        """The line here is full: look elsewhere only. Raises QueueFull."""
        if not self._candidates(wish):
            return self._pools.acquire(wish.route, waiter, behind=wish.behind)
        self._room.do(self._seek, self._seeker(wish, waiter))
        return None

    def _before_filters(self, wish: Wish, lease: FilteredLease, waiter: Waiter) -> Lease | None:
        """A filter is not here: go where all are, or most. Where one is nowhere, the lease will say so."""
        there = Wish(wish.route, filters=tuple(lease.filters))
        if not self._candidates(there):
            return lease
        self._room.do(self._seek, self._seeker(there, waiter))
        return None

    def _seeker(self, wish: Wish, waiter: Waiter) -> Seeker:
        seeker = Seeker(self, self._room, wish, waiter)
        with self._lock:
            self._seekers[waiter] = seeker
        return seeker

    def _candidates(self, wish: Wish) -> tuple[PeerLink, ...]:
        """The other workers that can answer. Of filters: those that have more of them than this one, and the most."""
        if wish.here:
            return ()
        with self._lock:
            if wish.filters:
                places = [self._places[name] for name in wish.filters if name in self._places]
            else:
                places = list(self._routes.get(wish.route, {}).values())
            found = Counter(worker for place in places for worker in place.workers)
        least = 1
        if wish.filters:
            own = sum(self._pools.has((name,)) for name in wish.filters)
            least = max(own + 1, *found.values(), 1)
        links = (self._links.get(worker) for worker, number in found.items() if number >= least)
        return tuple(link for link in links if link is not None)

    def _seek(self, seeker: Seeker) -> None:
        for link in self._candidates(seeker.wish):
            seeker.ask(link)

    def _known_as(self, alias: str) -> str:
        """The route that a module elsewhere, which calls itself so, answers on. Raises RouteUnknown."""
        with self._lock:
            found = next(iter(self._routes.get(alias, {}).values()), None)
        if found is None:
            raise RouteUnknown(f"no plugin answers on route {alias!r}")
        return found.route

    # What is known of others.

    def waiting(self) -> tuple[tuple[str, int], ...]:
        """How many requests wait here, by route."""
        with self._lock:
            routes = Counter(seeker.wish.route for seeker in self._seekers.values())
        return tuple(sorted(routes.items()))

    def meet(self, link: PeerLink) -> None:
        """There is one more worker. On the loop, as what follows."""
        self._links[link.peer] = link
        for seeker in self._all():
            self._seek(seeker)

    def part(self, link: PeerLink) -> None:
        """It is gone."""
        if self._links.get(link.peer) is link:
            del self._links[link.peer]

    def place(self, places: Sequence[Place]) -> None:
        """Where requests can go has changed. From any thread."""
        for place in places:
            self._room.mailbox.post(self._placed, place)

    def _placed(self, place: Place) -> None:
        with self._lock:
            before = self._places.pop(place.plugin, None)
            for name in {before.route, before.alias} if before is not None else ():
                named = self._routes.get(name, {})
                named.pop(place.plugin, None)
                if not named:
                    self._routes.pop(name, None)
            if place.workers:
                self._places[place.plugin] = place
                for name in {place.route, place.alias or place.route}:
                    self._routes.setdefault(name, {})[place.plugin] = place
        for seeker in self._all():
            if seeker.wish.route == place.route:
                self._seek(seeker)

    def _all(self) -> tuple[Seeker, ...]:
        with self._lock:
            return tuple(self._seekers.values())

    # What seekers need (seeking.Lines).

    def forget(self, seeker: Seeker) -> None:
        """It seeks no more."""
        with self._lock:
            if self._seekers.get(seeker.waiter) is seeker:
                del self._seekers[seeker.waiter]

    def leave(self, seeker: Seeker) -> None:
        """It leaves the line of this process."""
        self._pools.abandon(seeker.wish.route, seeker)

    def moves(self, route: str) -> bool:
        """Whether the line of this process moves by itself."""
        return self._pools.serves(route)


class _Blocked:
    """A Waiter that blocks its thread."""

    def __init__(self) -> None:
        self._told = threading.Event()
        self._lease: Lease | None = None
        self._error: Unroutable | None = None

    def granted(self, lease: Lease) -> None:
        self._lease = lease
        self._told.set()

    def refused(self, error: Unroutable) -> None:
        self._error = error
        self._told.set()

    def wait(self, seconds: float) -> Lease | None:
        """What came within that time, if anything. Raises Unroutable when refused."""
        return self.outcome() if self._told.wait(max(0.0, seconds)) else None

    def outcome(self) -> Lease:
        """Block for what was said. Raises Unroutable when refused."""
        self._told.wait()
        if self._error is not None:
            raise self._error
        assert self._lease is not None
        return self._lease
