"""All open connections: how many there are, which of them are late, and how they end. On the loop's thread only."""

import asyncio
from collections.abc import Callable
from typing import Protocol


class Connection(Protocol):
    """What every protocol version's connection can do."""

    deadline: float
    """Loop time at which `expire` is due; infinite while there is nothing to wait for."""

    def expire(self, now: float) -> None:
        """The deadline is over."""

    def drain(self) -> None:
        """Take no more requests: end now if idle, else after the answers that are due."""

    def abort(self) -> None:
        """End now."""


class Connections:
    """The open connections of a server."""

    def __init__(self, limit: int, counted: Callable[[int], None] | None = None) -> None:
        """`counted` is told how many there are whenever that changes."""
        self._limit = limit
        self._counted = counted
        self._open: set[Connection] = set()
        self._all_closed = asyncio.Event()
        self._all_closed.set()
        self.draining = False

    def __len__(self) -> int:
        return len(self._open)

    def add(self, connection: Connection) -> bool:
        """Count a new connection; False: there are enough."""
        if len(self._open) >= self._limit or self.draining:
            return False
        self._open.add(connection)
        self._all_closed.clear()
        self._changed()
        return True

    def remove(self, connection: Connection) -> None:
        """It is closed. Harmless for one that was not added."""
        self._open.discard(connection)
        if not self._open:
            self._all_closed.set()
        self._changed()

    def _changed(self) -> None:
        if self._counted is not None:
            self._counted(len(self._open))

    def sweep(self, now: float) -> None:
        """Expire those that are late. One sweep a second is cheaper than a timer for every request."""
        for connection in [connection for connection in self._open if connection.deadline <= now]:
            connection.expire(now)

    def drain(self) -> None:
        """Take no more requests on any."""
        self.draining = True
        for connection in list(self._open):
            connection.drain()

    def abort(self) -> None:
        """End all."""
        for connection in list(self._open):
            connection.abort()

    async def closed(self) -> None:
        """Return when all are closed."""
        await self._all_closed.wait()
