"""One HTTP/2 connection: its streams, deadlines, windows, and the bounds that keep a client from costing too much.

The library h2 does the frames, the header compression and the state of each stream, and refuses what RFC 9113 forbids.
It bounds decompressed headers and CONTINUATION frames. Belongs here: what is done about its events, how much of it.
Does not: what a head means (http2_head.py), what happens to a request (exchange.py).
"""

import asyncio
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, Final, cast

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    RequestReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    WindowUpdated,
)
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from h2.settings import Settings as Http2Settings
from hyperframe.frame import GoAwayFrame

from api.dataplane import answers
from api.dataplane.answers import Answer
from api.dataplane.exchange import Exchange
from api.dataplane.http1 import FAIR_TURNS, Http1Context, peer_name
from api.dataplane.http2_head import read_head
from api.dataplane.http2_stream import Http2Stream
from reconciler.host.invoke import RouteUnknown
from reconciler.wasm.kind import Headers

PATIENCE: Final = 1000
"""Trouble that a client may cause between answers, in events that cost us and bring no request on its way."""
FRAME: Final = 16 * 1024 + 9
"""The largest frame that we take. h2 looks at a frame's size when it is whole, so what it holds is counted here."""
_RESET_COSTS: Final = 10
"""How much trouble a stream is that its client resets (CVE-2023-44487): a guest may have run for it in vain."""


class Http2Connection(asyncio.Protocol):
    """Speaks HTTP/2 with one client. Many requests are under way at a time."""

    def __init__(self, context: Http1Context) -> None:
        self.deadline = inf
        self._context = context
        self._loop = context.gateway.loop
        self._transport: asyncio.Transport
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="latin-1"))
        self._handlers: dict[type[Event], Callable[[Any], None]] = {
            RequestReceived: self._on_request,
            DataReceived: self._on_data,
            StreamEnded: self._on_end,
            TrailersReceived: self._on_trailers,
            WindowUpdated: self._on_window,
            StreamReset: self._on_reset,
            ConnectionTerminated: self._on_terminated,
            PingReceived: self._on_trouble,
            PriorityUpdated: self._on_trouble,
            RemoteSettingsChanged: self._on_trouble,
        }
        self._streams: dict[int, Http2Stream] = {}
        self._ready: deque[Http2Stream] = deque()
        self._idle_since = 0.0
        self._remote = ""
        self._last = 0
        self._unfinished = 0
        self._trouble = 0
        self._batching = False
        self._write_paused = False
        self._draining = False
        self._closing = False

    # What the event loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client is there that speaks HTTP/2."""
        settings = self._context.settings
        self._transport = cast("asyncio.Transport", transport)
        self._remote = peer_name(transport.get_extra_info("peername"))
        first = {
            SettingCodes.MAX_CONCURRENT_STREAMS: settings.streams,
            SettingCodes.MAX_HEADER_LIST_SIZE: settings.header_bytes,
        }
        self._h2.local_settings = Http2Settings(client=False, initial_values=first)
        self._h2.decoder.max_header_list_size = settings.header_bytes
        self._h2.initiate_connection()
        self._be_idle()
        if not self._context.connections.add(self):
            self._end(ErrorCodes.ENHANCE_YOUR_CALM)
            return
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._closing:
            return
        self._batching = True
        try:
            events = self._h2.receive_data(data)
            self._unfinished = 0 if events else self._unfinished + len(data)
            for event in events:
                handler = self._handlers.get(type(event))
                if handler is not None:
                    handler(event)
        except ProtocolError:  # h2 has said why in a GOAWAY frame
            self._close()
            return
        finally:
            self._batching = False
        if self._trouble > PATIENCE or self._unfinished > self._context.settings.header_bytes + FRAME:
            self._end(ErrorCodes.ENHANCE_YOUR_CALM)
            return
        self._begin_some()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._closing = True
        self.deadline = inf
        self._context.connections.remove(self)
        self._cancel_all()
        self._handlers.clear()  # they hold this connection

    def pause_writing(self) -> None:
        """The client reads slower than we answer: nothing more of it is read, nor written, until it caught up."""
        self._write_paused = True
        self._transport.pause_reading()
        self.deadline = self._loop.time() + self._context.settings.write_timeout

    def resume_writing(self) -> None:
        """It caught up."""
        self._write_paused = False
        self._plan_deadline()
        if not self._closing:
            self._transport.resume_reading()
            self._send_some(*list(self._streams.values()))
            self._flush()

    # What the set of connections calls.

    def expire(self, now: float) -> None:
        """The deadline is over: the client, or some of its streams, are too slow."""
        if self._write_paused or self._closing:
            self._transport.abort()
        elif not self._streams:
            self._end(ErrorCodes.NO_ERROR)
        else:
            for stream in [stream for stream in self._streams.values() if stream.deadline <= now]:
                if stream.body is None:
                    self._reset(stream, ErrorCodes.CANCEL)
                else:
                    self._refuse(stream, answers.error(408, "the rest of a body did not come in time"))
            self._plan_deadline()
            self._flush()

    def drain(self) -> None:
        """Take no more requests: say so now, and close when those are answered that came."""
        if self._draining or self._closing:
            return
        self._draining = True
        self._flush()
        # h2's own way to say it ends the connection at once, for answers too.
        self._transport.write(GoAwayFrame(0, last_stream_id=self._last).serialize())
        self._close_if_done()

    def abort(self) -> None:
        """End now."""
        self._transport.abort()

    # What streams call.

    def answered(self, stream: Http2Stream, answer: Answer) -> None:
        """A stream's answer is there."""
        self._trouble = max(0, self._trouble - _RESET_COSTS)
        early = stream.body is not None
        stream.body = stream.exchange = None
        status = answer.status
        body = b"" if status in answers.BODILESS or stream.request.method == "HEAD" else answer.body
        whole = not body and not answer.trailers
        self._h2.send_headers(stream.id, self._head(stream, answer, len(answer.body)), end_stream=whole)
        stream.unsent = memoryview(body)
        stream.trailers = [_field(line) for line in answer.trailers.split("\r\n") if line]
        if body:
            stream.deadline = self._loop.time() + self._context.settings.write_timeout
            self._send_some(stream)
        elif whole:
            self._sent(stream)
        else:
            self._end_stream(stream)
        if early and not stream.unsent:  # of a request that is not whole, nothing more is wanted (RFC 9113, 8.1)
            self._h2.reset_stream(stream.id, ErrorCodes.NO_ERROR)
        self._flush()

    def flow_begins(self, stream: Http2Stream, answer: Answer, length: int | None) -> None:
        """The head of an answer whose body follows."""
        self._trouble = max(0, self._trouble - _RESET_COSTS)
        stream.body = None
        stream.flows = stream.request.method != "HEAD" and answer.status not in answers.BODILESS
        self._h2.send_headers(stream.id, self._head(stream, answer, length), end_stream=not stream.flows)
        self._flush()

    def flow_goes_on(self, stream: Http2Stream, data: bytes) -> None:
        """A part of the body. The guest is held up while the client has no room for it."""
        if not stream.flows:
            return
        stream.unsent = memoryview(bytes(stream.unsent) + data if stream.unsent else data)
        self._send_some(stream)
        if stream.unsent:
            stream.deadline = self._loop.time() + self._context.settings.write_timeout
            self._plan_deadline()
            if stream.exchange is not None and stream.exchange.pump is not None:
                stream.exchange.pump.hold()
        self._flush()

    def flow_ends(self, stream: Http2Stream, trailers: str) -> None:
        """The body is whole; trailers need no consent here (RFC 9113, 8.1)."""
        stream.exchange = None
        stream.trailers = [_field(line) for line in trailers.split("\r\n") if line]
        if stream.flows:
            stream.flows = False
            if not stream.unsent:
                self._end_stream(stream)
        else:
            self._sent(stream)
        self._flush()

    def flow_breaks(self, stream: Http2Stream) -> None:
        """The body will not be whole."""
        stream.exchange = None
        self._reset(stream, ErrorCodes.INTERNAL_ERROR)
        self._flush()

    def _end_stream(self, stream: Http2Stream) -> None:
        """After the last byte of a body that flowed."""
        if stream.trailers:
            self._h2.send_headers(stream.id, stream.trailers, end_stream=True)
        else:
            self._h2.end_stream(stream.id)
        self._sent(stream)

    # What h2 tells.

    def _on_trailers(self, event: TrailersReceived) -> None:
        stream = self._streams.get(event.stream_id or 0)
        if stream is not None:
            stream.request.trailers = tuple(cast("Headers", event.headers))

    def _on_window(self, event: WindowUpdated) -> None:
        """The client takes more: of one stream, or (0) of all."""
        found = self._streams.get(event.stream_id or 0)
        self._send_some(*([found] if found is not None else [] if event.stream_id else self._streams.values()))

    def _on_reset(self, event: StreamReset) -> None:
        self._trouble += _RESET_COSTS
        stream = self._streams.pop(event.stream_id or 0, None)
        if stream is not None:
            self._cancel(stream)

    def _on_terminated(self, _event: ConnectionTerminated) -> None:
        self._close()

    def _on_trouble(self, _event: Event) -> None:
        self._trouble += 1

    def _on_request(self, event: RequestReceived) -> None:
        number = event.stream_id or 0
        if self._draining:
            self._h2.reset_stream(number, ErrorCodes.REFUSED_STREAM)
            return
        self._last = number
        request, refusal = read_head(self._context.reader, cast("Headers", event.headers), self._remote)
        stream = self._streams[number] = Http2Stream(self, number, request)
        self.deadline = inf
        whole = event.stream_ended is not None
        if refusal is None and not whole:
            refusal = self._expect_body(stream)
        if refusal is not None:
            if whole:
                stream.body = None
            self._refuse(stream, refusal)

    def _expect_body(self, stream: Http2Stream) -> Answer | None:
        """A body follows: how large it may be, and whether the client waits to be asked for it."""
        try:
            stream.limit = self._context.reader.limits(stream.request.route).request_bytes
        except RouteUnknown as reason:
            return answers.unroutable(reason)
        named = dict(stream.request.headers)
        if int(named.get("content-length", "0")) > stream.limit:
            return _too_large(stream)
        if "expect" in named:
            self._h2.send_headers(stream.id, [(":status", "100")])
        stream.deadline = self._loop.time() + self._context.settings.body_timeout
        self._plan_deadline()
        return None

    def _on_data(self, event: DataReceived) -> None:
        number, data = event.stream_id or 0, event.data or b""
        self._h2.acknowledge_received_data(event.flow_controlled_length or 0, number)
        stream = self._streams.get(number)
        if stream is None or stream.body is None:
            return  # it was refused, and the client may not know yet
        if not data:
            self._trouble += 1
            return
        stream.body += data
        stream.deadline = self._loop.time() + self._context.settings.body_timeout
        if len(stream.body) > stream.limit:
            self._refuse(stream, _too_large(stream))

    def _on_end(self, event: StreamEnded) -> None:
        stream = self._streams.get(event.stream_id or 0)
        if stream is not None and stream.body is not None:
            stream.request.body = bytes(stream.body)
            stream.body = None
            stream.deadline = inf
            self._ready.append(stream)

    # How it goes on.

    def _begin_some(self) -> None:
        """Begin requests that are whole, as many as other connections can wait for; write what there is to write."""
        self._batching = True
        for _ in range(min(FAIR_TURNS, len(self._ready))):
            stream = self._ready.popleft()
            if self._streams.get(stream.id) is stream:
                exchange = stream.exchange = Exchange(self._context.gateway, stream.request, stream)
                exchange.begin()
        self._batching = False
        if self._ready:
            self._loop.call_soon(self._begin_some)
        self._plan_deadline()
        self._flush()

    def _refuse(self, stream: Http2Stream, refusal: Answer) -> None:
        self._context.gateway.observer.request("", "", refusal.status, 0.0, 0.0)
        self.answered(stream, refusal)

    def _head(self, stream: Http2Stream, answer: Answer, length: int | None) -> list[tuple[str, str]]:
        lines = f"{answer.block}{self._context.our_lines}x-request-id: {stream.request.request_id}".split("\r\n")
        head = [(":status", str(answer.status)), *(_field(line) for line in lines)]
        if answer.status not in answers.BODILESS and length is not None:
            head.append(("content-length", str(length)))
        return head

    def _send_some(self, *streams: Http2Stream) -> None:
        """As much of bodies as the client's windows and the transport take."""
        for stream in streams:
            while stream.unsent and not self._write_paused:
                room = min(self._h2.local_flow_control_window(stream.id), self._h2.max_outbound_frame_size)
                if room <= 0:
                    break
                piece, stream.unsent = stream.unsent[:room], stream.unsent[room:]
                last = not stream.unsent and not stream.flows
                self._h2.send_data(stream.id, bytes(piece), end_stream=last and not stream.trailers)
                stream.deadline = self._loop.time() + self._context.settings.write_timeout
                if stream.unsent:
                    self._write()  # at once, so that the transport says when it has enough
                elif stream.flows:
                    self._caught_up(stream)
                elif stream.trailers:
                    self._end_stream(stream)
                else:
                    self._sent(stream)
                if not self._batching:
                    self._flush()

    def _caught_up(self, stream: Http2Stream) -> None:
        """The client took all that there is of a body that flows: what comes next is the guest's."""
        stream.deadline = inf
        if stream.exchange is not None and stream.exchange.pump is not None:
            stream.exchange.pump.go_on()

    def _sent(self, stream: Http2Stream) -> None:
        """An answer is with h2, whole."""
        if self._streams.pop(stream.id, None) is not None and not self._streams:
            self._be_idle()

    def _reset(self, stream: Http2Stream, code: ErrorCodes) -> None:
        if self._streams.pop(stream.id, None) is not None:
            self._cancel(stream)
            self._h2.reset_stream(stream.id, code)

    def _be_idle(self) -> None:
        self._idle_since = self._loop.time()
        self._plan_deadline()

    def _plan_deadline(self) -> None:
        """The first of what is waited for; guests have deadlines of their own."""
        settings = self._context.settings
        if self._write_paused or self._closing:
            return
        if self._streams:
            self.deadline = min(stream.deadline for stream in self._streams.values())
        else:
            self.deadline = self._idle_since + settings.keep_alive_timeout

    def _flush(self) -> None:
        if not self._batching and not self._closing:
            self._write()
            self._close_if_done()

    def _write(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._transport.write(data)

    def _close_if_done(self) -> None:
        if self._draining and not self._streams and not self._closing:
            self._close()

    def _end(self, code: ErrorCodes) -> None:
        """Say why, and close."""
        self._h2.close_connection(code, last_stream_id=self._last)
        self._close()

    def _close(self) -> None:
        """Close after what is written; requests that are under way are given up."""
        if self._closing:
            return
        self._closing = True
        self._cancel_all()
        self._write()
        self.deadline = self._loop.time() + self._context.settings.linger
        self._transport.close()

    def _cancel_all(self) -> None:
        streams, self._streams = list(self._streams.values()), {}
        for stream in streams:
            self._cancel(stream)

    def _cancel(self, stream: Http2Stream) -> None:
        exchange, stream.exchange = stream.exchange, None
        stream.body, stream.unsent = None, memoryview(b"")
        if exchange is not None:
            exchange.cancel()
        if not self._streams:
            self._be_idle()


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(": ")
    return name, value


def _too_large(stream: Http2Stream) -> Answer:
    return answers.error(413, f"the body is larger than the {stream.limit} bytes that the route takes")
