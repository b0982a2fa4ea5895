"""`python -m benchmarks.scale`: the scenarios for 10, 100 and 1,000 nodes; tables to print, plots into docs/images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.scale.node import Node
from benchmarks.scale.plot import Line, chart
from benchmarks.scale.world import API_SERVER, HUB, Costs, Server, World

PLUGINS: Final = 100
SIZES: Final = (10, 100, 1000)
IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario. Seconds; `busy` is the share of the server's cores during `lasted`."""

    scenario: str
    nodes: int
    p50: float
    p99: float
    requests: dict[str, int]
    busy: float
    peak: int
    reported: float
    timeline: tuple[int, ...] = ()

    def row(self) -> str:
        """A row of a Markdown table."""
        counts = [f"{self.requests.get(kind, 0):,}" for kind in ("lists", "events", "status writes")]
        share = f"{self.busy:.0%}"
        times = [_time(self.p50), _time(self.p99), _time(self.reported)]
        return f"| {self.scenario} | {self.nodes:,} | {' | '.join([*times, *counts, share, f'{self.peak:,}'])} |"


HEAD: Final = (
    "| What happened | Nodes | p50 | p99 | All reported | Lists | Events | Status writes | Server busy | Peak/s |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


class Run:
    """A server and its nodes, settled."""

    def __init__(self, costs: Costs, nodes: int) -> None:
        self.world = World()
        self.server = Server(self.world, costs, PLUGINS)
        self.nodes = [Node(self.world, self.server, number, PLUGINS) for number in range(nodes)]
        for node in self.nodes:
            node.settle()
        self.began = self.world.now

    def measure(self, scenario: str, plugins: Sequence[int], start: float, lasts: float) -> Result:
        """Go on; how long after `start` the changed plugins served everywhere."""
        self.world.run(self.began + lasts)
        took = sorted(node.since[plugin] - start for node in self.nodes for plugin in plugins)
        behind = [
            node for node in self.nodes for plugin in plugins if node.serving[plugin] != self.server.generation[plugin]
        ]
        assert not behind, f"{scenario}: {len(behind)} of {len(took)} are behind"
        missing = sum(len(self.nodes) - len(self.server.entries[plugin]) for plugin in plugins)
        assert not missing, f"{scenario}: {missing} entries are missing"
        seconds = self.server.per_second
        return Result(
            scenario,
            len(self.nodes),
            took[len(took) // 2],
            took[int(len(took) * 0.99)],
            dict(self.server.requests),
            self.server.busy / self.server.costs.cores / lasts,
            max(seconds.values(), default=0),
            self._reported() - start,
            tuple(seconds[second] for second in range(int(self.began), int(self.began + lasts))),
        )

    def _reported(self) -> float:
        """When the last request came in: a node that told what it did."""
        return float(max(self.server.per_second, default=self.began)) + 1


def one_change(costs: Costs, nodes: int) -> Result:
    """One plugin of a hundred is changed."""
    run = Run(costs, nodes)
    run.server.change(0)
    return run.measure("one plugin changed", [0], run.began, 120.0)


def all_changed(costs: Costs, nodes: int) -> Result:
    """Every plugin is changed, ten in a second."""
    run = Run(costs, nodes)
    for plugin in range(PLUGINS):
        run.world.after(plugin / 10, lambda plugin=plugin: run.server.change(plugin))
    return run.measure("100 plugins changed in 10 s", range(PLUGINS), run.began + PLUGINS / 20, 300.0)


def restarted(costs: Costs, nodes: int) -> Result:
    """The server is away for 30 seconds; a plugin is changed as it comes back."""
    run = Run(costs, nodes)
    run.server.restart(30.0)
    for node in run.nodes:
        node.lose()
    run.world.after(30.0, lambda: run.server.change(0))
    return run.measure("server away for 30 s, a change", [0], run.began + 30.0, 300.0)


def partitioned(costs: Costs, nodes: int) -> Result:
    """Half of the nodes are cut off for a minute, in which a plugin is changed."""
    run = Run(costs, nodes)
    half = run.nodes[: nodes // 2]
    for node in half:
        node.cut = True
        node.lose()
    run.world.after(10.0, lambda: run.server.change(0))

    def healed() -> None:
        for node in half:
            node.cut = False

    run.world.after(60.0, healed)
    return run.measure("half cut off for 60 s, a change", [0], run.began + 60.0, 300.0)


SCENARIOS: Final = (one_change, all_changed, restarted, partitioned)


def main() -> None:
    """Run everything."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for costs, name in ((HUB, "hub"), (API_SERVER, "api-server")):
        results = [[scenario(costs, nodes) for nodes in SIZES] for scenario in SCENARIOS]
        print(f"\n{costs.name}\n\n{HEAD}")
        for row in results:
            for result in row:
                print(result.row())
        lines = [Line(row[0].scenario, [(one.nodes, max(one.p99, 1e-3)) for one in row]) for row in results]
        text = chart(f"p99 of convergence, {costs.name}", "nodes", "seconds", lines, log=True)
        (IMAGES / f"scale-{name}-convergence.svg").write_text(text)
        lines = [
            Line(f"{one.nodes:,} nodes", [(second, count) for second, count in enumerate(one.timeline[:90])])
            for one in results[2]
        ]
        text = chart(f"Requests a second, {costs.name}: away from 0 to 30 s", "seconds", "requests/s", lines)
        (IMAGES / f"scale-{name}-restart.svg").write_text(text)


if __name__ == "__main__":
    main()
