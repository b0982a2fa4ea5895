"""Which HTTP version a new connection speaks: by ALPN over TLS, by its first bytes otherwise."""

import asyncio
from math import inf
from typing import TYPE_CHECKING, Final, cast

from api.dataplane.http1 import Http1Connection, Http1Context

if TYPE_CHECKING:
    from api.dataplane.http2 import Http2Connection

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client that knows already that we speak HTTP/2 sends first (RFC 9113, 3.4)."""


class NewConnection(asyncio.Protocol):
    """Stands for a connection until it is known what it speaks, and hands it over then."""

    def __init__(self, context: Http1Context, scheme: str) -> None:
        self.deadline = inf
        self._context = context
        self._scheme = scheme
        self._transport: asyncio.Transport
        self._first = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._hand_over(http2=tls.selected_alpn_protocol() == "h2")
        elif self._context.connections.add(self):
            self.deadline = self._context.gateway.loop.time() + self._context.settings.header_timeout
        else:
            self._hand_over(http2=False)  # which says that there are too many

    def data_received(self, data: bytes) -> None:
        """Its first bytes."""
        self._first += data
        if len(self._first) >= len(PREFACE) or not PREFACE.startswith(self._first):
            self._hand_over(http2=self._first.startswith(PREFACE))

    def connection_lost(self, exc: Exception | None) -> None:
        """It ended before it said anything."""
        self._context.connections.remove(self)

    def expire(self, now: float) -> None:
        """It said nothing for too long."""
        self._transport.close()

    def drain(self) -> None:
        """Take no requests."""
        self._transport.close()

    def abort(self) -> None:
        """End now."""
        self._transport.abort()

    def _hand_over(self, *, http2: bool) -> None:
        context, transport = self._context, self._transport
        context.connections.remove(self)
        protocol = _http2(context) if http2 else Http1Connection(context, self._scheme)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._first:
            protocol.data_received(self._first)


def _http2(context: Http1Context) -> "Http2Connection":
    # 25 ms and 2 MB, which the first client that speaks it pays, and no start.
    from api.dataplane.http2 import Http2Connection  # noqa: PLC0415

    return Http2Connection(context)
