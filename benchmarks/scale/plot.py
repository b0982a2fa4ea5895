"""Line charts as SVG text. Both axes logarithmic, or neither."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

WIDTH: Final = 720
HEIGHT: Final = 360
LEFT: Final = 70
RIGHT: Final = 230
TOP: Final = 40
BOTTOM: Final = 50
COLOURS: Final = ("#2563eb", "#dc2626", "#16a34a", "#9333ea", "#ea580c")


@dataclass(frozen=True, slots=True)
class Line:
    """One line and its name."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Axis:
    """From values to pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool

    def at(self, value: float) -> float:
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (value - low) / ((high - low) or 1) * (self.end - self.start)

    def ticks(self) -> list[float]:
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            return [10.0**power for power in powers]
        step = 10 ** math.floor(math.log10(self.high / 4 or 1))
        step *= next(factor for factor in (1, 2, 5, 10) if self.high / (step * factor) <= 6)
        return [step * number for number in range(int(self.high / step) + 1)]


def chart(title: str, across: str, up: str, lines: Sequence[Line], *, log: bool = False) -> str:
    """The picture."""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    horizontal = _Axis(min(xs), max(xs), LEFT, WIDTH - RIGHT, log)
    low, high = 0.0, max(ys) or 1.0
    if log:
        low, high = 10.0 ** math.floor(math.log10(min(ys))), 10.0 ** math.ceil(math.log10(max(ys)))
    vertical = _Axis(low, high, HEIGHT - BOTTOM, TOP, log)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 22, title, size=14),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, across, anchor="middle"),
        _text(12, TOP - 8, up),
    ]
    for tick in vertical.ticks():
        if low <= tick <= high:
            y = vertical.at(tick)
            parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
            parts.append(_text(LEFT - 6, y + 4, f"{tick:g}", anchor="end"))
    for tick in horizontal.ticks():
        if horizontal.low <= tick <= horizontal.high:
            parts.append(_text(horizontal.at(tick), HEIGHT - BOTTOM + 18, f"{tick:g}", anchor="middle"))
    for number, line in enumerate(lines):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{horizontal.at(x):.1f},{vertical.at(y):.1f}" for x, y in line.points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        y = TOP + 16 * number
        parts.append(f'<rect x="{WIDTH - RIGHT + 16}" y="{y}" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(WIDTH - RIGHT + 32, y + 10, line.name))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">{escape(text)}</text>'
