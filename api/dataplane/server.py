"""The data plane as a whole: its socket, its thread with its event loop, its start and its end."""

import asyncio
import os
import socket
import ssl
import threading
from email.utils import formatdate
from itertools import count
from typing import Final

import uvloop

from api.dataplane.connections import Connections
from api.dataplane.exchange import Gateway, NoObserver, Observer
from api.dataplane.http1 import Http1Context
from api.dataplane.http1_reader import ReaderContext
from api.dataplane.listen import ListenFailed, listen
from api.dataplane.mailbox import Mailbox
from api.dataplane.settings import Settings
from api.dataplane.threads import GuestThreads
from api.dataplane.versions import NewConnection
from api.settings import Address
from reconciler.host.invoke import Dispatcher
from reconciler.host.priority import go_first

START_SECONDS: Final = 10.0


class DataPlane:
    """Answers requests on an address until it is stopped. Started once."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        address: Address,
        settings: Settings,
        *,
        observer: Observer | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._address = address
        self._settings = settings
        self._tls = tls
        self._loop = uvloop.new_event_loop()
        self._threads = GuestThreads(settings.guest_threads, settings.guest_thread_idle)
        self._mailbox = Mailbox(self._loop)
        self._connections = Connections(settings.connections)
        gateway = Gateway(dispatcher, self._loop, self._mailbox, self._threads, observer or NoObserver())
        reader = ReaderContext(settings, dispatcher.limits, os.urandom(4).hex(), count(1))
        self._http1 = Http1Context(gateway, self._connections, settings, reader, _our_lines())
        self._thread = threading.Thread(target=self._run, name="data", daemon=True)
        self._server: asyncio.AbstractServer | None = None
        self._stopping = threading.Lock()
        self._port = 0

    @property
    def port(self) -> int:
        """The port that is listened on, known once it is started."""
        return self._port

    @property
    def open_connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    def start(self) -> None:
        """Listen and answer, on threads of its own. Raises ListenFailed."""
        try:
            listener = listen(self._address)
        except ListenFailed:
            self._loop.close()
            raise
        self._port = listener.getsockname()[1]
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(listener), self._loop).result(START_SECONDS)

    def stop(self, drain_seconds: float) -> bool:
        """Stop accepting, let requests in flight end within the bound, then close. Idempotent.

        Returns whether none was cut. Guests that still run then are on daemon threads, and end at their own timeouts.
        """
        with self._stopping:
            if not self._thread.is_alive():
                self._loop.close()  # nothing to do, unless it was never started
                return True
            clean = asyncio.run_coroutine_threadsafe(self._close(drain_seconds), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._threads.close()
            return clean

    def _run(self) -> None:
        go_first()
        try:
            self._loop.run_forever()
        finally:
            self._mailbox.close()
            self._loop.close()

    async def _open(self, listener: socket.socket) -> None:
        scheme = "http" if self._tls is None else "https"
        self._server = await self._loop.create_server(
            lambda: NewConnection(self._http1, scheme),
            sock=listener,
            ssl=self._tls,
            ssl_handshake_timeout=None if self._tls is None else self._settings.header_timeout,
        )
        self._sweep()

    def _sweep(self) -> None:
        """Again and again: the date, and the clients that are late."""
        self._http1.our_lines = _our_lines()
        self._connections.sweep(self._loop.time())
        self._loop.call_later(self._settings.sweep, self._sweep)

    async def _close(self, drain_seconds: float) -> bool:
        if self._server is not None:
            self._server.close()
        self._connections.drain()
        try:
            await asyncio.wait_for(self._connections.closed(), drain_seconds)
        except TimeoutError:
            self._connections.abort()
            await self._connections.closed()
            return False
        return True


def _our_lines() -> str:
    return f"server: wasm-reconciler\r\ndate: {formatdate(usegmt=True)}\r\n"
