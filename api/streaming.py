"""The admin app's frame: a Falcon app that can stream, and what can be mounted on it.

Belongs here: what endpoints and the server must agree on. Does not: endpoints, the server.
"""

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


class Face(Protocol):
    """A group of endpoints that is put together elsewhere."""

    def install(self, app: App) -> None:
        """Mount them."""
