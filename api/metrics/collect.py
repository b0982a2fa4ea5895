"""Turns what the meters and the lower layers know into Prometheus metrics, at the moment of a scrape.

Names follow the field's: `workqueue_*` as client-go has them, so that dashboards made for controllers work, everything
else under `wasm_reconciler_`. Each series ends with what it is about: labels are names of plugins and routes that exist
at the moment, or words from fixed lists. What guests define is bounded for each namespace.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from api.metrics.exposition import Histograms
from api.metrics.meters import Meters
from api.ports import DesiredReader
from reconciler.control.status import PluginStatus
from reconciler.core.observed import ObservedPlugin
from reconciler.host.leases import BRIEF
from reconciler.host.pool import LONG, SHORT
from reconciler.wasm.proxy_wasm import abi

PREFIX: Final = "wasm_reconciler_"
QUEUE: Final = "wasmplugin"
"""The label `name` of the workqueue's metrics."""
_RUNNING: Final = "Age of the pass under way."
GUEST_METRICS: Final = 256
"""Metrics of one guest namespace that are shown; it may define more, which are counted only."""


class Pools(Protocol):
    """The pool host, as a scrape sees it."""

    def observe(self, plugin: str) -> ObservedPlugin:
        """What there is of a plugin."""

    def plugins(self) -> tuple[str, ...]:
        """The plugins that have a pool."""

    def queued(self) -> dict[str, int]:
        """How many requests wait, by route."""


class Statuses(Protocol):
    """The stored statuses."""

    def status(self, name: str) -> PluginStatus | None:
        """One plugin's."""


class Queue(Protocol):
    """The work queue."""

    added: int
    delayed: int

    def __len__(self) -> int:
        """How many names wait now."""


class Space(Protocol):
    """A namespace that guests share."""

    @property
    def name(self) -> str:
        """What it is called."""

    def metrics(self) -> tuple[tuple[str, int, int, int], ...]:
        """All metrics: name, kind, value (a histogram's sum), number of records."""


class Spaces(Protocol):
    """What guests share, their metrics among it."""

    def snapshot(self) -> Sequence[Space]:
        """The namespaces in use."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Everything that a scrape looks at besides the meters."""

    desired: DesiredReader
    statuses: Statuses
    pools: Pools
    queue: Queue
    spaces: Spaces


class PluginCollector(Collector):
    """Requests, instances and conditions of the plugins."""

    def __init__(self, meters: Meters, watched: Watched) -> None:
        self._meters = meters
        self._watched = watched

    def collect(self) -> Iterator[Metric]:
        """All of them. Forgets what is gone."""
        desired = self._watched.desired.list().plugins
        names = {*desired, *self._watched.pools.plugins()}
        queued = self._watched.pools.queued()
        self._meters.requests.keep(names, {*queued, *(entry.plugin.route for entry in desired.values())})
        self._meters.control.keep(names)
        yield from self._requests()
        yield from self._instances(sorted(names))
        yield self._conditions(sorted(names))
        depth = _gauge("queue_depth", "Requests that wait for an instance.", "route")
        for route, waiting in sorted(queued.items()):
            depth.add_metric([route], waiting)
        yield depth

    def _requests(self) -> Iterator[Metric]:
        total = _counter("requests", "Requests by the status that was answered.", "route", "plugin", "code")
        seconds = _histogram(
            "request_duration_seconds", "From the end of a request to its answer, waiting included.", "route", "plugin"
        )
        waited = _histogram(
            "queue_wait_seconds", "Waits for an instance, of requests that had to wait.", "route", "plugin"
        )
        on_loop = _counter("loop_requests", "Requests whose guest ran on the event loop.", "route", "plugin")
        for (route, plugin), counts in sorted(self._meters.requests.snapshot().items()):
            for status, number in sorted(counts.by_status.copy().items()):
                total.add_metric([route, plugin, str(status)], number)
            seconds.add((route, plugin), counts.seconds)
            on_loop.add_metric([route, plugin], counts.on_loop)
            if any(counts.waited.counts):  # most plugins never make anybody wait, and a scrape costs by its lines
                waited.add((route, plugin), counts.waited)
        bounds = _gauge(
            "loop_bound_seconds",
            "Calls below 'short' may come to the event loop, one above 'long' goes back, one above 'cut' is cut short.",
            "bound",
        )
        for bound, value in (("short", SHORT), ("long", LONG), ("cut", BRIEF)):
            bounds.add_metric([bound], value)
        yield from (total, seconds, waited, on_loop, bounds)

    def _instances(self, names: list[str]) -> Iterator[Metric]:
        instances = _gauge("pool_instances", "Instances by state; ready ones include busy ones.", "plugin", "state")
        wanted = _gauge("pool_instances_desired", "Instances that the spec asks for.", "plugin")
        for name in names:
            pools = self._watched.pools.observe(name).pools
            serving = next((pool for pool in pools if pool.serving), None)
            states = {
                "ready": serving.ready if serving is not None else 0,
                "busy": sum(pool.busy for pool in pools),
                "draining": sum(pool.busy for pool in pools if not pool.serving) + (serving.retiring if serving else 0),
                "failed": sum(pool.failed for pool in pools),
            }
            for state, number in states.items():
                instances.add_metric([name, state], number)
            status = self._watched.statuses.status(name)
            if status is not None:
                wanted.add_metric([name], status.instances)
        restarts = _counter("instance_restarts", "Instances that failed and were replaced.", "plugin", "reason")
        for (plugin, reason), number in sorted(self._meters.control.restarted().items()):
            restarts.add_metric([plugin, str(reason)], number)
        yield from (instances, wanted, restarts)

    def _conditions(self, names: list[str]) -> Metric:
        """One series for each condition, with the status that it has: it ends when that changes."""
        family = _gauge("condition", "1 for the status that a condition has.", "plugin", "type", "status")
        for name in names:
            status = self._watched.statuses.status(name)
            for condition in status.conditions if status is not None else ():
                family.add_metric([name, str(condition.type), condition.status], 1)
        return family


class DaemonCollector(Collector):
    """The work queue, the passes, modules, sources, connections: what is about the daemon as a whole."""

    def __init__(self, meters: Meters, watched: Watched, connections: Callable[[], int], version: str) -> None:
        self._meters = meters
        self._watched = watched
        self._connections = connections
        self._version = version

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        yield from self._work_queue()
        yield from self._control()
        sources = _gauge("source_problems", "Broken files, and 1 where it cannot be listed.", "source")
        for source in self._watched.desired.sources():
            broken = sum(1 for file in source.files if file.problems)
            sources.add_metric([source.id], broken + (1 if source.error else 0))
        yield sources
        connections = _gauge("connections", "Clients that are connected to the data plane.")
        connections.add_metric([], self._connections())
        yield connections
        build = _gauge("build_info", "1; which version runs.", "version")
        build.add_metric([self._version], 1)
        yield build

    def _work_queue(self) -> Iterator[Metric]:
        queue, control, name = self._watched.queue, self._meters.control, [QUEUE]
        running, labels = control.pass_running, ["name"]
        for family, number in (
            (GaugeMetricFamily("workqueue_depth", "Names that wait for a pass.", labels=labels), len(queue)),
            (GaugeMetricFamily("workqueue_unfinished_work_seconds", _RUNNING, labels=labels), running),
            (GaugeMetricFamily("workqueue_longest_running_processor_seconds", _RUNNING, labels=labels), running),
            (CounterMetricFamily("workqueue_adds", "Names that were queued.", labels=labels), queue.added),
            (
                CounterMetricFamily("workqueue_retries", "Names that were queued for later.", labels=labels),
                queue.delayed,
            ),
        ):
            family.add_metric(name, number)
            yield family
        for metric, text, histogram in (
            ("workqueue_queue_duration_seconds", "How long a name waited for its pass.", control.queue_seconds),
            ("workqueue_work_duration_seconds", "How long a pass took.", control.pass_seconds),
        ):
            waits = Histograms(metric, text, labels)
            waits.add(name, histogram)
            yield waits

    def _control(self) -> Iterator[Metric]:
        control = self._meters.control
        for name, text, label, counts in (
            ("reconcile", "Passes by how they ended.", "result", {str(k): v for k, v in control.passes.items()}),
            ("module_loads", "Modules that were loaded or refused.", "result", control.loaded_by_result()),
            ("artifact_fetch", "Fetches of modules from elsewhere.", "result", self._meters.fetches.results()),
        ):
            counter = _counter(name, text, label)
            for value, number in sorted(counts.items()):
                counter.add_metric([value], number)
            yield counter
        for name, text, histogram in (
            ("reconcile_time_seconds", "How long a pass took.", control.pass_seconds),
            ("module_load_seconds", "From a source to a module that can be started.", control.load_seconds),
            ("reload_seconds", "From a pool's creation until it took the traffic.", control.reload_seconds),
        ):
            family = _histogram(name, text)
            family.add((), histogram)
            yield family


class GuestCollector(Collector):
    """What guests count through proxy-wasm's metrics, by the namespace that they share."""

    def __init__(self, spaces: Spaces) -> None:
        self._spaces = spaces

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        labels = ("namespace", "metric")
        counter = _counter("guest_counter", "Counters that guests defined.", *labels)
        gauge = _gauge("guest_gauge", "Gauges that guests defined.", *labels)
        histogram = SummaryMetricFamily(PREFIX + "guest_histogram", "Histograms that guests defined.", labels=labels)
        hidden = _gauge("guest_metrics_hidden", "Metrics that are too many to be shown.", "namespace")
        for space in self._spaces.snapshot():
            metrics = space.metrics()
            for name, kind, value, records in metrics[:GUEST_METRICS]:
                if kind == abi.COUNTER:
                    counter.add_metric([space.name, name], value)
                elif kind == abi.GAUGE:
                    gauge.add_metric([space.name, name], value)
                else:
                    histogram.add_metric([space.name, name], records, value)
            if len(metrics) > GUEST_METRICS:
                hidden.add_metric([space.name], len(metrics) - GUEST_METRICS)
        yield from (counter, gauge, histogram, hidden)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(PREFIX + name, text, labels=labels)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, text, labels=labels)


def _histogram(name: str, text: str, *labels: str) -> Histograms:
    return Histograms(PREFIX + name, text, labels)
