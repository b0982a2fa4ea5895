"""An answer whose body is not whole when its head goes out: chunks, a known length, or until the connection ends.

RFC 9112, 6 and 7. Belongs here: the framing. Does not: when something is written (pump.py, http1.py).
"""

import asyncio

from api.dataplane import answers
from api.dataplane.answers import Answer
from reconciler.wasm.kind import Request


class OutStream:
    """One such answer on a connection. `length` is that of the body, where it is known.

    `lines` is the header that tells a client where the body ends; `ends_connection` whether the connection's end does:
    HTTP/1.0 has no chunks.
    """

    __slots__ = ("_bodiless", "_chunks", "_transport", "_wants_trailers", "ends_connection", "lines")

    def __init__(self, transport: asyncio.Transport, request: Request, answer: Answer, length: int | None) -> None:
        self._transport = transport
        bodiless = answer.status in answers.BODILESS
        self._bodiless = bodiless or request.method == "HEAD"
        self._chunks = length is None and request.http_version == "1.1"
        self._wants_trailers = wants_trailers(request)
        self.ends_connection = length is None and not self._chunks and not self._bodiless
        if bodiless:
            self.lines = ""
        elif length is not None:
            self.lines = f"content-length: {length}\r\n"
        else:
            self.lines = "transfer-encoding: chunked\r\n" if self._chunks else ""

    def send(self, data: bytes) -> None:
        """A part of the body, which is not empty."""
        if self._bodiless:
            return
        if self._chunks:
            self._transport.writelines((b"%x\r\n" % len(data), data, b"\r\n"))
        else:
            self._transport.write(data)

    def end(self, trailers: str) -> None:
        """The body is whole. Trailers go to clients that said that they take them (RFC 9110, 6.5.1)."""
        if self._chunks and not self._bodiless:
            self._transport.write(f"0\r\n{trailers if self._wants_trailers else ''}\r\n".encode("latin-1"))


def wants_trailers(request: Request) -> bool:
    """Whether a client said `te: trailers`, in the version of HTTP that has them."""
    if request.http_version != "1.1":
        return False
    offered = (value for name, value in request.headers if name == "te")
    return any(item.partition(";")[0].strip().lower() == "trailers" for value in offered for item in value.split(","))
