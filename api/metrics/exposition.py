"""Metrics as text, for scrapers: the same text as prometheus_client's encoders write, for a fraction of the time.

Those make an object of each line, sort, check and escape; with a thousand plugins there are some thirty thousand lines.

Belongs here: the two formats. Does not: what is in them (`collect.py`). Our names need no escaping, and no sample has a
timestamp or an exemplar, so neither is written.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client.metrics_core import Metric
from prometheus_client.utils import floatToGoString

from api.metrics.histogram import Histogram

_PLAIN: Final = 1_000_000
"""Whole numbers below it are written without an exponent."""


class Histograms(Metric):
    """A family of histograms that keeps them as they are, and makes no object of each line."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        super().__init__(name, documentation, "histogram")
        self._labelnames = tuple(labels)  # under the name that prometheus_client's families have it
        self._rows: list[tuple[str, Histogram]] = []

    def add(self, labels: Sequence[str], histogram: Histogram) -> None:
        """One more, of these values of the labels."""
        pairs = dict(zip(self._labelnames, labels, strict=True))
        self._rows.append((_pairs(pairs), histogram))

    def lines(self) -> Iterator[str]:
        """Their text."""
        for pairs, histogram in self._rows:
            before, alone = f"{pairs}," if pairs else "", f"{{{pairs}}}" if pairs else ""
            count = 0.0
            for bound, count in histogram.buckets():
                yield f'{self.name}_bucket{{{before}le="{bound}"}} {_number(count)}\n'
            yield f"{self.name}_count{alone} {_number(count)}\n"
            yield f"{self.name}_sum{alone} {_number(histogram.sum)}\n"


def encode(metrics: Iterable[Metric], *, openmetrics: bool) -> bytes:
    """Prometheus' text format 0.0.4, or OpenMetrics 1.0."""
    lines: list[str] = []
    for metric in metrics:
        total = "_total" if metric.type == "counter" and not openmetrics else ""
        lines.append(f"# HELP {metric.name}{total} {_documentation(metric.documentation, openmetrics)}\n")
        lines.append(f"# TYPE {metric.name}{total} {metric.type}\n")
        lines += metric.lines() if isinstance(metric, Histograms) else _samples(metric)
    if openmetrics:
        lines.append("# EOF\n")
    return "".join(lines).encode()


def _samples(metric: Metric) -> Iterator[str]:
    for sample in metric.samples:
        labels = f"{{{_pairs(sample.labels)}}}" if sample.labels else ""
        yield f"{sample.name}{labels} {_number(sample.value)}\n"


def _number(value: float) -> str:
    if type(value) is int and 0 <= value < _PLAIN:
        return f"{value}.0"
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def _pairs(labels: Mapping[str, str]) -> str:
    return ",".join([f'{name}="{_escaped(value)}"' for name, value in labels.items()])


def _escaped(value: str) -> str:
    if "\\" in value or '"' in value or "\n" in value:
        return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    return value


def _documentation(text: str, openmetrics: bool) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if openmetrics else text
