"""Bytes of an HTTP/1.x connection -> requests, in order, bounded and strict. No sockets, no clock, no threads.

llhttp (httptools) does the grammar and refuses what smuggling lives on: bare LF, folded headers, controls in values,
Content-Length beside Transfer-Encoding or twice, junk lengths. Belongs here: the bounds, what RFC 9112 leaves to the
server, and the route. Does not: when to read, and anything that is written.
"""

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from itertools import count
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from api.dataplane import answers
from api.dataplane.answers import Answer
from api.dataplane.inflow import Inflow
from api.dataplane.routing import Misaddressed, route_by_header, route_by_path, split_target
from api.dataplane.settings import Settings
from reconciler.host.invoke import RouteLimits, RouteUnknown
from reconciler.wasm.kind import Headers, Request

PIECE: Final = 4096
"""Bytes that are parsed at a time. llhttp cannot stop between requests, so this bounds how many are parsed ahead."""

FRAMING_FACTOR: Final = 16
"""Raw bytes of a chunked body for each byte of content: one-byte chunks take 6, and no honest client takes 16."""

_SANE_ID: Final = re.compile(r"[!-~]{1,128}")
_NO_TRAILERS: Final = frozenset(
    ("host", "id", "expect", "te", "trailer", "transfer-encoding", "connection", "keep-alive", "upgrade", "cookie")
) | frozenset(("authorization", "cache-control", "max-forwards", "x-request-id", "proxy-authorization"))
"""Fields that decide how a request is read or answered, which had to be known before (RFC 9110, 6.5.1); all that begin
with `content-`, too. They are not passed on.
"""
_ONCE: Final = ("host", "id", "expect", "x-request-id")


class Stage(Enum):
    """What a reader waits for."""

    REQUEST = "a request"
    HEAD = "the rest of a head"
    BODY = "the rest of a body"
    NOTHING = "nothing any more"


@dataclass(slots=True)
class Turn:
    """One thing to answer: a request, or a refusal of it. After one that does not `persist`, nothing follows.

    `request` is None where its head could not be read.
    """

    request: Request | None
    refusal: Answer | None
    persist: bool


@dataclass(slots=True)
class ReaderContext:
    """What readers share, and what they know of their connection's server."""

    settings: Settings
    limits: Callable[[str], RouteLimits]
    id_prefix: str
    ids: "count[int]"

    def request_id(self, offered: str | None) -> str:
        """The client's own id if it is sane, else a new one."""
        if offered is not None and _SANE_ID.fullmatch(offered):
            return offered
        return f"{self.id_prefix}{next(self.ids):08x}"


class _Refused(Exception):
    """Stops llhttp from inside a callback; the answer is in the reader."""


class Http1Reader:
    """Parses one connection. `turns` fills with what is to be answered."""

    def __init__(self, context: ReaderContext, remote: str, scheme: str) -> None:
        self.turns: deque[Turn] = deque()
        self.stage = Stage.REQUEST
        self.wants_continue = False
        self._context = context
        self._settings = context.settings
        self._header_count = context.settings.header_count
        self._remote = remote
        self._scheme = scheme
        self._parser: HttpRequestParser | None = HttpRequestParser(self)
        self._refusal: Answer | None = None
        self._url = b""
        self._lines: list[tuple[bytes, bytes]] = []
        self._raw_bytes = 0
        self._request: Request | None = None
        self._persist = True
        self._body = bytearray()
        self._body_limit = 0
        self._heads = -1
        self._inflow: Inflow | None = None
        self._flowed = 0
        self._flowing = False

    @property
    def may_flow(self) -> bool:
        """Whether the body that comes can be answered before it is whole."""
        return self._flowing and self.stage is Stage.BODY and self._inflow is None

    @property
    def buffered(self) -> int:
        """Bytes of the body that came so far."""
        return len(self._body)

    def hand_over(self) -> tuple[Turn, Inflow]:
        """The request whose body comes, to be answered now; the rest of the body goes where the second one says."""
        self._inflow = inflow = Inflow(self._body)
        self._flowed = len(self._body)
        self._body = bytearray()
        if self._heads < 0:
            self._heads = len(self._lines)
        return Turn(self._request, None, self._persist), inflow

    @property
    def over(self) -> bool:
        """Whether nothing more is read."""
        return self.stage is Stage.NOTHING

    def feed(self, data: bytes | memoryview) -> memoryview | None:
        """Parse. Returns what was not looked at since there is something to answer first."""
        if len(data) <= PIECE:
            self._parse(data)
            return None
        view, at = memoryview(data), 0
        while at < len(view) and not self.turns and not self.over:
            self._parse(view[at : at + PIECE])
            at += PIECE
        return view[at:] if at < len(view) and not self.over else None

    def refuse(self, refusal: Answer) -> None:
        """Read no further; `refusal` is the last that is answered."""
        self.stage = Stage.NOTHING
        self.turns.append(Turn(self._request, refusal, persist=False))

    def close(self) -> None:
        """Let go of the parser, which holds this reader. Idempotent."""
        self.stage = Stage.NOTHING
        self._parser = None

    def _parse(self, piece: bytes | memoryview) -> None:
        parser = self._parser
        while parser is not None:
            try:
                parser.feed_data(piece)
                parser = None
            except HttpParserUpgrade as upgrade:
                # We switch to no other protocol, so the connection goes on as it was (RFC 9110, 7.8).
                piece = memoryview(piece)[upgrade.args[0] :]
            except HttpParserError as problem:
                # After a request that ends the connection, llhttp complains about data that nobody looks at.
                if not self.over:
                    self.refuse(self._refusal or answers.error(400, f"the request is malformed: {problem}"))
                return
        stage = self.stage
        if stage is not Stage.REQUEST and stage is not Stage.NOTHING:
            self._count_unfinished(len(piece))

    def _count_unfinished(self, raw: int) -> None:
        """Bound what llhttp holds or skips without telling: half a header, chunk extensions, trailers."""
        self._raw_bytes += raw
        settings = self._settings
        if self.stage is Stage.HEAD:
            if self._raw_bytes > settings.header_bytes + settings.url_bytes + PIECE:
                self.refuse(answers.error(431, f"the head takes more than {settings.header_bytes} bytes"))
        elif self._raw_bytes > settings.header_bytes * 2 + settings.url_bytes + PIECE + FRAMING_FACTOR * (
            len(self._body) + self._flowed
        ):
            self.refuse(answers.error(400, "the body's chunks carry more framing than content"))

    def _refuse(self, status: int, message: str) -> _Refused:
        self._refusal = answers.error(status, message)
        return _Refused(message)

    # What llhttp calls, in this order.

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self.stage = Stage.HEAD
        self._url = b""
        self._lines = []
        self._raw_bytes = 0
        self._request = self._refusal = None

    def on_url(self, part: bytes) -> None:
        """The request target, in parts."""
        self._url += part
        if len(self._url) > self._settings.url_bytes:
            raise self._refuse(414, f"the request target takes more than {self._settings.url_bytes} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; or a trailer, which only counts."""
        lines = self._lines
        lines.append((name, value))
        if len(lines) > self._header_count:
            raise self._refuse(431, f"more than {self._header_count} headers are not read")

    def on_headers_complete(self) -> None:
        """The end of the head: everything is decided here but the body."""
        self.stage = Stage.BODY
        parser = self._parser
        assert parser is not None
        headers = [(name.decode("latin-1").lower(), value.rstrip().decode("latin-1")) for name, value in self._lines]
        fields = dict(headers)
        get = fields.get
        if len(fields) != len(headers):
            self._check_repeats(headers)
        if self._raw_bytes:  # the head came in pieces, so it may be too large
            self._check_size()
        version = parser.get_http_version()
        host = get("host")
        if version != "1.1" or host is None:
            host = self._host_of_old(version, host)
        self._persist = parser.should_keep_alive()
        url, ident = self._url.decode("latin-1"), get("id")
        if ident and ident.isascii() and url[:1] == "/" and "#" not in url:  # as _locate says, in fewer steps
            authority, (path, _, query), route = "", url.partition("?"), ident
        else:
            authority, path, query, route = self._locate(url, ident)
        self._request = request = Request(
            route,
            parser.get_method().decode("latin-1"),
            path,
            query,
            headers,
            b"",
            self._scheme,
            authority or host,
            self._remote,
            version,
            self._context.request_id(get("x-request-id")),
        )
        if request.method == "CONNECT":
            raise self._refuse(501, "CONNECT is not served; this is not a proxy")
        if "content-length" in fields or "transfer-encoding" in fields:
            self._expect_body(request, fields)

    def on_body(self, part: bytes) -> None:
        """A part of the body, without chunk framing."""
        if self._inflow is not None:
            self._inflow.data += part
            self._flowed += len(part)
            if self._flowed > self._body_limit:
                raise self._refuse(413, self._too_large())
            return
        body = self._body
        body += part  # in one piece: a list of one-byte chunks would take many times their size
        if len(body) > self._body_limit:
            raise self._refuse(413, self._too_large())

    def on_message_complete(self) -> None:
        """The end of a request."""
        request = self._request
        if self._body:
            assert request is not None
            request.body = bytes(self._body)
            self._body = bytearray()
        self.wants_continue = False
        self.stage = Stage.REQUEST if self._persist else Stage.NOTHING
        if self._heads < 0 or not self._end_body(request):
            self.turns.append(Turn(request, self._refusal, self._persist))

    def _end_body(self, request: Request | None) -> bool:
        """The end of a body that came in chunks, or flowed. Whether it flowed: then its request is under way."""
        lines, self._heads = self._lines[self._heads :], -1
        # llhttp tells trailers as it tells headers.
        pairs = [(name.decode("latin-1").lower(), value.rstrip().decode("latin-1")) for name, value in lines]
        trailers = [pair for pair in pairs if pair[0] not in _NO_TRAILERS and not pair[0].startswith("content-")]
        inflow, self._inflow = self._inflow, None
        if inflow is not None:
            inflow.trailers = trailers
            inflow.complete = True
            self._flowed = 0
        elif request is not None:
            request.trailers = trailers
        return inflow is not None

    def _check_size(self) -> None:
        limit = self._settings.header_bytes
        if sum(len(name) + len(value) + 4 for name, value in self._lines) > limit:
            raise self._refuse(431, f"the headers take more than {limit} bytes")

    def _check_repeats(self, headers: Headers) -> None:
        names = [name for name, _ in headers]
        for name in _ONCE:
            if names.count(name) > 1:
                raise self._refuse(400, f"the header {name} is there {names.count(name)} times; once is the most")

    def _host_of_old(self, version: str, host: str | None) -> str:
        """The host of a request that is not HTTP/1.1, or has none: HTTP/1.0 may leave it out."""
        if version not in ("1.1", "1.0"):
            raise self._refuse(505, f"HTTP/{version} is not spoken here; HTTP/1.1 and HTTP/1.0 are")
        if version == "1.1":
            raise self._refuse(400, "a request needs a Host header")
        return host or ""

    def _locate(self, url: str, ident: str | None) -> tuple[str, str, str, str]:
        """Authority, path, query and route. Where there is no route, the refusal is kept and all four are empty."""
        try:
            authority, path, query = split_target(url)
            if ident:
                return authority, path, query, route_by_header(ident)
            route, path = route_by_path(path)
        except Misaddressed as reason:
            self._refusal = answers.error(reason.status, reason.message)
            return "", "", "", ""
        return authority, path, query, route

    def _expect_body(self, request: Request, fields: dict[str, str]) -> None:
        coding = fields.get("transfer-encoding")
        if coding is not None:
            if request.http_version == "1.0":
                raise self._refuse(400, "HTTP/1.0 has no Transfer-Encoding")
            if coding.lower() != "chunked":
                raise self._refuse(501, f"the transfer coding {coding!r} is not known here; chunked is")
        length = int(fields.get("content-length", "0"))
        self._body_limit = self._limit_of(request) if length or coding is not None else 0
        self._heads = len(self._lines) if coding is not None else -1
        if length > self._body_limit:
            raise self._refuse(413, self._too_large())
        if (length or coding is not None) and "expect" in fields:
            if fields["expect"].lower() != "100-continue":
                raise self._refuse(417, f"the expectation {fields['expect']!r} cannot be met; 100-continue can")
            self.wants_continue = request.http_version == "1.1"

    def _limit_of(self, request: Request) -> int:
        """The bound of the body. A body that nobody will take is not read."""
        if self._refusal is None:
            try:
                limits = self._context.limits(request.route)
                self._flowing = limits.streams
                return limits.request_bytes
            except RouteUnknown as reason:
                self._refusal = answers.unroutable(reason)
        raise _Refused

    def _too_large(self) -> str:
        return f"the body is larger than the {self._body_limit} bytes that the route takes"
