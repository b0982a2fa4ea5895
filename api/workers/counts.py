"""What a worker counts, and how the control side hears of it: added up here, told from time to time."""

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Final

from api.dataplane.mailbox import Mailbox
from api.metrics.fetches import FetchMeter
from api.metrics.requests import Counts, Key, RequestMeter
from api.workers.reports import Connections, Fetched, Line, Loaded, Measured, Measures, Requests, Spoilt
from reconciler.core.states import Reason
from reconciler.wasm.proxy_wasm.shared import SharedSpaces
from reconciler.workers.messages import Told
from reconciler.workers.outbox import Sample
from reconciler.workers.wire import Ended
from reconciler.workers.wire import Line as Socket

Tell = Callable[[object], None]

MEASURES_EVERY: Final = 4
"""Looks between two at what guests measure, which takes as long as there are plugins."""

_STANDARD: Final = ("args", "exc_info", "msg", "message")


class Counters:
    """An Observer of the data plane that starts anew whenever it is read."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._meter = RequestMeter()

    def request(
        self, route: str, plugin: str, status: int, seconds: float, waited_seconds: float, on_loop: bool = False
    ) -> None:
        """A request ended. On the loop."""
        self._meter.request(route, plugin, status, seconds, waited_seconds, on_loop)

    def take(self) -> Mapping[Key, Counts]:
        """What was counted since the last time. The loop changes meters, so nothing is lost or locked."""
        if not self._meter.snapshot():
            return {}
        taken: list[RequestMeter] = []
        done = threading.Event()

        def change(_nothing: None) -> None:
            taken.append(self._meter)
            self._meter = RequestMeter()
            done.set()

        self._mailbox.post(change, None)
        done.wait()
        return taken[0].snapshot()


class TellingObserver:
    """A HostObserver that passes on what the control side cannot see for itself."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    def loaded(self, plugin: str, result: Reason, seconds: float) -> None:
        """A module was loaded or refused."""
        self._tell(Loaded(plugin, result, seconds))

    def served(self, plugin: str, seconds: float) -> None:
        """The control side knows."""

    def spoilt(self, plugin: str, reason: Reason) -> None:
        """An instance failed."""
        self._tell(Spoilt(plugin, reason))


class TellingFetches(FetchMeter):
    """Counts fetches over there."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def count(self, result: str) -> None:
        """One more."""
        self._tell(Fetched(result))


class LineHandler(logging.Handler):
    """Hands log records to the control process, which writes them."""

    def __init__(self, socket: Socket) -> None:
        super().__init__()
        self._socket = socket
        self._formatter = logging.Formatter()

    def emit(self, record: logging.LogRecord) -> None:
        """Send it; when nobody is there any more, it is lost."""
        values = {name: value for name, value in vars(record).items() if name not in _STANDARD}
        values["msg"] = record.getMessage()
        if record.exc_info:
            values["exc_text"] = self._formatter.formatException(record.exc_info)
        try:
            self._socket.send(Told(Line(values)))
        except Ended:
            return


class Looks:
    """Makes the samples of an Outbox. For its thread.

    `calling` gives the plugins that are being called, `waiting` who waits, `connections` how many clients there are.
    """

    def __init__(
        self,
        counters: Counters,
        spaces: SharedSpaces,
        calling: Callable[[], frozenset[str]],
        waiting: Callable[[], tuple[tuple[str, int], ...]],
        connections: Callable[[], int],
    ) -> None:
        self._counters = counters
        self._spaces = spaces
        self._calling = calling
        self._waiting = waiting
        self._connections = connections
        self._connected = 0
        self._measured: Mapping[str, tuple[Measured, ...]] = {}
        self._looks = 0

    def sample(self) -> Sample:
        """Look."""
        counts = self._counters.take()
        contents: list[object] = [Requests(counts)] if counts else []
        connected = self._connections()
        if connected != self._connected:
            self._connected = connected
            contents.append(Connections(connected))
        self._looks += 1
        if self._looks % MEASURES_EVERY == 0:
            contents += self._measures()
        called = {plugin for _, plugin in counts if plugin} | self._calling()
        return Sample(frozenset(called), self._waiting(), tuple(contents))

    def _measures(self) -> list[object]:
        measured = {space.name: values for space in self._spaces.snapshot() if (values := space.metrics())}
        if measured == self._measured:
            return []
        self._measured = measured
        return [Measures(measured)]
