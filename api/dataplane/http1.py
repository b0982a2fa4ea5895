"""One HTTP/1.x connection: whose turn it is, deadlines, back pressure, the bytes of an answer.

Belongs here: when to read and what to write. Does not: the grammar and its bounds (http1_reader.py), and what
happens to a request (exchange.py).
"""

import asyncio
import fcntl
import sys
import termios
from dataclasses import dataclass
from http import HTTPStatus
from math import inf
from typing import Final, cast

from api.dataplane import answers
from api.dataplane.answers import Answer
from api.dataplane.connections import Connections
from api.dataplane.exchange import Exchange, Gateway
from api.dataplane.http1_reader import Http1Reader, ReaderContext, Stage, Turn
from api.dataplane.http1_stream import OutStream, wants_trailers
from api.dataplane.inflow import Inflow
from api.dataplane.settings import Settings
from reconciler.wasm.flow import MOST

FAIR_TURNS: Final = 16
"""Pipelined requests that are begun before other connections get a turn."""

JOIN_BYTES: Final = 64 * 1024
"""A body up to this goes out in one write with its head; copying a larger one costs more than a second write."""

FLOW_AFTER: Final = 0.02
"""Seconds that a body may take to be whole before a guest that can begin without it is started."""

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_STATUS_LINES: Final = {code: f"HTTP/1.1 {code} {_PHRASES.get(code, '')}\r\n" for code in range(200, 600)}
_NO_MODE: Final = "\r\n"
_KEEPS: Final = "connection: keep-alive\r\n\r\n"
_CLOSES: Final = "connection: close\r\n\r\n"
"""How a head ends."""


@dataclass(slots=True)
class Http1Context:
    """What the HTTP/1 connections of a server share. `our_lines` are `server` and `date`, renewed each second."""

    gateway: Gateway
    connections: Connections
    settings: Settings
    reader: ReaderContext
    our_lines: str


class Http1Connection(asyncio.Protocol):
    """Speaks HTTP/1.1 and 1.0 with one client. One request is under way at a time."""

    def __init__(self, context: Http1Context, scheme: str) -> None:
        self.deadline = inf
        self._context = context
        self._scheme = scheme
        self._loop = context.gateway.loop
        self._transport: asyncio.Transport
        self._reader: Http1Reader
        self._unread: bytes | memoryview = b""
        self._exchange: Exchange | None = None
        self._turn: Turn | None = None
        self._inflow: Inflow | None = None
        self._out: OutStream | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._read_paused = False
        self._write_paused = False
        self._untaken = 0
        self._client_done = False
        self._closing = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there."""
        self._transport = cast("asyncio.Transport", transport)
        self._reader = Http1Reader(self._context.reader, peer_name(transport.get_extra_info("peername")), self._scheme)
        self.deadline = self._loop.time() + self._context.settings.header_timeout
        if not self._context.connections.add(self):
            self._reader.refuse(answers.error(503, "no more connections are taken now", retry_after=1))
            self._advance()
            # It is not among those that are swept.
            self._loop.call_later(self._context.settings.linger, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        reader = self._reader
        if self._closing or reader.over:
            return
        if self._turn is not None or reader.turns or self._unread:
            if self._inflow is not None:
                self._flow_in(data, self._inflow)
                return
            # The client pipelines. One read is kept, no more are made until it is its turn.
            self._unread = data if not self._unread else bytes(self._unread) + data
            self._pause_reading()
            return
        rest = reader.feed(data)
        if rest is not None:
            self._unread = rest
            self._pause_reading()
        self._advance()

    def eof_received(self) -> bool:
        """The client sends no more. It may still read, if a guest is at work for it; else it is given up."""
        self._client_done = True
        exchange = self._exchange
        if self._closing or not self._busy or (exchange is not None and exchange.waiting):
            return False
        if self._inflow is not None:  # the rest of its body will not come
            return False
        return self._transport.can_write_eof()  # False over TLS, which has no half-open connections

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._closing = True
        self.deadline = inf
        self._context.connections.remove(self)
        self._unread = b""
        self._reader.turns.clear()
        self._reader.close()
        if self._exchange is not None:
            self._exchange.cancel()
            self._exchange = None

    def pause_writing(self) -> None:
        """The client reads slower than we answer."""
        self._write_paused = True
        self._untaken = 0
        if self._exchange is not None and self._exchange.pump is not None:
            self._exchange.pump.hold()
        self.deadline = self._loop.time() + self._context.settings.write_timeout

    def resume_writing(self) -> None:
        """It caught up."""
        self._write_paused = False
        self._untaken = 0
        settings = self._context.settings
        self.deadline = self._loop.time() + (settings.linger if self._closing else settings.keep_alive_timeout)
        if self._exchange is not None and self._exchange.pump is not None:
            self.deadline = inf
            self._exchange.pump.go_on()
        self._advance()

    # What the set of connections calls.

    def expire(self, now: float) -> None:
        """The deadline is over: a client that is too slow."""
        unsent = self._transport.get_write_buffer_size()
        untaken = unsent and unsent + _in_kernel(self._transport)
        if untaken and not 0 < self._untaken <= untaken:  # it takes what we write, however slowly
            self._untaken = untaken
            self.deadline = now + self._context.settings.write_timeout
        elif unsent or self._closing:
            self._transport.abort()
        elif self._inflow is not None and self._exchange is not None:
            self._exchange.break_off(answers.error(408, f"{self._reader.stage.value} did not come in time"))
        elif self._reader.stage is Stage.REQUEST:
            self._close()
        else:
            self._reader.refuse(answers.error(408, f"{self._reader.stage.value} did not come in time"))
            self._advance()

    def drain(self) -> None:
        """Take no more requests."""
        if not self._busy and not self._closing and self._reader.stage is Stage.REQUEST:
            self._close()

    def abort(self) -> None:
        """End now."""
        self._transport.abort()

    # What an exchange calls.

    def answer(self, answer: Answer) -> None:
        """The answer of the request that is under way."""
        turn = self._turn
        assert turn is not None
        if answer.trailers and turn.request is not None and wants_trailers(turn.request):
            self.begin_flow(answer, None)
            self.send(answer.body)
            self.end_flow(answer.trailers)
            return
        begun_before = self._exchange is not None
        self._exchange = self._turn = None
        self._answer(turn, answer)
        if begun_before and not self._closing:
            self._advance()

    def begin_flow(self, answer: Answer, length: int | None) -> None:
        """The head of an answer whose body follows."""
        turn = self._turn
        assert turn is not None
        assert turn.request is not None
        self._out = out = OutStream(self._transport, turn.request, answer, length)
        if out.ends_connection or self._context.connections.draining:
            turn.persist = False
        self._untaken = 0
        request = turn.request
        end = _KEEPS if request.http_version == "1.0" and turn.persist else _NO_MODE if turn.persist else _CLOSES
        self._transport.write(
            (
                f"{_STATUS_LINES[answer.status]}{answer.block}{out.lines}{self._context.our_lines}"
                f"x-request-id: {request.request_id}\r\n{end}"
            ).encode("latin-1")
        )

    def send(self, data: bytes) -> None:
        """A part of that body."""
        assert self._out is not None
        if data:
            self._out.send(data)

    def end_flow(self, trailers: str) -> None:
        """That body is whole."""
        turn, out = self._turn, self._out
        assert turn is not None
        assert out is not None
        begun_before = self._exchange is not None
        self._exchange = self._turn = self._out = None
        out.end(trailers)
        if not turn.persist or self._inflow is not None:
            self._close()
        elif not self._write_paused:
            self.deadline = self._loop.time() + self._context.settings.keep_alive_timeout
        if begun_before and not self._closing:
            self._advance()

    def break_flow(self) -> None:
        """That body will not be whole, which the client sees by how the connection ends."""
        self._transport.abort()

    def read_on(self) -> None:
        """A guest took what there was of the request's body."""
        if self._inflow is not None and not self._closing:
            self.deadline = self._loop.time() + self._context.settings.body_timeout
            self._resume_reading()

    # How it goes on.

    @property
    def _busy(self) -> bool:
        return self._turn is not None or bool(self._reader.turns) or len(self._unread) > 0

    def _feed(self, data: bytes | memoryview) -> None:
        rest = self._reader.feed(data)
        if rest is not None:
            self._unread = rest
            self._pause_reading()

    def _advance(self) -> None:
        """Begin requests in their order, as far as it goes now."""
        turns = self._reader.turns
        for _ in range(FAIR_TURNS):
            if self._turn is not None or self._write_paused or self._closing:
                break
            if turns:
                self._begin(turns.popleft())
            elif self._unread:
                unread, self._unread = self._unread, b""
                self._feed(unread)
            else:
                self._listen()
                break
        else:
            self._loop.call_soon(self._advance)

    def _begin(self, turn: Turn) -> None:
        request, refusal = turn.request, turn.refusal
        if request is None or refusal is not None:
            refusal = refusal or answers.INTERNAL
            self._context.gateway.observer.request("", "", refusal.status, 0.0, 0.0)
            self._answer(turn, refusal)
            return
        self._turn = turn
        exchange = Exchange(self._context.gateway, request, self, self._inflow)
        exchange.begin()
        if self._turn is turn:
            self._exchange = exchange
            self.deadline = inf

    def _hand_over(self) -> None:
        """Begin a request whose body still comes."""
        self._patience = None
        if self._busy or self._closing or not self._reader.may_flow:
            return
        turn, self._inflow = self._reader.hand_over()
        self._begin(turn)
        self.read_on()

    def _flow_in(self, data: bytes, inflow: Inflow) -> None:
        """More of the body of the request that is under way."""
        exchange = self._exchange
        self._feed(data)
        if inflow.complete:
            self._inflow = None
            self.deadline = inf
        elif self._reader.over:
            refusal = self._reader.turns.pop().refusal
            if exchange is not None:
                exchange.break_off(refusal or answers.INTERNAL)
            return
        elif len(inflow.data) > MOST:
            self.deadline = inf
            self._pause_reading()
        else:
            self.deadline = self._loop.time() + self._context.settings.body_timeout
        if exchange is not None and exchange.pump is not None:
            exchange.pump.feed()

    def _listen(self) -> None:
        """Nothing is due: the client goes on."""
        if self._client_done:
            self._close()
            return
        reader = self._reader
        if self._read_paused:
            self._resume_reading()
        stage = reader.stage
        if stage is Stage.REQUEST:
            return
        if reader.wants_continue:
            reader.wants_continue = False
            self._transport.write(CONTINUE)
        if stage is Stage.BODY:
            self.deadline = self._loop.time() + self._context.settings.body_timeout
            if self._reader.may_flow:
                if self._reader.buffered >= MOST:
                    self._hand_over()
                elif self._patience is None:
                    self._patience = self._loop.call_later(FLOW_AFTER, self._hand_over)
        elif stage is Stage.HEAD:  # once for a head, however many pieces it comes in
            self.deadline = min(self.deadline, self._loop.time() + self._context.settings.header_timeout)

    def _pause_reading(self) -> None:
        self._read_paused = True
        self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._read_paused:
            self._read_paused = False
            self._transport.resume_reading()

    def _answer(self, turn: Turn, answer: Answer) -> None:
        close = not turn.persist or self._context.connections.draining or self._inflow is not None
        self._write(turn, answer, close)
        if close:
            self._close()
        elif not self._write_paused:
            self.deadline = self._loop.time() + self._context.settings.keep_alive_timeout

    def _write(self, turn: Turn, answer: Answer, close: bool) -> None:
        request, body, status = turn.request, answer.body, answer.status
        length = "" if status in answers.BODILESS else f"content-length: {len(body)}\r\n"
        if request is None:
            bodiless, request_id, end = False, self._context.reader.request_id(None), _NO_MODE
        else:
            bodiless, request_id = request.method == "HEAD", request.request_id
            end = _KEEPS if request.http_version == "1.0" else _NO_MODE
        if close:
            end = _CLOSES
        head = (
            f"{_STATUS_LINES[status]}{answer.block}{length}{self._context.our_lines}x-request-id: {request_id}\r\n{end}"
        ).encode("latin-1")
        self._untaken = 0
        if bodiless or not body:
            self._transport.write(head)
        elif len(body) <= JOIN_BYTES:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    def _close(self) -> None:
        """Close after what is written. Read on for a little: a reset would take the answer from the client."""
        self._closing = True
        self._inflow = None
        self._unread = b""
        self._reader.turns.clear()
        if not self._write_paused:
            self.deadline = self._loop.time() + self._context.settings.linger
        if self._client_done or not self._transport.can_write_eof():
            self._transport.close()
        else:
            self._transport.write_eof()
            self._resume_reading()


def _in_kernel(transport: asyncio.Transport) -> int:
    """Bytes that were written and that the client's kernel has not confirmed (tcp(7), SIOCOUTQ)."""
    answer = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(answer, sys.byteorder)


def peer_name(peername: tuple[str, int] | None) -> str:
    """A client's address as guests see it; empty where it has none."""
    if peername is None:
        return ""
    host, port = peername[0], peername[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
