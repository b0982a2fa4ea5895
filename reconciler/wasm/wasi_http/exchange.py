"""One request of a light component, as it goes to the adapter and comes from it (reconciler.wasm.http_adapter).

Both are text in which each character is a byte: the engine copies a text as it is, and gives each byte of a list 32.
Heads are lines; the adapter's messages.c says which. Belongs here: messages. Does not: running a component (light.py).
"""

import itertools
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from reconciler.core.observed import Failure
from reconciler.core.revision import InstanceSpec
from reconciler.core.states import Reason
from reconciler.wasm.ffi.components import GuestRefused
from reconciler.wasm.kind import CallContext, GuestServices, Request, Response
from reconciler.wasm.wasi_http.printed import Prints

_PART: Final = 64 * 1024
"""Bytes of a request's body that the adapter gets at once."""


class Sent(IntEnum):
    """What the adapter sends: see adapter.h."""

    ANSWER = 0
    PART = 1
    ERROR = 2
    PRINT = 3
    REFUSE = 4
    HEAD = 5
    UNREAD = 6


_ERROR_CODES: Final = (
    "DNS-timeout", "DNS-error", "destination-not-found", "destination-unavailable", "destination-IP-prohibited",
    "destination-IP-unroutable", "connection-refused", "connection-terminated", "connection-timeout",
    "connection-read-timeout", "connection-write-timeout", "connection-limit-reached", "TLS-protocol-error",
    "TLS-certificate-error", "TLS-alert-received", "HTTP-request-denied", "HTTP-request-length-required",
    "HTTP-request-body-size", "HTTP-request-method-invalid", "HTTP-request-URI-invalid", "HTTP-request-URI-too-long",
    "HTTP-request-header-section-size", "HTTP-request-header-size", "HTTP-request-trailer-section-size",
    "HTTP-request-trailer-size", "HTTP-response-incomplete", "HTTP-response-header-section-size",
    "HTTP-response-header-size", "HTTP-response-body-size", "HTTP-response-trailer-section-size",
    "HTTP-response-trailer-size", "HTTP-response-transfer-coding", "HTTP-response-content-coding",
    "HTTP-response-timeout", "HTTP-upgrade-failed", "HTTP-protocol-error", "loop-detected", "configuration-error",
    "internal-error",
)  # fmt: skip


NO_RESPONSE: Final = 0
"""The state of an exchange whose component set no response; 1 is a body that it did not finish, 2 a whole answer."""


class Exchange:
    """One request of a light component, and what came of it so far. `receive` to `send` are for the adapter."""

    __slots__ = (
        "answer",
        "call",
        "error",
        "parts",
        "prints",
        "read",
        "request",
        "services",
        "size",
        "spec",
        "state",
        "stopped",
    )

    def __init__(self, spec: InstanceSpec, services: GuestServices, request: Request, call: CallContext) -> None:
        self.spec = spec
        self.services = services
        self.request = request
        self.call = call
        self.read = _PART
        self.size = 0
        self.parts: dict[str, list[str]] = {}
        self.prints = Prints()
        self.answer: Response | None = None
        self.error = ""
        self.state = NO_RESPONSE
        self.stopped: Failure | None = None

    def receive(self) -> str:
        """The request: its head, and the beginning of its body."""
        return self.opening()

    def more(self) -> str:
        """The next part of the request's body; nothing at its end."""
        part = self.request.body[self.read : self.read + _PART]
        self.read += len(part)
        return part.decode("latin-1")

    def trailers(self) -> str:
        """The trailers after the request's body."""
        return trailer_lines(self.request.trailers)

    def send(self, what: int, head: str, body: str) -> None:
        """The adapter has something. Raises GuestRefused."""
        if what == Sent.ANSWER:
            answer, number = split_answer(head)
            self.count(len(body))
            parts = self.parts.get(number)
            answer.body = ("".join((*parts, body)) if parts else body).encode("latin-1")
            self.answer = answer
        elif what == Sent.PART:
            self.count(len(body))
            self.parts.setdefault(head, []).append(body)
        elif what == Sent.ERROR:
            name = _ERROR_CODES[int(head)]
            self.error = f"{name}: {body}" if body else name
        elif what == Sent.PRINT:
            self.prints.take(body.encode("latin-1"))
        else:
            raise GuestRefused(head)

    def unwanted(self) -> Failure | None:
        """Why the component shall end now, where it shall."""
        return None

    def opening(self, *, flows: bool = False, waits: bool = False) -> str:
        """The request's head and the beginning of its body. `waits` says that more comes than there is."""
        request, body = self.request, self.request.body
        path = f"{request.path}?{request.query}" if request.query else request.path
        flags = f"{waits or len(body) > _PART:d}{flows:d}"
        lines = [request.method, path, request.scheme, request.authority, flags]
        _add_fields(lines, request.headers)
        return f"{_as_text(lines)}\n{body[:_PART].decode('latin-1')}"

    def count(self, size: int) -> None:
        """So much more of a response's body. Raises GuestRefused where it is too large."""
        self.size += size
        most = self.spec.limits.response_bytes
        if self.size > most:
            words = f"the response's body is larger than limits.responseBytes ({most})"
            self.stopped = Failure(Reason.BAD_RESPONSE, words)
            raise GuestRefused(words)


def trailer_lines(fields: Sequence[tuple[str, str]]) -> str:
    """Trailers of a request, for the adapter."""
    lines: list[str] = []
    _add_fields(lines, fields)
    return _as_text(lines)


def _add_fields(lines: list[str], fields: Sequence[tuple[str, str]]) -> None:
    """Their number, and a line for each name and value."""
    lines.append(str(len(fields)))
    lines += itertools.chain.from_iterable(fields)


def split_answer(head: str) -> tuple[Response, str]:
    """The head of an answer, and the number of its body."""
    lines = head.split("\n")
    headers, after = _fields(lines, 2)
    trailers, _ = _fields(lines, after)
    return Response(int(lines[0]), headers, trailers=trailers), lines[1]


def _fields(lines: list[str], at: int) -> tuple[list[tuple[str, str]], int]:
    """The fields whose number is in a line, and the line after them."""
    count = int(lines[at])
    end = at + 1 + 2 * count
    return list(zip(lines[at + 1 : end : 2], lines[at + 2 : end : 2], strict=True)), end


def _as_text(lines: list[str]) -> str:
    """Lines, of Latin-1 and without line ends in them: a message may come from a plugin, not from the wire."""
    text = "\n".join(lines)
    if text.count("\n") != len(lines) - 1:
        text = "\n".join([line.replace("\n", " ") for line in lines])
    return text if text.isascii() else text.encode("latin-1", "replace").decode("latin-1")
