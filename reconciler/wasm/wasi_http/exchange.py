"""One request of a light component, as it goes to the adapter and comes from it (reconciler.wasm.http_adapter).

Both are text in which each character is a byte: the engine copies a text as it is, and gives each byte of a list 32.
Heads are lines; the adapter's messages.c says which. Belongs here: messages. Does not: running a component (light.py).
"""

import itertools
from collections.abc import Sequence
from typing import Final

from reconciler.core.observed import Failure
from reconciler.core.revision import InstanceSpec
from reconciler.core.states import Reason
from reconciler.wasm.ffi.components import GuestRefused
from reconciler.wasm.kind import CallContext, GuestServices, Request, Response
from reconciler.wasm.wasi_http.printed import Prints

_PART: Final = 64 * 1024
"""Bytes of a request's body that the adapter gets at once."""
_ANSWER: Final = 0
_PART_OF_BODY: Final = 1
_ERROR: Final = 2
_PRINT: Final = 3
"""What the adapter sends; anything else is a refusal, with the reason. adapter.h has the same numbers."""
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


class Exchange:
    """One request of a light component, and what came of it so far."""

    __slots__ = ("answer", "call", "error", "parts", "prints", "read", "request", "services", "size", "spec", "stopped")

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
        self.stopped: Failure | None = None

    def written(self) -> int:
        """Bytes of bodies that the component wrote and the host has."""
        return self.size

    def receive(self) -> str:
        """The request: its head, and the beginning of its body."""
        request = self.request
        path = f"{request.path}?{request.query}" if request.query else request.path
        lines = [request.method, path, request.scheme, request.authority]
        _add_fields(lines, request.headers)
        _add_fields(lines, request.trailers)
        head = "\n".join(lines)
        if head.count("\n") != len(lines) - 1:  # it came from a plugin, not from the wire
            head = "\n".join([line.replace("\n", " ") for line in lines])
        if not head.isascii():
            head = head.encode("latin-1", "replace").decode("latin-1")
        return f"{head}\n{request.body[:_PART].decode('latin-1')}"

    def more(self) -> str:
        """The next part of the request's body."""
        part = self.request.body[self.read : self.read + _PART]
        self.read += len(part)
        return part.decode("latin-1")

    def send(self, what: int, head: str, body: str) -> None:
        """The adapter has something. Raises GuestRefused."""
        if what == _ANSWER:
            self.answer = self._response(head, body)
        elif what == _PART_OF_BODY:
            self._count(len(body))
            self.parts.setdefault(head, []).append(body)
        elif what == _ERROR:
            name = _ERROR_CODES[int(head)]
            self.error = f"{name}: {body}" if body else name
        elif what == _PRINT:
            self.prints.take(body.encode("latin-1"))
        else:
            raise GuestRefused(head)

    def _response(self, head: str, body: str) -> Response:
        lines = head.split("\n")
        headers, after = _fields(lines, 2)
        trailers, _ = _fields(lines, after)
        self._count(len(body))
        parts = self.parts.get(lines[1])
        whole = "".join((*parts, body)) if parts else body
        return Response(int(lines[0]), headers, whole.encode("latin-1"), trailers)

    def _count(self, size: int) -> None:
        self.size += size
        most = self.spec.limits.response_bytes
        if self.size > most:
            words = f"the response's body is larger than limits.responseBytes ({most})"
            self.stopped = Failure(Reason.BAD_RESPONSE, words)
            raise GuestRefused(words)


def _add_fields(lines: list[str], fields: Sequence[tuple[str, str]]) -> None:
    lines.append(str(len(fields)))
    lines += itertools.chain.from_iterable(fields)


def _fields(lines: list[str], at: int) -> tuple[list[tuple[str, str]], int]:
    """The fields whose number is in a line, and the line after them."""
    count = int(lines[at])
    end = at + 1 + 2 * count
    return list(zip(lines[at + 1 : end : 2], lines[at + 2 : end : 2], strict=True)), end
