"""What guests said lately: a bounded memory of their log lines, and `GET /logs` that reads it and follows it.

Lines reach it as log records of the logger `guest`; it remembers what the log level lets through. It is for a look at
what happens now: whoever wants to keep lines collects the daemon's standard error.
"""

import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import falcon

from api.errors import ApiError
from api.streaming import STREAMING, App, Places

KEPT: Final = 5000
"""Lines that are remembered, of all plugins together."""
LONGEST: Final = 4096
"""Characters of a line that are remembered."""
FOLLOWERS: Final = 16
"""Clients that may follow at once; each holds a thread of the admin port."""
LOOK_UP: Final = 1.0
"""Seconds after which a waiting follower sees whether its client is still there."""
_DISCONNECTED: Final = "waitress.client_disconnected"


@dataclass(frozen=True, slots=True)
class GuestLine:
    """One line. `number` counts all lines from 1; `time` is in epoch seconds."""

    number: int
    time: float
    level: str
    plugin: str
    request_id: str
    trace_id: str
    message: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines: of a plugin, of a request; an empty word means any."""

    plugin: str = ""
    request_id: str = ""

    def matches(self, line: GuestLine) -> bool:
        """Whether the line is one of them."""
        return self.plugin in ("", line.plugin) and self.request_id in ("", line.request_id)


class GuestLog(logging.Handler):
    """The memory. Written by guest threads, read by any."""

    def __init__(self) -> None:
        super().__init__()
        self._lines: deque[GuestLine] = deque(maxlen=KEPT)
        self._changed = threading.Condition()
        self._number = 0
        self._followers = 0
        self._ended = False

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a line."""
        message = record.getMessage()[:LONGEST]
        plugin, request_id, trace_id = (getattr(record, name, "") for name in ("plugin", "request_id", "trace_id"))
        with self._changed:
            self._number += 1
            line = GuestLine(self._number, record.created, record.levelname, plugin, request_id, trace_id, message)
            self._lines.append(line)
            if self._followers:
                self._changed.notify_all()

    def lines(self, wanted: Wanted, after: int = 0) -> list[GuestLine]:
        """The remembered lines with a higher number, the oldest first."""
        with self._changed:
            return [line for line in self._lines if line.number > after and wanted.matches(line)]

    def follow(self, wanted: Wanted, after: int, gone: Callable[[], bool]) -> Iterator[list[GuestLine]]:
        """Lines as they come, for ever: until `gone()` says that nobody listens, or the log ends."""
        while True:
            with self._changed:
                self._followers += 1
                try:
                    self._wait(after)
                finally:
                    self._followers -= 1
                last = self._number
            found = self.lines(wanted, after)
            after = last
            if found:
                yield found
            if self._ended or gone():
                return

    def _wait(self, after: int) -> None:
        """For a line with a higher number, or the end, or a moment. With the lock held."""
        self._changed.wait_for(lambda: self._number > after or self._ended, LOOK_UP)

    def end(self) -> None:
        """Let all followers end. Idempotent."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()


class GuestLogs:
    """`GET /logs?plugin=NAME&request_id=ID&limit=N&follow`: the last lines; with `follow`, then those that come.

    Without `follow` the answer is `{"items": [...]}`; with it, one JSON object on each line.
    """

    def __init__(self, log: GuestLog) -> None:
        self._log = log
        self._places = Places(FOLLOWERS)

    def install(self, app: App) -> None:
        """Mount it (Face)."""
        app.add_route("/logs", self)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The lines."""
        wanted = Wanted(req.get_param("plugin") or "", req.get_param("request_id") or "")
        limit = req.get_param_as_int("limit", min_value=0, default=KEPT)
        lines = self._log.lines(wanted)
        last = lines[-1].number if lines else 0
        shown = lines[-limit:] if limit else []
        if not req.get_param_as_bool("follow", blank_as_true=True, default=False):
            resp.media = {"items": [as_object(line) for line in shown]}
            return
        if not self._places.take():
            raise ApiError(
                429, f"{FOLLOWERS} clients follow already; end one, or ask without follow", headers={"Retry-After": "1"}
            )
        gone: Callable[[], bool] = req.env.get(_DISCONNECTED, _never)
        resp.content_type = "application/x-ndjson"
        resp.stream = _Stream(shown, self._log.follow(wanted, last, gone), self._places.leave)
        req.env[STREAMING] = True


class _Stream:
    """The body of a followed answer, which the server closes."""

    def __init__(self, first: list[GuestLine], following: Iterator[list[GuestLine]], close: Callable[[], None]) -> None:
        self._first = first
        self._following = following
        self._close: Callable[[], None] | None = close

    def __iter__(self) -> Iterator[bytes]:
        if self._first:
            yield _encode(self._first)
        for lines in self._following:
            yield _encode(lines)

    def close(self) -> None:
        """Give the place back. Idempotent."""
        close, self._close = self._close, None
        if close is not None:
            close()


def as_object(line: GuestLine) -> dict[str, Any]:
    """A line as JSON-able data; the time as RFC 3339 with milliseconds."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(line.time))
    return asdict(line) | {"time": f"{stamp}.{int(line.time * 1000) % 1000:03d}Z"}


def _encode(lines: list[GuestLine]) -> bytes:
    return b"".join(json.dumps(as_object(line)).encode() + b"\n" for line in lines)


def _never() -> bool:
    return False
