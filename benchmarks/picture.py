"""The figures that have a bar as one picture: how much of what is allowed each one takes."""

from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.report import Figure

_WIDTH: Final = 900
_NAMES: Final = 470
_ROW: Final = 22
_TOP: Final = 44
_MOST: Final = 2.0
"""Bars end here, however long they should be."""


def picture(figures: Sequence[Figure], machine: str) -> str:
    """SVG text. A bar that ends left of the line keeps within what is allowed."""
    judged = [figure for figure in figures if figure.bar]
    unit = (_WIDTH - _NAMES - 90) / _MOST
    height = _TOP + _ROW * len(judged) + 24
    line = _NAMES + unit
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="10" y="20" font-size="14">Share of what is allowed: shorter is better, up to the line is good'
        f"</text><text x='10' y='36' fill='#666'>{escape(machine)}</text>",
    ]
    for number, figure in enumerate(judged):
        y = _TOP + _ROW * number
        share = taken(figure)
        colour = "#16a34a" if figure.met else "#dc2626"
        value = f"{figure.median:.3g} {figure.unit}".strip()
        length = min(share, _MOST) * unit
        parts += [
            f'<text x="{_NAMES - 8}" y="{y + 15}" text-anchor="end">{escape(figure.name)}</text>',
            f'<rect x="{_NAMES}" y="{y + 3}" width="{length:.1f}" height="{_ROW - 6}" fill="{colour}"/>',
            f'<text x="{_NAMES + length + 6:.1f}" y="{y + 15}">{escape(value)}</text>',
        ]
    parts.append(f'<path d="M{line:.1f} {_TOP - 4}V{height - 16}" stroke="black" stroke-dasharray="4 3"/>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def taken(figure: Figure) -> float:
    """The share of the bar that a figure takes; 1 is all of it."""
    assert figure.bar
    return figure.bar / figure.median if figure.at_least else figure.median / figure.bar
