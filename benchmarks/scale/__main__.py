"""`python -m benchmarks.scale`: the scenarios for 10, 100 and 1,000 nodes; tables to print, plots into docs/images."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.scale.node import Node
from benchmarks.scale.plot import Line, chart
from benchmarks.scale.world import API_SERVER, HUB, Costs, Server, World

PLUGINS: Final = 100
SIZES: Final = (10, 100, 1000)
FANOUT: Final = 32
IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"


@dataclass(frozen=True, slots=True)
class Layout:
    """Who follows whom."""

    name: str
    file: str
    costs: Costs
    tree: bool = False


LAYOUTS: Final = (
    Layout("one hub", "hub", HUB),
    Layout(f"a tree of hubs, {FANOUT} followers each", "tree", HUB, tree=True),
    Layout("an API server", "api-server", API_SERVER),
)


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario. Seconds; `busy` is the share of its cores that the busiest server used."""

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
    if math.isinf(seconds):
        return "never"
    return f"{seconds * 1e3:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


class Run:
    """A server and its nodes, settled. In a tree, hubs follow the server, and `FANOUT` nodes each of them."""

    def __init__(self, layout: Layout, nodes: int) -> None:
        self.world = World()
        self.server = Server(self.world, layout.costs, PLUGINS)
        self.servers = [self.server]
        self.nodes: list[Node] = []
        if layout.tree:
            self.servers += [Server(self.world, layout.costs, PLUGINS) for _ in range(-(-nodes // FANOUT))]
            self.nodes += [
                Node(self.world, self.server, -1 - n, PLUGINS, hub) for n, hub in enumerate(self.servers[1:])
            ]
        for number in range(nodes):
            server = self.servers[1 + number // FANOUT] if layout.tree else self.server
            self.nodes.append(Node(self.world, server, number, PLUGINS))
        for node in self.nodes:
            node.settle()

    def measure(self, scenario: str, plugins: Sequence[int], start: float, lasts: float) -> Result:
        """Go on; how long after its change (or after `start`, where that was later) each plugin served each node."""
        self.world.run(lasts)
        took = sorted(self._took(node, plugin, start) for node in self.nodes for plugin in plugins)
        told = sum(len(server.entries[plugin]) for server in self.servers for plugin in plugins)
        requests = sum((server.requests for server in self.servers), Counter())
        seconds = self.server.per_second
        return Result(
            scenario,
            len(self.nodes),
            took[len(took) // 2],
            took[int(len(took) * 0.99)],
            dict(requests),
            max(server.busy / server.costs.cores / lasts for server in self.servers),
            max(seconds.values(), default=0),
            self._last() + 1 - start if told == len(self.nodes) * len(plugins) else math.inf,
            tuple(seconds[second] for second in range(int(lasts))),
        )

    def _took(self, node: Node, plugin: int, start: float) -> float:
        since, changed = node.since[plugin], self.server.changed[plugin]
        if node.serving[plugin] != self.server.generation[plugin]:
            return math.inf
        return since - (start if changed < start <= since else changed)

    def _last(self) -> float:
        """When the last request came in: a node that told what it did."""
        return float(max((max(server.per_second, default=0) for server in self.servers), default=0))


def one_change(layout: Layout, nodes: int) -> Result:
    """One plugin of a hundred is changed."""
    run = Run(layout, nodes)
    run.server.change(0)
    return run.measure("one plugin changed", [0], 0.0, 120.0)


def all_changed(layout: Layout, nodes: int) -> Result:
    """Every plugin is changed, ten in a second."""
    run = Run(layout, nodes)
    for plugin in range(PLUGINS):
        run.world.after(plugin / 10, lambda plugin=plugin: run.server.change(plugin))
    return run.measure("100 plugins changed in 10 s", range(PLUGINS), 0.0, 300.0)


def restarted(layout: Layout, nodes: int) -> Result:
    """The server is away for 30 seconds; a plugin is changed as it comes back."""
    run = Run(layout, nodes)
    run.server.restart(30.0)
    for node in run.nodes:
        node.lose()
    run.world.after(30.0, lambda: run.server.change(0))
    return run.measure("server away for 30 s, a change", [0], 30.0, 300.0)


def partitioned(layout: Layout, nodes: int) -> Result:
    """Half of the nodes are cut off for a minute, in which a plugin is changed."""
    run = Run(layout, nodes)
    half = run.nodes[-(nodes // 2) :]
    for node in half:
        node.cut = True
        node.lose()
    run.world.after(10.0, lambda: run.server.change(0))

    def healed() -> None:
        for node in half:
            node.cut = False

    run.world.after(60.0, healed)
    return run.measure("half cut off for 60 s, a change", [0], 60.0, 300.0)


SCENARIOS: Final = (one_change, all_changed, restarted, partitioned)


def main() -> None:
    """Run everything."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    for layout in LAYOUTS:
        results = [[scenario(layout, nodes) for nodes in SIZES] for scenario in SCENARIOS]
        print(f"\n{layout.name}\n\n{HEAD}")
        for row in results:
            for result in row:
                print(result.row())
        _plot(layout, results)


def _plot(layout: Layout, results: Sequence[Sequence[Result]]) -> None:
    lines = [
        Line(row[0].scenario, [(one.nodes, max(one.p99, 1e-3)) for one in row if not math.isinf(one.p99)])
        for row in results
    ]
    text = chart(f"p99 of convergence, {layout.name}", "nodes", "seconds", lines, log=True)
    (IMAGES / f"scale-{layout.file}-convergence.svg").write_text(text)
    away = results[SCENARIOS.index(restarted)]
    lines = [Line(f"{one.nodes:,} nodes", list(enumerate(one.timeline[:90]))) for one in away]
    text = chart(f"Requests a second, {layout.name}: away from 0 to 30 s", "seconds", "requests/s", lines)
    (IMAGES / f"scale-{layout.file}-restart.svg").write_text(text)


if __name__ == "__main__":
    main()
