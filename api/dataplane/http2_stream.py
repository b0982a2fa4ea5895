"""One stream of an HTTP/2 connection: a request, what came of its body, what is left to send of its answer.

Belongs here: that state. Does not: frames and windows, which are the connection's (http2.py).
"""

from math import inf
from typing import Protocol

from api.dataplane.answers import Answer
from api.dataplane.exchange import Exchange
from reconciler.wasm.kind import Headers, Request


class StreamOwner(Protocol):
    """The connection, as its streams tell it of their answers."""

    def answered(self, stream: "Http2Stream", answer: Answer) -> None:
        """A whole answer."""

    def flow_begins(self, stream: "Http2Stream", answer: Answer, length: int | None) -> None:
        """The head of an answer whose body follows."""

    def flow_goes_on(self, stream: "Http2Stream", data: bytes) -> None:
        """A part of that body."""

    def flow_ends(self, stream: "Http2Stream", trailers: str) -> None:
        """That body is whole."""

    def flow_breaks(self, stream: "Http2Stream") -> None:
        """That body will not be whole."""


class Http2Stream:
    """One request and its answer; the Sink of its exchange."""

    __slots__ = ("body", "deadline", "exchange", "flows", "id", "limit", "owner", "request", "trailers", "unsent")

    def __init__(self, owner: StreamOwner, number: int, request: Request) -> None:
        self.owner = owner
        self.id = number
        self.request = request
        self.body: bytearray | None = bytearray()
        """What came; None once there is an answer or a guest has it."""
        self.limit = 0
        self.deadline = inf
        self.exchange: Exchange | None = None
        self.unsent = memoryview(b"")
        self.flows = False
        """More of the answer's body may come."""
        self.trailers: Headers = []

    def answer(self, answer: Answer) -> None:
        """The answer is there (Sink)."""
        self.owner.answered(self, answer)

    def begin_flow(self, answer: Answer, length: int | None) -> None:
        """The head of an answer whose body follows (Sink)."""
        self.owner.flow_begins(self, answer, length)

    def send(self, data: bytes) -> None:
        """A part of that body (Sink)."""
        self.owner.flow_goes_on(self, data)

    def end_flow(self, trailers: str) -> None:
        """That body is whole (Sink)."""
        self.owner.flow_ends(self, trailers)

    def break_flow(self) -> None:
        """That body will not be whole (Sink)."""
        self.owner.flow_breaks(self)

    def read_on(self) -> None:
        """Requests' bodies are whole before a guest starts (Sink)."""
