"""A connection: waitress' channel with a strict parser, answers in JSON for what is no request, and optional TLS.

The TLS handshake is a state of the channel that waitress' loop drives without ever blocking, so that a client which
does not finish it costs a file descriptor until its time is over, and nothing else.
"""

import json
import logging
import socket
import ssl
import threading
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final

from waitress.channel import HTTPChannel
from waitress.task import ErrorTask, WSGITask

from api.tls import PEER_CERTIFICATE, PeerCertificate
from api.wsgi.parser import StrictParser

BUDGET_STEP: Final = 64 * 1024
"""Bytes of a body between two looks at how much all connections hold."""

LINGER: Final = 2.0
"""Seconds in which what a client still sends is thrown away after the last answer: closing at once would reset the
connection, and a reset can overtake the answer."""

logger = logging.getLogger(__name__)


class _JsonErrorTask(ErrorTask):  # type: ignore[misc]  # waitress has no types
    """The answer to bytes that are no request, as every other refusal of the admin port."""

    def execute(self) -> None:
        error = self.request.error
        body = json.dumps({"error": str(error.body)}).encode()
        self.status = f"{error.code} {HTTPStatus(error.code).phrase}"
        self.response_headers.append(("Content-Type", "application/json"))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Task(WSGITask):  # type: ignore[misc]  # waitress has no types
    """A request, whose environment also says which certificate the client showed."""

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[PEER_CERTIFICATE] = self.channel.peer_certificate
        return environ


class Channel(HTTPChannel):  # type: ignore[misc]  # waitress has no types
    """A connection without TLS."""

    task_class = _Task
    error_task_class = _JsonErrorTask
    parser_class = StrictParser
    peer_certificate: PeerCertificate | None = None
    begun = 0.0
    """When the first byte of the request that is being read came, by the monotonic clock."""
    lingers_until: float | None = None
    """When a connection that we ended is closed for good, by the monotonic clock; None while it lives."""
    close_when_flushed: bool  # waitress' own
    _checked = 0

    @property
    def idle(self) -> bool:
        """Whether nothing is being worked on or waits to be sent."""
        return not self.requests and not self.total_outbufs_len

    @property
    def held(self) -> int:
        """Bytes of bodies that it keeps."""
        reading = self.request
        requests = [*self.requests, *([reading] if reading is not None else [])]
        return sum(int(request.body_bytes_received) for request in requests)

    def late(self, now: float, patience: float) -> bool:
        """Whether a request began to come in more than `patience` seconds ago and is not complete, or it lingers on."""
        if self.lingers_until is not None:
            return now > self.lingers_until
        return self.idle and self.request is not None and now - self.begun > patience

    def readable(self) -> bool:
        """Whether there is something to read for."""
        return bool(super().readable()) or (self.lingers_until is not None and not self.will_close)

    def handle_read(self) -> None:
        """Read requests, or throw away what comes after the last one."""
        if self.lingers_until is None:
            super().handle_read()
            return
        try:
            gone = not self.socket.recv(self.adj.recv_bytes)
        except OSError:
            gone = True
        if gone:
            self.handle_close()

    def handle_write(self) -> None:
        """Send; once the last answer is out, say that there will be no more."""
        ending = bool(self.close_when_flushed)
        self.close_when_flushed = False
        super().handle_write()
        if ending and self.socket is not None:
            if self.total_outbufs_len:
                self.close_when_flushed = True
            else:
                self._begin_to_linger()

    def received(self, data: bytes) -> bool:
        """Take bytes of requests."""
        before = self.request
        taken: bool = super().received(data)
        reading = self.request
        if reading is not None and reading is not before:
            self.begun = time.monotonic()
            self._checked = 0
        if reading is not None and reading.body_bytes_received - self._checked >= BUDGET_STEP:
            self._checked = reading.body_bytes_received
            if self.server.bodies_exceed_budget():
                logger.warning("a request was cut: too many large ones at once", extra={"remote": self.addr[0]})
                self.handle_close()
        return taken

    def handle_expt(self) -> None:
        """Out-of-band data, which HTTP does not know: it would wake the loop for ever."""
        self.handle_close()

    def _begin_to_linger(self) -> None:
        self.lingers_until = time.monotonic() + LINGER
        with suppress(OSError):  # the client is gone already; reading will tell
            self.socket.shutdown(socket.SHUT_WR)


class TlsChannel(Channel):
    """A connection with TLS. `sock` is an ssl.SSLSocket that does not block and has not shaken hands."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        # One OpenSSL connection is not to be used by two threads: the loop reads and writes, and workers write.
        self._tls = threading.RLock()
        self._open = False
        self._wants_write = False
        super().__init__(*arguments, **named)

    def readable(self) -> bool:
        """During the handshake, what the handshake needs."""
        return bool(super().readable()) if self._open else not self._wants_write and not self.will_close

    def writable(self) -> bool:
        """During the handshake, what the handshake needs."""
        return bool(super().writable()) if self._open else self._wants_write or self.will_close

    def handle_read(self) -> None:
        """Go on with the handshake, or read one TLS record."""
        if not self._open:
            self._shake()
            return
        if self.lingers_until is not None:
            super().handle_read()
            return
        try:
            with self._tls:
                data = self.socket.recv(self.adj.recv_bytes)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            self.handle_close()
            return
        if data:
            self.last_activity = time.time()
            self.received(data)
        else:
            self.handle_close()

    def handle_write(self) -> None:
        """Go on with the handshake, or send."""
        if self._open or self.will_close:
            super().handle_write()
        else:
            self._shake()

    def send(self, data: bytes, do_close: bool = True) -> int:
        """Send what the connection takes now; the number of bytes."""
        with self._tls:
            if self.socket is None:
                return 0
            try:
                return int(self.socket.send(data))
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return 0
            except OSError:
                if do_close:
                    self.handle_close()
                return 0

    def close(self) -> None:
        """Tell the client that nothing was cut, and close."""
        with self._tls:
            self._say_goodbye()
            super().close()

    def _begin_to_linger(self) -> None:
        with self._tls:
            self._say_goodbye()
            super()._begin_to_linger()

    def _say_goodbye(self) -> None:
        if self.socket is not None and self._open and self.lingers_until is None:
            with suppress(OSError, ValueError):  # it does not wait for the client's own
                self.socket.unwrap()

    def _shake(self) -> None:
        try:
            with self._tls:
                self.socket.do_handshake()
        except ssl.SSLWantReadError:
            self._wants_write = False
        except ssl.SSLWantWriteError:
            self._wants_write = True
        except OSError as error:
            logger.info("tls handshake failed", extra={"remote": self.addr[0], "reason": str(error)})
            self.handle_close()
        else:
            self._open = True
            self.peer_certificate = PeerCertificate.of(self.socket.getpeercert())
