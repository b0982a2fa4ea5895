"""The data plane as a whole: its socket, its thread with its event loop, its start and its end."""

import asyncio
import os
import socket
import ssl
import threading
from email.utils import formatdate
from itertools import count
from typing import Final

from api.dataplane.accepting import FairAccepting, Turns
from api.dataplane.connections import Connections
from api.dataplane.engine_room import EngineRoom
from api.dataplane.exchange import Gateway, NoObserver, Observer
from api.dataplane.http1 import Http1Context
from api.dataplane.http1_reader import ReaderContext
from api.dataplane.listen import ListenFailed, listen
from api.dataplane.settings import Settings
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
        room: EngineRoom | None = None,
        turns: Turns | None = None,
    ) -> None:
        """`turns`: others listen on the same socket."""
        room = room or EngineRoom.of(settings)
        self._address = address
        self._settings = settings
        self._tls = tls
        self._handshake = None if tls is None else settings.header_timeout
        self._loop = room.loop
        self._threads = room.threads
        self._mailbox = room.mailbox
        self._turns = turns
        self._connections = Connections(settings.connections, None if turns is None else turns.count)
        gateway = Gateway(dispatcher, self._loop, self._mailbox, self._threads, observer or NoObserver())
        reader = ReaderContext(settings, dispatcher.limits, os.urandom(4).hex(), count(1))
        self._http1 = Http1Context(gateway, self._connections, settings, reader, _our_lines())
        self._thread = threading.Thread(target=self._run, name="data", daemon=True)
        self._server: asyncio.AbstractServer | FairAccepting | None = None
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

    def start(self, listener: socket.socket | None = None) -> None:
        """Listen and answer, on threads of its own; on a socket that is there already, if any. Raises ListenFailed."""
        try:
            listener = listener or listen(self._address)
        except ListenFailed:
            self._loop.close()
            raise
        self._port = listener.getsockname()[1]
        self.run()
        asyncio.run_coroutine_threadsafe(self._open(listener), self._loop).result(START_SECONDS)

    def run(self) -> None:
        """Run the loop, if it does not run yet: for what others do on it before the data plane starts."""
        if not self._thread.is_alive():
            self._thread.start()

    def drain(self, seconds: float) -> bool:
        """Stop accepting, let requests in flight end within the bound; the loop goes on. Whether none was cut."""
        return asyncio.run_coroutine_threadsafe(self._close(seconds), self._loop).result()

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
        self._mailbox.thread = threading.get_ident()
        try:
            self._loop.run_forever()
        finally:
            self._mailbox.close()
            self._loop.close()

    async def _open(self, listener: socket.socket) -> None:
        if self._turns is not None:
            self._server = FairAccepting(self._loop, listener, self._serve, self._turns)
        else:
            self._server = await self._loop.create_server(
                self._connection, sock=listener, ssl=self._tls, ssl_handshake_timeout=self._handshake
            )
        self._sweep()

    def _connection(self) -> NewConnection:
        return NewConnection(self._http1, "http" if self._tls is None else "https")

    def _serve(self, client: socket.socket) -> "asyncio.Future[object]":
        """Serve a client that was taken."""
        connected = self._loop.connect_accepted_socket(
            self._connection, client, ssl=self._tls, ssl_handshake_timeout=self._handshake
        )
        return asyncio.ensure_future(connected, loop=self._loop)

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
