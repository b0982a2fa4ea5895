"""Metrics as text: the same as prometheus_client writes, for less."""

import time
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from api.metrics.exposition import Histograms, encode
from api.metrics.histogram import Histogram


def families(plugins: int, ours: bool) -> Iterable[Metric]:
    """Every kind of family, with labels and numbers that are easily written wrong."""
    counter = CounterMetricFamily("a_requests", 'Requests: \\ "quoted"\nand a line.', labels=["b", "a"])
    for number in (0, 1, 999_999, 1_000_000, 12_345_678, 2**40, 1.5):
        counter.add_metric([f'odd "{number}"\\\n', "plain"], number)
    gauge = GaugeMetricFamily("a_gauge", "No labels.")
    for value in (-3, 0.1, float("inf"), float("nan"), 1e-9, 1e21):
        gauge.add_metric([], value)
    histogram = Histogram()
    for seconds in (0.003, 0.003, 20.0):
        histogram.add(seconds)
    yield from (counter, gauge)
    for name, labels in (("a_seconds", ["route", "plugin"]), ("a_pass_seconds", [])):
        rows = [[f"r{number}", f"p{number}"] for number in range(plugins)] if labels else [[]]
        if ours:
            histograms = Histograms(name, "Seconds.", labels)
            for row in rows:
                histograms.add(row, histogram)
            yield histograms
        else:
            family = HistogramMetricFamily(name, "Seconds.", labels=labels)
            for row in rows:
                family.add_metric(row, histogram.buckets(), histogram.sum)
            yield family


class Library(Collector):
    """The families as prometheus_client has them."""

    def __init__(self, plugins: int) -> None:
        self._plugins = plugins

    def collect(self) -> Iterable[Metric]:
        return families(self._plugins, ours=False)


def unordered(text: bytes) -> list[str]:
    """The lines, with labels in one order: it has no meaning."""
    return ["".join(sorted(line)) if "{" in line else line for line in text.decode().splitlines()]


def library(plugins: int) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Library(plugins))
    return registry


def test_prometheus_text_is_the_same() -> None:
    assert unordered(encode(families(1, ours=True), openmetrics=False)) == unordered(generate_latest(library(1)))


def test_openmetrics_is_the_same() -> None:
    theirs = openmetrics.generate_latest(library(1), version="1.0.0")
    assert unordered(encode(families(1, ours=True), openmetrics=True)) == unordered(theirs)


def test_the_process_metrics_are_written() -> None:
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    assert b"\nprocess_open_fds " in encode(registry.collect(), openmetrics=False)


def test_it_takes_less_than_half_of_the_librarys_time() -> None:
    registry = library(100)

    def cpu(write: Callable[[], bytes]) -> float:
        began = time.thread_time()
        write()
        return time.thread_time() - began

    ours = min(cpu(lambda: encode(families(100, ours=True), openmetrics=False)) for _ in range(5))
    theirs = min(cpu(lambda: generate_latest(registry)) for _ in range(5))
    assert ours < theirs / 2
