"""The page put together: its files, its stream, and the endpoints that only it needs."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from api.dashboard.feed import Feed, Watched
from api.dashboard.pagefiles import PageFiles
from api.dashboard.stream import Stream
from api.dashboard.traffic import Meter, Traffic
from api.dashboard.trial import Place, Trials
from api.streaming import App, Places


@dataclass(frozen=True, slots=True)
class DashboardParts:
    """What the page is made over. `streams`: how many pages may be open; `data_plane` tells where requests go."""

    watched: Watched
    meter: Meter
    data_plane: Callable[[], Place]
    namespace: str
    version: str
    streams: int


class Dashboard:
    """The page. `start` before the first request, `stop` before the server stops."""

    def __init__(self, parts: DashboardParts, page: PageFiles) -> None:
        self._parts = parts
        self._files = page
        self._feed = Feed(
            parts.watched,
            Traffic(parts.meter, time.time),
            lambda: {
                "version": parts.version,
                "namespace": parts.namespace,
                "dataPlane": parts.data_plane().url,
                "now": time.time(),
            },
        )

    def install(self, app: App) -> None:
        """Mount everything on the admin app."""
        parts = self._parts
        self._files.install(app)
        app.add_route("/stream", Stream(self._feed, Places(parts.streams)))
        app.add_route("/try", Trials(parts.data_plane))

    def start(self) -> None:
        """Begin to gather."""
        self._feed.start()

    def stop(self) -> None:
        """Let all streams end, so that the server can stop. Idempotent."""
        self._feed.stop()
