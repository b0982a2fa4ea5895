"""`GET /metrics`, in Prometheus' text or OpenMetrics, as the scraper prefers."""

from collections.abc import Callable

import falcon
from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

from api.metrics.collect import DaemonCollector, GuestCollector, PluginCollector, Watched
from api.metrics.exposition import encode
from api.metrics.meters import Meters
from api.streaming import App


def create_registry(
    meters: Meters, watched: Watched, connections: Callable[[], int], version: str
) -> CollectorRegistry:
    """A registry of our own with all collectors: two daemons in one process do not see each other.

    `connections` tells how many clients are connected.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PluginCollector(meters, watched))
    registry.register(DaemonCollector(meters, watched, connections, version))
    registry.register(GuestCollector(watched.spaces))
    ProcessCollector(registry=registry)
    return registry


class Metrics:
    """The endpoint."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def install(self, app: App) -> None:
        """Mount it (Face)."""
        app.add_route("/metrics", self)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All metrics."""
        _, content_type = choose_encoder(req.accept)
        resp.content_type = content_type
        resp.data = encode(self._registry.collect(), openmetrics=content_type.startswith("application/openmetrics"))

    on_head = on_get
