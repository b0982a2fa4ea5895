"""What happened between two scrapes of `/metrics`, by plugin. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client.parser import text_string_to_metric_families

PREFIX: Final = "wasm_reconciler_"


@dataclass(slots=True)
class Counters:
    """One plugin's counters and gauges at a moment; `buckets` by upper bound, cumulated."""

    route: str = ""
    requests: float = 0.0
    failed: float = 0.0
    buckets: dict[float, float] = field(default_factory=dict)
    ready: float = 0.0
    busy: float = 0.0
    desired: float = 0.0
    restarts: float = 0.0


@dataclass(frozen=True, slots=True)
class Scrape:
    """All that `top` shows, at a moment (monotonic seconds)."""

    at: float
    plugins: Mapping[str, Counters]
    queued: Mapping[str, float]
    memory: float
    connections: float


@dataclass(frozen=True, slots=True)
class Rates:
    """One plugin's rates between two moments. Seconds; None where nothing was measured."""

    requests: float
    failed: float
    p50: float | None
    p99: float | None


def read(text: str, at: float) -> Scrape:
    """A scrape's text."""
    plugins: dict[str, Counters] = {}
    queued: dict[str, float] = {}
    single = {"process_resident_memory_bytes": 0.0, f"{PREFIX}connections": 0.0}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name, labels, value = sample.name, sample.labels, sample.value
            if name in single:
                single[name] = value
            elif name == f"{PREFIX}queue_depth":
                queued[labels["route"]] = value
            elif labels.get("plugin"):
                _count(plugins.setdefault(labels["plugin"], Counters()), name.removeprefix(PREFIX), labels, value)
    memory, connections = single.values()
    return Scrape(at, plugins, queued, memory, connections)


def _count(counters: Counters, name: str, labels: Mapping[str, str], value: float) -> None:
    match name:
        case "requests_total":
            counters.route = labels["route"]
            counters.requests += value
            counters.failed += value if labels["code"][0] in "45" else 0.0
        case "request_duration_seconds_bucket":
            bound = float(labels["le"])
            counters.buckets[bound] = counters.buckets.get(bound, 0.0) + value
        case "pool_instances" if labels["state"] in ("ready", "busy"):
            setattr(counters, labels["state"], value)
        case "pool_instances_desired":
            counters.desired = value
        case "instance_restarts_total":
            counters.restarts += value


def rates(before: Scrape, after: Scrape, name: str) -> Rates:
    """What a plugin did between two scrapes."""
    seconds = max(after.at - before.at, 1e-9)
    old, new = before.plugins.get(name, Counters()), after.plugins.get(name, Counters())
    grown = [(bound, new.buckets[bound] - old.buckets.get(bound, 0.0)) for bound in sorted(new.buckets)]
    return Rates(
        max(0.0, new.requests - old.requests) / seconds,
        max(0.0, new.failed - old.failed) / seconds,
        quantile(grown, 0.5),
        quantile(grown, 0.99),
    )


def quantile(buckets: Iterable[tuple[float, float]], share: float) -> float | None:
    """A quantile of a cumulated histogram, straight lines within a bucket, as Prometheus estimates it."""
    cumulated = list(buckets)
    total = cumulated[-1][1] if cumulated else 0.0
    if total <= 0:
        return None
    wanted, below, count_below = share * total, 0.0, 0.0
    for bound, count in cumulated:
        if count >= wanted:
            if bound == float("inf"):
                return below
            return below + (bound - below) * (wanted - count_below) / max(count - count_below, 1e-9)
        below, count_below = bound, count
    return below
