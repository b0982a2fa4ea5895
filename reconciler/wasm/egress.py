"""HTTP requests to places that somebody else named: a guest that calls out, a spec that says where a module lies.

Neither is trusted with where it leads: the host must be allowed, the addresses that its name resolves to are
checked, and the connection goes to the very address that was checked, so that a second DNS answer cannot change it.
Redirects are the caller's to follow, by a request that is checked in turn. The answer is bounded in size, and the whole
exchange in time, however slowly a server drips. One connection for each request: nothing is kept between guests.

Belongs here: resolving, connecting, HTTP/1.1. Does not: which addresses are allowed (reconciler.core.addresses), how
a guest asks (reconciler.wasm.proxy_wasm), how a module is fetched (reconciler.host.fetch).
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Final, Protocol

import h11

from reconciler.core.addresses import Address, normal_host, parse_address

HeaderList = tuple[tuple[str, str], ...]
"""Name and value in order, repeats allowed. Latin-1 text, as on the wire."""

_CHUNK: Final = 65536

# RFC 9110, 7.6.1, and the framing, which is ours to write.
_NOT_FORWARDED: Final = frozenset(
    ("connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization", "proxy-connection", "te",
     "trailer", "transfer-encoding", "upgrade")
)  # fmt: skip


class EgressError(Exception):
    """A request that got no answer. `str()` is a sentence.

    EgressError
    +-- EgressDenied   it may not be made: trying again is useless
    +-- EgressFailed   it was made, or could not be: unknown host, refused, broken off, malformed, too late
        +-- EgressTooLarge   the answer is larger than the bound
    """


class EgressDenied(EgressError):
    """The host or its address is not allowed."""


class EgressFailed(EgressError):
    """No complete answer within the bounds."""


class EgressTooLarge(EgressFailed):
    """The answer's body is larger than the bound."""


@dataclass(frozen=True, slots=True)
class EgressRequest:
    """A request. `scheme` is http or https; `host` a name or address; `path` holds the query too.

    Framing headers and `host` are written by the client; what the request holds of them is left out. `max_body` is
    the largest body of the answer in bytes, where the client's own bound is too wide.
    """

    method: str
    scheme: str
    host: str
    port: int
    path: str
    headers: HeaderList = ()
    body: bytes = b""
    trailers: HeaderList = ()
    max_body: int | None = None


@dataclass(frozen=True, slots=True)
class EgressResponse:
    """An answer, with lower-case names. The body is as the server encoded it, without the transfer coding."""

    status: int
    headers: HeaderList
    body: bytes
    trailers: HeaderList = ()


@dataclass(frozen=True, slots=True)
class EgressBounds:
    """The largest answer, in bytes: its headers, and its body."""

    head: int = 65_536
    body: int = 8 * 2**20


class Resolver(Protocol):
    """Finds the addresses of a host name."""

    def resolve(self, host: str, port: int, timeout: float) -> tuple[str, ...]:
        """At least one address, best first. Raises EgressFailed."""


class Policy(Protocol):
    """What may be reached; HostPolicy is one."""

    def permits(self, host: str, port: int) -> bool:
        """Whether that host may be named."""

    def refusal(self, address: Address, port: int) -> str:
        """Why an address that the host resolved to may not be connected to; empty where it may."""


class HttpClient(Protocol):
    """Makes requests. Safe to use from several threads."""

    def send(self, request: EgressRequest, policy: Policy, deadline: float) -> EgressResponse:
        """The answer, whatever its status. `deadline` is in monotonic seconds. Raises EgressError."""


class SystemResolver:
    """The system's own resolver. It cannot be told when to stop, so each lookup runs on a thread that may be left."""

    def __init__(self, at_once: int = 16) -> None:
        self._free = threading.BoundedSemaphore(at_once)

    def resolve(self, host: str, port: int, timeout: float) -> tuple[str, ...]:
        """The addresses of a host; see Resolver."""
        start = time.monotonic()
        if not self._free.acquire(timeout=max(timeout, 0)):
            raise EgressFailed(f"{host} was not resolved in time: too many lookups are under way")
        answers: SimpleQueue[tuple[str, ...] | OSError | UnicodeError] = SimpleQueue()
        threading.Thread(target=self._lookup, args=(host, port, answers), name="resolve", daemon=True).start()
        try:
            answer = answers.get(timeout=max(timeout - (time.monotonic() - start), 0))
        except Empty:
            raise EgressFailed(f"{host} was not resolved in time") from None
        if isinstance(answer, OSError | UnicodeError):
            raise EgressFailed(f"{host} cannot be resolved: {answer}")
        return answer

    def _lookup(self, host: str, port: int, answers: "SimpleQueue[tuple[str, ...] | OSError | UnicodeError]") -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answers.put(tuple(str(entry[4][0]) for entry in found))
        except (OSError, UnicodeError) as error:
            answers.put(error)
        finally:
            self._free.release()


class PinnedHttpClient:
    """An HttpClient over HTTP/1.1, one connection for each request. `tls` decides which certificates are good."""

    def __init__(self, resolver: Resolver, tls: ssl.SSLContext, bounds: EgressBounds | None = None) -> None:
        self._resolver = resolver
        self._tls = tls
        self._bounds = bounds or EgressBounds()

    def send(self, request: EgressRequest, policy: Policy, deadline: float) -> EgressResponse:
        """The answer; see HttpClient."""
        place = f"{request.host}:{request.port}"
        if request.scheme not in ("http", "https"):
            raise EgressFailed(f"{place}: the scheme is http or https, not {request.scheme!r}")
        if request.method.upper() == "CONNECT":
            raise EgressDenied(f"{place}: a guest may not open a tunnel")
        if not policy.permits(request.host, request.port):
            raise EgressDenied(f"{place} is not among the allowed hosts")
        try:
            parser, encoded = _encode(request, self._bounds.head)
            with contextlib.ExitStack() as stack:
                connection = self._connect(request, self._addresses(request, policy, deadline), deadline, stack)
                # A server may answer before it read everything, and close: the answer is read all the same.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    _send(connection, encoded, deadline)
                limit = self._bounds.body if request.max_body is None else min(request.max_body, self._bounds.body)
                return _receive(connection, parser, limit, deadline)
        except TimeoutError:
            raise EgressFailed(f"{place} gave no complete answer in time") from None
        except (OSError, UnicodeError, h11.ProtocolError) as error:
            raise EgressFailed(f"{place}: {error}") from error

    def _addresses(self, request: EgressRequest, policy: Policy, deadline: float) -> list[Address]:
        """The addresses that may be connected to: all that the name has, less those that are refused."""
        literal = parse_address(request.host)
        if literal is not None:
            found = [literal]
        else:
            host = normal_host(request.host)
            texts = self._resolver.resolve(host, request.port, deadline - time.monotonic())
            found = [address for address in map(parse_address, texts) if address is not None]
        refusals = [policy.refusal(address, request.port) for address in found]
        permitted = [address for address, refusal in zip(found, refusals, strict=True) if not refusal]
        if not permitted:
            raise EgressDenied(f"{request.host}: {refusals[0] if refusals else 'it has no address'}")
        return permitted

    def _connect(
        self, request: EgressRequest, addresses: list[Address], deadline: float, stack: contextlib.ExitStack
    ) -> socket.socket:
        """A connection to the first address that answers; each gets its share of the time that is left."""
        failure: OSError = TimeoutError()
        for index, address in enumerate(addresses):
            share = _left(deadline) / (len(addresses) - index)
            try:
                plain = socket.create_connection((str(address), request.port), timeout=share)
            except OSError as error:
                failure = error
                continue
            stack.enter_context(plain)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if request.scheme == "http":
                return plain
            plain.settimeout(_left(deadline))
            return stack.enter_context(self._tls.wrap_socket(plain, server_hostname=normal_host(request.host)))
        raise failure


def _receive(connection: socket.socket, parser: h11.Connection, limit: int, deadline: float) -> EgressResponse:
    status = 0
    headers: HeaderList = ()
    body = bytearray()
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            connection.settimeout(_left(deadline))
            parser.receive_data(connection.recv(_CHUNK))
        elif isinstance(event, h11.Response):
            status, headers = event.status_code, _text(event.headers)
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > limit:
                raise EgressTooLarge(f"the answer is larger than {limit} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return EgressResponse(status, headers, bytes(body), _text(event.headers))
        elif isinstance(event, h11.ConnectionClosed):
            raise EgressFailed("the connection was closed before an answer")


def _encode(request: EgressRequest, max_head: int) -> tuple[h11.Connection, bytes]:
    """The request as bytes, and the parser for its answer. Raises h11.LocalProtocolError where it is malformed."""
    parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=max_head)
    headers = [(name.lower(), value) for name, value in request.headers]
    headers = [(name, value) for name, value in headers if name not in _NOT_FORWARDED]
    headers += [("host", _authority(request)), ("connection", "close")]
    if request.trailers:
        headers.append(("transfer-encoding", "chunked"))
    elif request.body or request.method not in ("GET", "HEAD"):
        headers.append(("content-length", str(len(request.body))))
    events = (
        h11.Request(method=request.method, target=request.path, headers=_wire(headers)),
        h11.Data(request.body),
        h11.EndOfMessage(headers=_wire(request.trailers)),
    )
    return parser, b"".join(parser.send(event) or b"" for event in events)


def _authority(request: EgressRequest) -> str:
    """The `host` header: never another host than the one that was allowed."""
    host = normal_host(request.host)
    host = f"[{host}]" if ":" in host else host
    usual = 443 if request.scheme == "https" else 80
    return host if request.port == usual else f"{host}:{request.port}"


def _wire(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


def _text(headers: Iterable[tuple[bytes, bytes]]) -> HeaderList:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


def _left(deadline: float) -> float:
    """Seconds until the deadline. Raises TimeoutError past it."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _send(connection: socket.socket, data: bytes, deadline: float) -> None:
    # Not sendall: over TLS its timeout starts again with each piece.
    rest = memoryview(data)
    while rest:
        connection.settimeout(_left(deadline))
        rest = rest[connection.send(rest) :]
