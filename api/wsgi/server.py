"""The accepting side: how many connections there are, which of them have to go, and TLS for new ones."""

import logging
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any, Final

from waitress.adjustments import Adjustments
from waitress.server import TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from api.wsgi.channel import Channel, TlsChannel

RECORD_BYTES: Final = 16 * 1024
"""What is read at once: a whole TLS record, so that none of it is left in OpenSSL where poll cannot see it."""
LOOK: Final = 1.0
"""Seconds between two looks for clients that are late."""
ACCEPT_PAUSE: Final = 1.0
"""Seconds without accepting after the system had no descriptor left; without it the loop would spin."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What clients may take, one or all of them. Seconds, bytes, numbers.

    `request_seconds` is how long a request may take to come in, from its first byte to its last. `body_bytes` bounds
    one body, and `all_body_bytes` all that are held at once. With `connections` open, a new one takes the place of the
    one that was silent longest.
    """

    threads: int
    connections: int = 500
    head_bytes: int = 32 * 1024
    body_bytes: int = 8 * 2**20
    all_body_bytes: int = 64 * 2**20
    request_seconds: float = 30.0
    idle_seconds: int = 30


class Server(TcpWSGIServer):  # type: ignore[misc]  # waitress has no types
    """Serves a WSGI application on a listening socket. `sockets` is the loop's map of descriptors."""

    def __init__(
        self,
        app: Any,
        listener: socket.socket,
        sockets: dict[int, Any],
        bounds: Bounds,
        tls: ssl.SSLContext | None,
    ) -> None:
        self._bounds = bounds
        self._tls = tls
        self._accept_again = 0.0
        self._look_again = 0.0
        adjustments = Adjustments(
            threads=bounds.threads,
            channel_request_lookahead=1,  # or a client that leaves in the middle of a stream would not be noticed
            ident="",
            url_scheme="http" if tls is None else "https",
            recv_bytes=RECORD_BYTES,
            channel_timeout=bounds.idle_seconds,
            max_request_header_size=bounds.head_bytes,
            max_request_body_size=bounds.body_bytes,
            inbuf_overflow=bounds.body_bytes,
            asyncore_use_poll=True,
            log_socket_errors=False,
        )
        dispatcher = ThreadedTaskDispatcher()
        dispatcher.set_thread_count(adjustments.threads)
        place = (listener.family, listener.type, listener.proto, listener.getsockname())
        super().__init__(
            app, sockets, _sock=listener, dispatcher=dispatcher, adj=adjustments, sockinfo=place, bind_socket=False
        )

    def readable(self) -> bool:
        """Whether to accept. The loop asks at least once a second, which is when late clients are looked for."""
        if time.monotonic() >= self._look_again:
            self._look_again = time.monotonic() + LOOK
            self.maintenance(time.time())
        return bool(self.accepting) and time.monotonic() >= self._accept_again

    def maintenance(self, now: float) -> None:
        """Close connections that are silent, or whose request does not end."""
        super().maintenance(now)
        clock = time.monotonic()
        for channel in self.active_channels.values():
            if channel.late(clock, self._bounds.request_seconds):
                channel.will_close = True

    def handle_accept(self) -> None:
        """A new connection, in place of a silent one if there are enough."""
        try:
            connection, address = self.socket.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError as error:
            self._accept_again = time.monotonic() + ACCEPT_PAUSE
            logger.warning("no connection can be accepted for now", extra={"reason": error.strerror})
            return
        if len(self.active_channels) >= self._bounds.connections and not self._evict():
            connection.close()
            return
        try:
            connection.setblocking(False)
            self.set_socket_options(connection)
            if self._tls is None:
                Channel(self, connection, address, self.adj, map=self._map)
            else:
                wrapped = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
                TlsChannel(self, wrapped, address, self.adj, map=self._map)
        except OSError:  # it is gone already
            connection.close()

    def bodies_exceed_budget(self) -> bool:
        """Whether all connections together hold more than they may."""
        held = sum(int(channel.held) for channel in self.active_channels.values())
        return held > self._bounds.all_body_bytes

    def _evict(self) -> bool:
        """Close the connection that was silent longest and that nothing is owed; whether there was one."""
        silent = min(
            (channel for channel in self.active_channels.values() if channel.idle),
            key=lambda channel: float(channel.last_activity),
            default=None,
        )
        if silent is None:
            return False
        silent.handle_close()
        return True
