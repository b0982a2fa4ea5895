"""The admin app's frame: a Falcon app that can stream, and what can be mounted on it.

Belongs here: what endpoints and the server must agree on. Does not: endpoints, the server.
"""

import threading
from collections.abc import Iterable
from typing import Any, Final, Protocol

import falcon

STREAMING: Final = "wasm_reconciler.streaming"
"""The WSGI environment's key by which an answer says that its head is to be sent before there is any of its body."""


class App(falcon.App[falcon.Request, falcon.Response]):
    """A WSGI application whose clients are told at once that a stream has begun, even if nothing is in it yet."""

    def __call__(self, env: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer one request."""
        writers: list[Any] = []

        def start(*head: Any) -> Any:
            writers.append(start_response(*head))
            return writers[-1]

        body = super().__call__(env, start)
        if STREAMING in env:
            writers[-1](b"")
        return body


class Places:
    """How many answers of one sort may stream at once: each holds a thread of the admin port."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._free = threading.BoundedSemaphore(number)

    def take(self) -> bool:
        """Take a place, if one is free; `leave` once for each that was taken."""
        return self._free.acquire(blocking=False)

    def leave(self) -> None:
        """Give it back."""
        self._free.release()


class Face(Protocol):
    """A group of endpoints that is put together elsewhere."""

    def install(self, app: App) -> None:
        """Mount them."""
