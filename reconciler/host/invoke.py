"""What the data plane uses of the pool host: lease an instance of a route, call it, give it back.

Leasing never blocks: either an instance is idle now, or a waiter is queued and told later. So one event
loop can hold thousands of waiting requests, and a guest-to-guest call can wait on a thread of its own.
"""

from dataclasses import dataclass
from typing import Protocol

from reconciler.core.observed import Failure
from reconciler.wasm.flow import Flow
from reconciler.wasm.kind import Request, Response


class Unroutable(Exception):
    """A request found no instance. The subclass says what to answer."""


class RouteUnknown(Unroutable):
    """No plugin answers on that route: 404."""


class QueueFull(Unroutable):
    """As many requests wait as may, or the wait was too long: 503, to be tried again after `retry_after` seconds."""

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RouteUnavailable(Unroutable):
    """The route is desired but nothing can answer on it for now (scaled to zero, crash loop): 503."""

    def __init__(self, message: str, failure: Failure | None = None, retry_after: int = 1) -> None:
        super().__init__(message)
        self.failure = failure
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class RouteLimits:
    """Bounds of a route, known before a request is read. Bytes and seconds.

    `streams` tells whether what answers there can begin before a body is whole.
    """

    request_bytes: int
    queue_timeout: float
    streams: bool = False


class CutShort(Exception):
    """A call on the event loop would have held up others. Nothing came of it; make it once more, on a thread."""


class Lease(Protocol):
    """The right to call one instance once. A call gives it back, however it ends."""

    @property
    def plugin(self) -> str:
        """The plugin's name."""

    @property
    def revision(self) -> str:
        """The revision that answers."""

    @property
    def inline(self) -> bool:
        """Whether calls of this plugin are short enough to run on the event loop."""

    @property
    def streams(self) -> bool:
        """Whether `stream` can be called instead of `call`."""

    def stream(self, request: Request, flow: Flow) -> Response | None:
        """Run the guest on the calling thread while bodies flow; see Streaming. Raises GuestFailed."""

    def call(self, request: Request) -> Response:
        """Run the guest, within the plugin's timeout, on the calling thread. Raises GuestFailed.

        Behind filters, more than one: `plugin` is then the one that answered or failed, and where one of them is not
        to be had, Unroutable is raised. Such a lease is never `inline`.
        """

    def call_briefly(self, request: Request) -> Response:
        """Run the guest on the event loop. Raises GuestFailed; CutShort where it lasts."""

    def cancel(self) -> None:
        """Give it back uncalled. Idempotent, and harmless after `call`."""


class Called(Protocol):
    """The right to call one instance once, on a thread that waits."""

    @property
    def plugin(self) -> str:
        """Who answered, or failed, or will."""

    @property
    def revision(self) -> str:
        """The revision."""

    def call(self, request: Request, deadline: float) -> Response:
        """Run the guest, until `deadline` (monotonic seconds) at most. Raises GuestFailed, Unroutable."""


class Elsewhere(Protocol):
    """The pools of other processes."""

    def lease(self, route: str, deadline: float, depth: int, *, behind: bool) -> Called:
        """An instance there, for a call so many calls deep; `behind` the route's filters. Raises Unroutable."""


class Waiter(Protocol):
    """Somebody who waits for an instance. Told exactly once, from any thread, and must not block."""

    def granted(self, lease: Lease) -> None:
        """An instance is there. Whoever no longer wants it cancels it."""

    def refused(self, error: Unroutable) -> None:
        """There will be none."""


class Dispatcher(Protocol):
    """Where requests go."""

    def limits(self, route: str) -> RouteLimits:
        """The bounds of a route. Raises RouteUnknown."""

    def acquire(self, route: str, waiter: Waiter) -> Lease | None:
        """An idle instance now; or None, and the waiter is queued. Raises Unroutable."""

    def abandon(self, route: str, waiter: Waiter) -> bool:
        """Leave the queue (the client went away, the wait was too long). False if told already, or about to be."""
