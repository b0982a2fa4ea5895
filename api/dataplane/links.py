"""The links to all other workers: made as sockets come, forgotten as their other ends go."""

import asyncio
import socket

from api.dataplane.engine_room import EngineRoom
from api.dataplane.forwarding import Forwarder
from api.dataplane.peers import PeerLink, Pools

SECONDS = 10.0
"""Within which the loop takes a socket."""


class Links:
    """Makes links on the loop of `room`, which runs. What peers ask for is looked for in `pools`."""

    def __init__(self, pools: Pools, forwarder: Forwarder, room: EngineRoom) -> None:
        self._pools = pools
        self._forwarder = forwarder
        self._room = room

    def add(self, peer: int, sock: socket.socket) -> None:
        """That socket leads to the worker `peer`."""
        asyncio.run_coroutine_threadsafe(self._add(peer, sock), self._room.loop).result(SECONDS)

    async def _add(self, peer: int, sock: socket.socket) -> None:
        sock.setblocking(False)
        link = PeerLink(peer, self._pools, self._room, self._forwarder.part)
        await self._room.loop.create_unix_connection(lambda: link, sock=sock)
        self._forwarder.meet(link)
