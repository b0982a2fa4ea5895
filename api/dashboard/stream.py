"""`GET /stream`: server-sent events that keep a page current.

`event: everything` comes first, and again whenever a page fell behind; `event: change` holds what changed since. A page
that was cut off connects anew and is told everything, so no number has to be remembered. There is at least one message
every few seconds, by which both sides notice that the other is gone.

The format is the one of https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from collections.abc import Callable, Iterator
from typing import Final

import falcon

from api.dashboard.feed import Feed
from api.errors import ApiError
from api.streaming import STREAMING, Places

LOOK_UP: Final = 1.0
"""Seconds after which a waiting stream sees whether its client is still there."""
_DISCONNECTED: Final = "waitress.client_disconnected"


class Stream:
    """The endpoint."""

    def __init__(self, feed: Feed, places: Places) -> None:
        self._feed = feed
        self._places = places

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Stream until the client leaves or the daemon stops. Raises ApiError 429 where no place is free."""
        if not self._places.take():
            message = f"{self._places.number} pages are open already; close one, or wait"
            raise ApiError(429, message, headers={"Retry-After": "5"})
        resp.content_type = "text/event-stream"
        resp.set_header("Cache-Control", "no-store")
        resp.set_header("X-Accel-Buffering", "no")
        resp.stream = _Messages(self._feed, self._places, req.env.get(_DISCONNECTED, _never))
        req.env[STREAMING] = True


class _Messages:
    """The body of one stream. The server closes it, which gives the place back."""

    def __init__(self, feed: Feed, places: Places, gone: Callable[[], bool]) -> None:
        self._feed = feed
        self._places = places
        self._gone = gone
        self._joined = False
        self._open = True

    def __iter__(self) -> Iterator[bytes]:
        self._joined = True
        number, data = self._feed.join()
        yield _event("everything", data)
        while not self._feed.closed and not self._gone():
            self._feed.wait(number, LOOK_UP)
            messages = self._feed.since(number)
            if messages is None:
                number, data = self._feed.everything()
                yield _event("everything", data)
            elif messages:
                number += len(messages)
                yield b"".join(_event("change", message) for message in messages)

    def close(self) -> None:
        """Give the place back. Idempotent."""
        if not self._open:
            return
        self._open = False
        if self._joined:
            self._feed.leave()
        self._places.leave()


def _event(kind: str, data: bytes) -> bytes:
    """One event; JSON has no line ends of its own."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)


def _never() -> bool:
    return False
