"""The data plane as the control process sees it where workers answer requests: one listening socket, many processes.

It also hears what workers tell besides what pools there are.
"""

import socket
import threading

from api.dataplane.accepting import Tally
from api.metrics.meters import Meters
from api.workers.reports import AllMeasures, Connections, Fetched, Line, Loaded, Measures, Requests, Spoilt
from reconciler.workers.crew import Crew, Owner
from reconciler.workers.messages import Drain, Drained, Open, Told

SPARE_SECONDS = 2.0
"""Seconds beyond the bound of a drain that workers have for saying that they are done."""


class WorkerPlane:
    """Starts and drains the data planes of a crew, whose owner it is: what is about pools it hands to `pools`."""

    def __init__(self, crew: Crew, pools: Owner, listener: socket.socket, tally: Tally, meters: Meters) -> None:
        self._crew = crew
        self._pools = pools
        self._listener = listener
        self._tally = tally
        self._meters = meters
        self._port: int = listener.getsockname()[1]
        self._changed = threading.Condition()
        self._connections: dict[int, int] = {}
        self._draining: set[int] = set()
        self._opened = False
        self._stopped = False
        self._clean = True
        self.measures = AllMeasures()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    @property
    def open_connections(self) -> int:
        """How many clients are connected, to all workers."""
        with self._changed:
            return sum(self._connections.values())

    def start(self) -> None:
        """Have requests answered, by all workers there are and will be."""
        with self._changed:
            self._opened = True
            for worker in range(self._crew.size):
                self._crew.send(worker, Open())

    def stop(self, drain_seconds: float) -> bool:
        """Take no more connections, let requests end within the bound. Whether none was cut. Idempotent."""
        with self._changed:
            if self._stopped:
                return self._clean
            self._stopped, self._opened = True, False
            self._crew.close_listener()
            self._draining = {worker for worker in range(self._crew.size) if self._crew.here(worker)}
            for worker in self._draining:
                self._crew.send(worker, Drain(drain_seconds))
            done = self._changed.wait_for(lambda: not self._draining, drain_seconds + SPARE_SECONDS)
            return self._clean and done

    # What the crew tells.

    def joined(self, worker: int) -> None:
        """A worker is there."""
        self._pools.joined(worker)
        with self._changed:
            if self._opened:
                self._crew.send(worker, Open())

    def left(self, worker: int) -> None:
        """It is gone."""
        self._tally.away(worker)
        self._pools.left(worker)
        self.measures.left(worker)
        with self._changed:
            self._connections.pop(worker, None)
            self._draining.discard(worker)
            self._changed.notify_all()

    def heard(self, worker: int, message: object) -> None:
        """It said something."""
        if isinstance(message, Told):
            self._told(worker, message.content)
        elif isinstance(message, Drained):
            with self._changed:
                self._clean = self._clean and message.clean
                self._draining.discard(worker)
                self._changed.notify_all()
        else:
            self._pools.heard(worker, message)

    def _told(self, worker: int, content: object) -> None:
        match content:
            case Requests(counts):
                for key, counted in counts.items():
                    self._meters.requests.merge(key, counted)
            case Line():
                content.write()
            case Connections(number):
                with self._changed:
                    self._connections[worker] = number
            case Loaded(plugin, result, seconds):
                self._meters.control.loaded(plugin, result, seconds)
            case Spoilt(plugin, reason):
                self._meters.control.spoilt(plugin, reason)
            case Fetched(result):
                self._meters.fetches.count(result)
            case Measures():
                self.measures.told(worker, content)
