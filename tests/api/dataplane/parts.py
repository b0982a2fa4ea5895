"""What the data plane's tests share: a dispatcher that behaves as the host does, and a client that sees bytes."""

import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from reconciler.host.invoke import CutShort, Lease, QueueFull, RouteLimits, RouteUnknown, Waiter
from reconciler.wasm.flow import Flow
from reconciler.wasm.kind import Request, Response

Handler = Callable[[Request], Response]
Streamer = Callable[[Request, Flow], Response | None]
DEADLINE = 10.0


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + DEADLINE
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < end, "the condition never held"
        tick.wait(0.002)


class Route:
    """A pool of `instances` that all do the same."""

    def __init__(
        self,
        handler: Handler,
        *,
        instances: int = 1,
        inline: bool = False,
        streamer: Streamer | None = None,
        **limits: float,
    ) -> None:
        self.handler = handler
        self.streamer = streamer
        self.instances = instances
        self.inline = inline
        self.lasts = False
        self.queue = int(limits.get("queue", 100))
        self.limits = RouteLimits(
            int(limits.get("request_bytes", 1 << 20)),
            limits.get("queue_timeout", DEADLINE),
            streamer is not None,
        )
        self.idle = instances
        self.waiting: OrderedDict[Waiter, None] = OrderedDict()
        self.lock = threading.Lock()


class RouteLease:
    """One of a route's instances."""

    revision = "1"

    def __init__(self, name: str, route: Route) -> None:
        self.plugin = f"plugin-{name}"
        self.inline = route.inline
        self.streams = route.streamer is not None
        self._name = name
        self._route = route
        self._held = True

    def call(self, request: Request) -> Response:
        try:
            return self._route.handler(request)
        finally:
            self.cancel()

    def call_briefly(self, request: Request) -> Response:
        if self._route.lasts:
            self.cancel()
            raise CutShort
        return self.call(request)

    def stream(self, request: Request, flow: Flow) -> Response | None:
        assert self._route.streamer is not None
        try:
            return self._route.streamer(request, flow)
        except OSError:  # its client left before it began
            assert flow.stopped is not None
            return None
        finally:
            self.cancel()

    def cancel(self) -> None:
        with self._route.lock:
            if not self._held:
                return
            self._held = False
            if not self._route.waiting:
                self._route.idle += 1
                return
            waiter, _ = self._route.waiting.popitem(last=False)
        waiter.granted(RouteLease(self._name, self._route))


class RouteDispatcher:
    """Routes by name, each with its line of waiters: the contract of reconciler.host.invoke."""

    def __init__(self, routes: dict[str, Route]) -> None:
        self.routes = routes

    def limits(self, route: str) -> RouteLimits:
        return self._find(route).limits

    def acquire(self, route: str, waiter: Waiter) -> Lease | None:
        found = self._find(route)
        with found.lock:
            if found.idle:
                found.idle -= 1
                return RouteLease(route, found)
            if len(found.waiting) >= found.queue:
                raise QueueFull(f"all instances of route {route!r} are busy", retry_after=3)
            found.waiting[waiter] = None
        return None

    def abandon(self, route: str, waiter: Waiter) -> None:
        found = self._find(route)
        with found.lock:
            found.waiting.pop(waiter, None)

    def remove(self, route: str) -> None:
        """The route is gone; who waits is told."""
        gone = self.routes.pop(route)
        while gone.waiting:
            gone.waiting.popitem()[0].refused(RouteUnknown(f"no plugin answers on route {route!r}"))

    def _find(self, route: str) -> Route:
        try:
            return self.routes[route]
        except KeyError:
            raise RouteUnknown(f"no plugin answers on route {route!r}") from None


@dataclass
class Answered:
    """A response as it came."""

    status: int
    headers: dict[str, str]
    body: bytes
    raw_head: bytes


@dataclass
class Gate:
    """A guest that waits until it is let go; counts those inside."""

    opened: threading.Event = field(default_factory=threading.Event)
    entered: int = 0

    def __call__(self, request: Request) -> Response:
        self.entered += 1
        assert self.opened.wait(DEADLINE)
        return Response(200, [], b"slow")


def echo(request: Request) -> Response:
    """Answers what it was asked."""
    seen = f"{request.method} {request.route} {request.path} {request.query} {len(request.body)}"
    return Response(200, [("content-type", "text/plain")], seen.encode() + b"\n" + request.body)


class RawClient:
    """A TCP connection that sends exactly these bytes, and reads one response at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self._rest = b""

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, *, bodiless: bool = False) -> Answered:
        """The next response."""
        while b"\r\n\r\n" not in self._rest:
            self._more()
        head, self._rest = self._rest.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        assert len(headers) == len(lines), lines
        length = 0 if bodiless else int(headers.get("content-length", "0"))
        pieces = [self._rest[:length]]
        self._rest = self._rest[length:]
        missing = length - len(pieces[0])
        while missing:
            data = self._receive()
            assert data, f"closed with {missing} bytes missing"
            pieces.append(data[:missing])
            self._rest = data[missing:]
            missing -= len(pieces[-1])
        return Answered(int(first.split(" ")[1]), headers, b"".join(pieces), head)

    def until(self, mark: bytes) -> bytes:
        """What comes, up to and with these bytes."""
        while mark not in self._rest:
            self._more()
        found, _, self._rest = self._rest.partition(mark)
        return found + mark

    def at_end(self) -> bool:
        """Whether the server closed, with nothing left to read."""
        return not self._rest and not self._receive()

    def _more(self) -> None:
        data = self._receive()
        assert data, f"closed in the middle of an answer, after {self._rest!r}"
        self._rest += data

    def _receive(self) -> bytes:
        try:
            return self.socket.recv(65536)
        except ConnectionResetError:
            return b""
