"""What goes out: JSON bodies of errors, and guests' answers made safe for any HTTP version.

Belongs here: what an answer says. Does not: how it is written on a connection (http1.py).
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from reconciler.core.observed import Failure
from reconciler.core.states import Reason
from reconciler.host.invoke import QueueFull, RouteUnavailable, RouteUnknown, Unroutable
from reconciler.wasm.kind import Headers, Response

HEAD_BYTES: Final = 64 * 1024
"""The largest header block of a guest that goes out; clients accept no more."""

_OF_ONE_HOP: Final = ("connection", "keep-alive", "proxy-connection", "transfer-encoding", "te", "trailer", "upgrade")
_OURS: Final = ("content-length", "date", "server", "x-request-id")

WITHHELD: Final = frozenset((*_OF_ONE_HOP, *_OURS))
"""Headers of a guest that do not go out: those of one hop (RFC 9110, 7.6.1), and those that are ours to say."""

BODILESS: Final = frozenset({HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED})
"""Statuses whose answers have no body (RFC 9110, 6.4.1)."""

_LINES: Final = re.compile(r"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+\0[\t\x20-\x7e\x80-\xff]*\r\n)*")
"""Headers as `NAME NUL VALUE CRLF`: names are tokens, values have no CR, LF, NUL and other controls.

All lines are matched at once, which is cheap. With as many lines matched as there are headers, no header has a NUL or
a CRLF of its own, so none can pass for two, or hide a withheld name before a colon.
"""


@dataclass(slots=True)
class Answer:
    """An answer that may go out. `block` are the header lines as HTTP/1 writes them, without those that are ours.

    `trailers` are lines, too.
    """

    status: int
    block: str
    body: bytes
    trailers: str = ""


def error(status: int, sentence: str, *, retry_after: int | None = None, **details: str) -> Answer:
    """An error of ours: `{"error": sentence}` and what else a program can act on."""
    block = "content-type: application/json\r\n"
    if retry_after is not None:
        block += f"retry-after: {max(1, retry_after)}\r\n"
    body = json.dumps({"error": sentence} | {key: value for key, value in details.items() if value})
    return Answer(status, block, body.encode() + b"\n")


INTERNAL: Final = error(500, "this is a fault of the daemon, not of the request; its log has the details")
"""What a request gets when we are wrong. The log has the stack; the answer has not."""


def unroutable(reason: Unroutable) -> Answer:
    """What a request gets that found no instance."""
    message = str(reason)
    if isinstance(reason, RouteUnknown):
        return error(404, message)
    if isinstance(reason, QueueFull):
        return error(503, message, retry_after=reason.retry_after)
    if isinstance(reason, RouteUnavailable):
        failure = reason.failure
        details = {"reason": str(failure.reason), "message": failure.message} if failure else {}
        return error(503, message, retry_after=reason.retry_after, **details)
    return error(503, message, retry_after=1)


def guest_failed(plugin: str, failure: Failure) -> Answer:
    """What a request gets whose guest gave no answer: 504 past its time, else 502."""
    late = failure.reason is Reason.DEADLINE_EXCEEDED
    return error(
        504 if late else 502,
        f"plugin {plugin} did not answer in time" if late else f"plugin {plugin} failed",
        plugin=plugin,
        reason=str(failure.reason),
        message=failure.message,
    )


def guest_answered(plugin: str, response: Response) -> Answer:
    """A guest's answer made safe, or a 502 that says what was wrong with it."""
    status = response.status
    if not 200 <= status <= 599:
        return _bad_response(plugin, f"the status {status} is not between 200 and 599")
    joined, count = "", 0
    for name, value in response.headers:
        lowered = name.lower()
        if lowered not in WITHHELD:
            joined += f"{lowered}\0{value}\r\n"
            count += 1
    if count:
        if _LINES.fullmatch(joined) is None or joined.count("\r\n") != count:
            return _bad_response(plugin, _first_bad_line(response.headers))
        joined = joined.replace("\0", ": ")
        if len(joined) > HEAD_BYTES:
            return _bad_response(plugin, f"the headers take {len(joined)} bytes; {HEAD_BYTES} go out at most")
    trailers = trailer_block(response.trailers) if response.trailers else ""
    if trailers is None:
        return _bad_response(plugin, _first_bad_line(list(response.trailers)))
    return Answer(status, joined, b"" if status in BODILESS else response.body, trailers)


def trailer_block(trailers: Iterable[tuple[str, str]]) -> str | None:
    """The lines of trailers as HTTP/1 writes them; None where one cannot go out. What no trailer may be is left out."""
    named = ((name.lower(), value) for name, value in trailers)
    kept = [pair for pair in named if pair[0] not in WITHHELD and not pair[0].startswith("content-")]
    joined = "".join(f"{name}\0{value}\r\n" for name, value in kept)
    if _LINES.fullmatch(joined) is None or joined.count("\r\n") != len(kept) or len(joined) > HEAD_BYTES:
        return None
    return joined.replace("\0", ": ")


def _bad_response(plugin: str, message: str) -> Answer:
    return guest_failed(plugin, Failure(Reason.BAD_RESPONSE, message))


def _first_bad_line(headers: Headers) -> str:
    bad = next((name for name, value in headers if not _is_line(f"{name}\0{value}\r\n")), "")
    return f"the header {bad!r} cannot go out: its name is no token, or its value has control characters"


def _is_line(line: str) -> bool:
    return _LINES.fullmatch(line) is not None and line.count("\r\n") == 1
