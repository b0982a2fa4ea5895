"""What a measurement is, and how it is printed."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured quantity. `bar` is what it should not exceed (or, with `at_least`, not fall below)."""

    name: str
    values: Sequence[float]
    unit: str
    bar: float | None = None
    at_least: bool = False

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.values)

    def row(self) -> str:
        """A row of a Markdown table."""
        worst = max(self.values)
        wanted = "" if self.bar is None else f"{'at least' if self.at_least else 'at most'} {self.bar:g} {self.unit}"
        met = "" if self.bar is None else ("yes" if self.met else "NO")
        return f"| {self.name} | {self.median:.4g} {self.unit} | {worst:.4g} | {len(self.values)} | {wanted} | {met} |"

    @property
    def met(self) -> bool:
        """Whether the bar is met by the median."""
        return self.bar is None or (self.median >= self.bar if self.at_least else self.median <= self.bar)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def table(figures: Sequence[Figure]) -> str:
    """All rows, with a head."""
    head = "| what | median | worst | runs | bar | met |\n|---|---|---|---|---|---|"
    return "\n".join([head, *(figure.row() for figure in figures)])
