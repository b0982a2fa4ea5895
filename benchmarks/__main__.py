"""`make bench`: everything that is measured, as a table, which docs/performance.md gets too, as JSON and as a picture.

`python -m benchmarks NAME...` measures only those parts; see PARTS.
"""

import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks import calls, components, convergence, guest, install, kube, life, peers, sizes, workers
from benchmarks.picture import picture
from benchmarks.report import Figure, table

PARTS: dict[str, Callable[[], Sequence[Figure]]] = {
    "guest": guest.figures,
    "calls": calls.figures,
    "convergence": convergence.main,
    "install": lambda: list(install.figures()),
    "sizes": lambda: list(sizes.figures()),
    "life": lambda: list(life.figures()),
    "kube": kube.figures,
    "peers": peers.main,
    "components": components.figures,
    "workers": lambda: list(workers.figures()),
}

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
"""Between these, docs/performance.md has the table."""


def main(names: Sequence[str]) -> None:
    """Measure, print, keep."""
    figures = [figure for name in names or PARTS for figure in PARTS[name]()]
    system = f"Linux {platform.release()}, CPython {platform.python_version()}"
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {system}"
    print(f"\n{machine}\n\n{table(figures)}")
    if not names:
        keep(figures, machine, Path(__file__).parents[1] / "docs")


def keep(figures: Sequence[Figure], machine: str, docs: Path) -> None:
    """Write all figures to the documents."""
    kept = {"machine": machine, "figures": [asdict(figure) | {"median": figure.median} for figure in figures]}
    (docs / "figures.json").write_text(json.dumps(kept, indent=1) + "\n")
    (docs / "images" / "figures.svg").write_text(picture(figures, machine))
    page = docs / "performance.md"
    before, _, rest = page.read_text().partition(BEGIN)
    page.write_text(f"{before}{BEGIN}\n{machine}\n\n{table(figures)}\n{END}{rest.partition(END)[2]}")


if __name__ == "__main__":
    main(sys.argv[1:])
