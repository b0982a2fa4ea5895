"""The admin port: the Falcon app with all its endpoints, and the waitress server under it.

Belongs here: routes, bounds and the server's life. Does not: what an endpoint does.
"""

import socket
import ssl
import threading
from collections.abc import Sequence
from typing import Any, Final

import falcon
from waitress import wasyncore

from api.actuator import Health, Info, Probe
from api.dataplane.listen import listen
from api.errors import ApiError, install_error_handlers
from api.guestlog import FOLLOWERS
from api.layotto import Install, Uninstall, Update
from api.plugins import Events, Sources
from api.ports import AdminServices
from api.settings import Address
from api.streaming import App, Face
from api.waiting import WaitingRoom
from api.wsgi.server import Bounds, Server

MAX_BODY: Final = 1024 * 1024
"""Bytes of a request body; more is 413."""
THREADS: Final = 8
"""Admin requests that are worked on at once, besides those that stream."""
STREAMS: Final = 64
"""Answers that may stream at once; each holds a thread of its own, which waits nearly all of the time."""
PAGES: Final = 16
"""Dashboard pages that may be open at once, each with a stream; apart, so that they take no place from watches."""
STUCK: Final = 30.0
"""Seconds after which a client that takes nothing of its answer is cut off, so that it does not hold a thread."""
WAITERS: Final = THREADS // 2
"""Requests that may hold a thread with `?wait=`; the other threads always answer."""
STOP_TIMEOUT: Final = 5.0
"""Seconds that requests have to finish when the server stops."""


class BodyLimit:
    """Falcon middleware: refuses a body that is too large before anything reads it."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """413 for more than MAX_BODY."""
        if (req.content_length or 0) > MAX_BODY:
            raise ApiError(413, f"the body is larger than {MAX_BODY} bytes; send less")


def create_app(
    services: AdminServices, version: str, faces: Sequence[Face] = (), middleware: Sequence[Any] = ()
) -> App:
    """The admin app. `middleware` are Falcon middlewares that come first, such as access checks."""
    app = App(middleware=[*middleware, BodyLimit()])
    app.req_options.strip_url_path_trailing_slash = True
    install_error_handlers(app)
    _add_layotto(app, services)
    app.add_route("/sources", Sources(services.desired))
    app.add_route("/events", Events(services.events))
    health = Health(services.desired, services.status, services.readiness)
    app.add_route("/actuator/health/liveness", health, suffix="liveness")
    app.add_route("/actuator/health/readiness", health, suffix="readiness")
    app.add_route("/actuator/info", Info(services.desired, services.status, version))
    probe = Probe(services.readiness)
    app.add_route("/livez", probe, suffix="live")
    app.add_route("/readyz", probe, suffix="ready")
    for face in faces:
        face.install(app)
    return app


def _add_layotto(app: App, services: AdminServices) -> None:
    waiting = WaitingRoom(services.status, WAITERS)
    endpoints = {
        "install": Install(services.desired, services.writer, waiting),
        "update": Update(services.desired, services.writer, waiting),
        "uninstall": Uninstall(services.desired, services.writer, waiting),
    }
    for name, endpoint in endpoints.items():
        app.add_route(f"/wasm/{name}", endpoint)
        # Layotto ignores what follows the endpoint's name; so do we.
        app.add_route(f"/wasm/{name}/{{rest:path}}", endpoint)


class AdminServer:
    """Serves an app on an address, on threads of its own, from `start` until `stop`."""

    def __init__(
        self, app: App, address: Address, tls: ssl.SSLContext | None = None, bounds: Bounds | None = None
    ) -> None:
        self._app = app
        self._address = address
        self._tls = tls
        self._bounds = bounds or Bounds(THREADS + STREAMS + FOLLOWERS + PAGES)
        self._sockets: dict[int, Any] = {}
        self._closing = threading.Event()
        self._server: Any = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that is listened on, known once started."""
        return int(self._server.effective_port)

    def start(self) -> None:
        """Listen and serve. Raises ListenFailed."""
        listener = listen(self._address)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # accepted connections inherit it
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(STUCK * 1000))
        self._server = Server(self._app, listener, self._sockets, self._bounds, self._tls)
        self._thread = threading.Thread(target=self._serve, name="admin", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Accept no more, let running requests finish for STOP_TIMEOUT, close. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._server.accepting = False
        self._server.pull_trigger()
        self._server.task_dispatcher.shutdown(timeout=STOP_TIMEOUT)
        self._closing.set()
        self._server.pull_trigger()
        thread.join()
        wasyncore.close_all(self._sockets)

    def _serve(self) -> None:
        while not self._closing.is_set():
            wasyncore.loop(timeout=1.0, use_poll=True, map=self._sockets, count=1)
