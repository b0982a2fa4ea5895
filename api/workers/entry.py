"""A worker process: its parts, put together, and their end. The only place that knows them all.

It is forked from a process that loaded this module; what the control process had open is not open here.
"""

import logging
import socket
import ssl
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from api.access.parts import data_tls
from api.dataplane.accepting import Tally, Turns
from api.dataplane.engine_room import EngineRoom
from api.dataplane.forwarding import Forwarder
from api.dataplane.links import Links
from api.dataplane.server import DataPlane
from api.dataplane.settings import Settings
from api.interpreter import tune
from api.pools import Listeners, modules_of, pools_of
from api.settings import ServeSettings
from api.tracing.parts import Tracing, tracing
from api.version import version
from api.workers.counts import Counters, LineHandler, Looks, TellingFetches, TellingObserver
from reconciler.control.rollouts import Rollouts
from reconciler.host.invoke import Called
from reconciler.wasm.egress import PinnedHttpClient, SystemResolver
from reconciler.workers.messages import Place
from reconciler.workers.outbox import Outbox
from reconciler.workers.wire import Inbox, Line
from reconciler.workers.worker import Worker

LOST: Final = 3
"""The exit code where the control process is gone: nobody is there to be told more."""


def run_worker(
    settings: ServeSettings, tally: Tally, worker: int, channel: socket.socket, listener: socket.socket
) -> int:
    """Be worker number `worker` until the control process says so, or is gone; the exit code."""
    tune()
    line = Line(channel)
    with ExitStack() as stack:
        made = _Parts(settings, Turns(tally, worker), worker, line, listener, stack)
        made.outbox.start()
        asked = Worker(Inbox(channel), line, made.host, made, made.outbox).run()
        if not asked:
            stack.pop_all()
            return LOST  # everything ends with the process, at once: its ports and files are wanted by the next one
        made.plane.stop(0.0)
        made.host.close()
        made.outbox.close()
    return 0


class _Parts:
    """What a worker is made of; the Plane that it is told about, and Elsewhere for its pools."""

    def __init__(
        self,
        settings: ServeSettings,
        turns: Turns,
        worker: int,
        line: Line,
        listener: socket.socket,
        stack: ExitStack,
    ) -> None:
        self._listener = listener
        traces = tracing(settings.traces, version())
        stack.callback(traces.close)
        _log_to(line, traces)
        bounds = Settings()
        room = EngineRoom.of(bounds)
        listeners = Listeners(self._changed, TellingObserver(self._tell), TellingFetches(self._tell))
        tls = ssl.create_default_context()
        modules = modules_of(settings, tls, listeners, partial(_needed, settings.state))
        client = PinnedHttpClient(SystemResolver(), tls)
        several = settings.workers > 1
        elsewhere = self if several else None
        self.host, spaces = pools_of(settings, stack, modules, client, traces, listeners, elsewhere)
        self._forwarder = Forwarder(self.host, room)
        counters = Counters(room.mailbox)
        self.plane = DataPlane(
            traces.dispatcher(self._forwarder if several else self.host),
            settings.listen,
            bounds,
            observer=counters,
            tls=data_tls(settings),
            room=room,
            turns=turns if several else None,
        )
        self._links = Links(self.host, self._forwarder, room)
        looks = Looks(counters, spaces, self.host.calling, self._forwarder.waiting, lambda: self.plane.open_connections)
        self.outbox = Outbox(line, self.host, looks.sample)
        self.plane.run()

    def open(self) -> None:
        """Take requests (Plane)."""
        self.plane.start(self._listener)

    def drain(self, seconds: float) -> bool:
        """Take no more (Plane)."""
        clean = self.plane.drain(seconds)
        self._listener.close()  # where it was never opened
        return clean

    def meet(self, peer: int, sock: socket.socket) -> None:
        """A way to another worker (Plane)."""
        self._links.add(peer, sock)

    def place(self, places: Sequence[Place]) -> None:
        """Where requests can go (Plane)."""
        self._forwarder.place(places)

    def _changed(self, plugins: Iterable[str]) -> None:
        for plugin in plugins:
            self.outbox.changed(plugin)

    def _tell(self, content: object) -> None:
        self.outbox.tell(content)

    def lease(self, route: str, deadline: float, depth: int, *, behind: bool) -> Called:
        """An instance of another worker (Elsewhere)."""
        return self._forwarder.lease(route, deadline, depth, behind=behind)


def _needed(state: Path) -> frozenset[str]:
    """The modules that a rollback would need, as the control process wrote down by now."""
    rollouts = Rollouts(state / "rollouts.sqlite3")
    try:
        return rollouts.needed()
    finally:
        rollouts.close()


def _log_to(line: Line, traces: Tracing) -> None:
    """Have the control process write this one's log."""
    handler = LineHandler(line)
    root = logging.getLogger()
    root.handlers = [handler]
    traces.logs(handler)
