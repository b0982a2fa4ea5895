"""A request on a route behind filters: through each of them, then the upstream, then back through them.

Instances are leased one after the other as the request comes to them, and a filter's is kept until the answer has
passed it: the upstream is not touched by a request that a filter answers. Belongs here: that order, and that whatever
happens every lease goes back. Does not: whether waiting for one would be for ever (chains.py), what a filter does.
"""

from collections.abc import Sequence
from math import inf
from typing import Protocol

from reconciler.host.chains import Chain
from reconciler.host.invoke import Called, CutShort, QueueFull, RouteUnavailable, Unroutable
from reconciler.host.leases import PoolLease
from reconciler.wasm.flow import Flow
from reconciler.wasm.kind import Request, Response


class Lender(Protocol):
    """Who has the instances. Both raise Unroutable, and wait until `deadline` (monotonic seconds) at most."""

    def lease_filter(self, plugin: str, chain: Chain, depth: int, deadline: float) -> PoolLease:
        """An instance of a plugin that can stand before others, for the request of that chain."""

    def lease_upstream(self, route: str, chain: Chain, depth: int, deadline: float) -> Called:
        """An instance of what answers behind a route's filters."""


class FilteredLease:
    """A Lease on a route behind filters. It holds nothing until it is called, and waits on the calling thread."""

    inline = False
    streams = False

    def __init__(self, lender: Lender, route: str, filters: Sequence[str], chain: Chain, depth: int) -> None:
        self._lender = lender
        self._route = route
        self.filters = filters
        self._chain = chain
        self._depth = depth
        self._passed: list[PoolLease] = []
        self.plugin = filters[0]
        """Whom the request has come to: in the end, who answered it or failed."""
        self.revision = ""

    def call(self, request: Request, deadline: float = inf) -> Response:
        """Answer a request, until `deadline` (monotonic seconds) at most. Raises GuestFailed, Unroutable.

        A filter that is not there, or not ready, closes the route: RouteUnavailable.
        """
        try:
            answer = self._ask(request, deadline)
            while self._passed:
                answer = self._at(self._passed.pop()).finish(answer, deadline)
            return answer
        finally:
            while self._passed:
                self._passed.pop().drop()

    def call_briefly(self, request: Request) -> Response:
        """It waits, so it is for a thread. Raises CutShort."""
        raise CutShort

    def stream(self, request: Request, flow: Flow) -> Response | None:
        """Bodies do not flow through filters: these see them whole."""
        raise AssertionError("a lease behind filters does not stream")

    def cancel(self) -> None:
        """Nothing is held."""

    def _ask(self, request: Request, deadline: float) -> Response:
        """The answer of the first filter that gives one, else the upstream's."""
        for name in self.filters:
            lease = self._at(self._lease_filter(name, deadline))
            passed = lease.begin(request, deadline)
            if isinstance(passed, Response):
                return passed
            self._passed.append(lease)
            request = passed
        upstream = self._lender.lease_upstream(self._route, self._chain, self._depth, deadline)
        self.plugin, self.revision = upstream.plugin, upstream.revision
        answer = upstream.call(request, deadline)
        self.plugin = upstream.plugin
        return answer

    def _lease_filter(self, name: str, deadline: float) -> PoolLease:
        try:
            return self._lender.lease_filter(name, self._chain, self._depth, deadline)
        except QueueFull as error:
            raise QueueFull(f"filter {name!r} of route {self._route!r}: {error}", error.retry_after) from None
        except Unroutable as error:
            raise RouteUnavailable(f"route {self._route!r} is closed by its filter {name!r}: {error}") from None

    def _at(self, lease: PoolLease) -> PoolLease:
        self.plugin, self.revision = lease.plugin, lease.revision
        lease.inline = False  # whatever its plugin may do, it is called on this thread
        return lease
