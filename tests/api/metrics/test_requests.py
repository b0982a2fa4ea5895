"""Counting requests: what is counted, that it ends with its plugin, and what it costs."""

import time

from api.metrics.histogram import SECONDS, Histogram
from api.metrics.requests import RequestMeter


def test_a_histogram_counts_up_to_each_bound_and_sums() -> None:
    histogram = Histogram((0.1, 1.0))
    for value in (0.1, 0.05, 0.5, 3.0):
        histogram.add(value)
    assert histogram.buckets() == [("0.1", 2), ("1.0", 3), ("+Inf", 4)]
    assert histogram.sum == 3.65


def test_the_bounds_are_in_order() -> None:
    assert list(SECONDS) == sorted(set(SECONDS))


def test_requests_are_counted_by_route_plugin_and_status() -> None:
    meter = RequestMeter()
    meter.request("r", "a", 200, 0.001, 0.0)
    meter.request("r", "a", 200, 0.002, 0.5)
    meter.request("r", "a", 500, 0.002, 0.0)
    meter.request("r", "b", 200, 0.002, 0.0)
    counts = meter.snapshot()
    assert counts["r", "a"].by_status == {200: 2, 500: 1}
    assert counts["r", "b"].by_status == {200: 1}
    assert (sum(counts["r", "a"].waited.counts), counts["r", "a"].waited.sum) == (1, 0.5)


def test_a_plugin_has_a_latency_over_all_its_routes_until_it_is_gone() -> None:
    meter = RequestMeter()
    assert meter.latency("a", 0.99) is None
    for route, seconds in (("r", 0.004), ("id_of_a", 0.04)):
        for _ in range(100):
            meter.request(route, "a", 200, seconds, 0.0)
    slow, fast = meter.latency("a", 0.99), meter.latency("a", 0.25)
    assert slow is not None
    assert 25 < slow < 50
    assert fast is not None
    assert 2.5 < fast < 5
    meter.keep({"b"}, set())
    assert meter.latency("a", 0.99) is None


def test_what_is_gone_is_forgotten_and_what_is_there_is_kept() -> None:
    meter = RequestMeter()
    for route, plugin in (("r", "a"), ("id_of_a", "a"), ("id_of_a", ""), ("r", "gone"), ("gone", ""), ("", "")):
        meter.request(route, plugin, 200, 0.001, 0.0)
    meter.keep({"a"}, {"r"})
    assert set(meter.snapshot()) == {("r", "a"), ("id_of_a", "a"), ("id_of_a", ""), ("", "")}


def test_counting_a_request_takes_next_to_nothing() -> None:
    meter = RequestMeter()
    meter.request("r", "a", 200, 0.0002, 0.0)

    def each() -> float:
        began = time.perf_counter()
        for _ in range(10_000):
            meter.request("r", "a", 200, 0.0002, 0.001)
        return (time.perf_counter() - began) / 10_000

    assert min(each() for _ in range(10)) < 3e-6
