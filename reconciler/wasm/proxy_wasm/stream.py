"""One request on its way through a guest: its maps and bodies, and what the guest decided about it."""

from dataclasses import replace
from typing import Final

from reconciler.wasm.kind import CallContext, Headers, Request, Response
from reconciler.wasm.proxy_wasm import abi

PSEUDO_HEADERS: Final = 4
"""How many of them a request has."""

Body = bytes | bytearray


class Stream:
    """A stream context. Maps are made when the guest first asks for them: many guests never do."""

    __slots__ = (
        "call",
        "closed",
        "context",
        "held",
        "local",
        "maps",
        "overflow",
        "properties",
        "request",
        "request_body",
        "request_paused",
        "response_body",
        "response_paused",
        "waits",
    )

    def __init__(self, context: int, request: Request, call: CallContext) -> None:
        self.context = context
        self.request = request
        self.call = call
        self.request_body: Body = request.body
        self.response_body: Body = b""
        self.local: Response | None = None
        self.closed = False
        """The guest closed or reset the stream."""
        self.overflow = False
        """The guest wrote more than `limits.responseBytes`."""
        self.request_paused = False
        self.response_paused = False
        self.held = 0
        """Bytes that it was counted with when it began to wait."""
        self.waits = False
        """proxy_on_done answered false: the guest will say proxy_done."""
        self.maps: list[Headers | None] = [None, None, None, None]
        self.properties: dict[bytes, bytes] | None = None

    def map(self, kind: int) -> Headers:
        """The headers or trailers of that kind (0 to 3), to be read and changed."""
        found = self.maps[kind]
        if found is None:
            found = self._make(kind)
            self.maps[kind] = found
        return found

    def _make(self, kind: int) -> Headers:
        request = self.request
        if kind == abi.REQUEST_HEADERS:
            path = f"{request.path}?{request.query}" if request.query else request.path
            return [
                (":authority", request.authority),
                (":path", path),
                (":method", request.method),
                (":scheme", request.scheme),
                *request.headers,
            ]
        if kind == abi.REQUEST_TRAILERS:
            return list(request.trailers)
        return [(":status", "200")] if kind == abi.RESPONSE_HEADERS else []

    @property
    def waiting(self) -> bool:
        """Whether the guest paused it and has neither resumed nor answered."""
        return self.local is None and not self.closed and (self.request_paused or self.response_paused)

    def shed(self) -> int:
        """Let go of the bodies: the request is over. How many bytes are still held."""
        self.request_body = self.response_body = b""
        self.request = replace(self.request, body=b"")
        self.local = None
        pairs = [self.request.headers, self.request.trailers, *filter(None, self.maps)]
        kept = {} if self.properties is None else self.properties
        return sum(len(key) + len(value) for some in pairs for key, value in some) + sum(
            len(key) + len(value) for key, value in kept.items()
        )

    def header_count(self) -> int:
        """How many request headers there are, pseudo headers among them."""
        found = self.maps[abi.REQUEST_HEADERS]
        return PSEUDO_HEADERS + len(self.request.headers) if found is None else len(found)

    def response(self) -> Response:
        """The answer, as the guest left it after the response phase."""
        body = bytes(self.response_body)
        pairs = self.maps[abi.RESPONSE_HEADERS]
        if pairs is None:
            return Response(200, [], body)
        status, headers = "", []
        for pair in pairs:
            if pair[0][:1] != ":":
                headers.append(pair)
            elif not status and pair[0] == ":status":
                status = pair[1]
        return Response(int(status) if status.isdecimal() and len(status) == 3 else 200, headers, body)
