"""`make bench`: everything that is measured, as a table, and as JSON in docs/figures.json.

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


def main(names: Sequence[str]) -> None:
    """Measure, print, keep."""
    figures = [figure for name in names or PARTS for figure in PARTS[name]()]
    system = f"Linux {platform.release()}, CPython {platform.python_version()}"
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {system}"
    print(f"\n{machine}\n\n{table(figures)}")
    if not names:
        kept = {"machine": machine, "figures": [asdict(figure) | {"median": figure.median} for figure in figures]}
        (Path(__file__).parents[1] / "docs" / "figures.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
