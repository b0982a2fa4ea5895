"""The fake clock, and a server that does one thing at a time."""

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

Job = Callable[[], None]
NETWORK: Final = 0.001
"""Seconds that a message takes."""


class World:
    """Time that jumps from one event to the next."""

    def __init__(self, seed: int = 1) -> None:
        self.now = 0.0
        self.random = random.Random(seed)
        self._order = itertools.count()
        self._events: list[tuple[float, int, Job]] = []

    def after(self, seconds: float, job: Job) -> None:
        """Do that later."""
        heapq.heappush(self._events, (self.now + seconds, next(self._order), job))

    def run(self, until: float) -> None:
        """Go on to a moment."""
        while self._events and self._events[0][0] <= until:
            self.now, _, job = heapq.heappop(self._events)
            job()
        self.now = until


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of the server's core. `cores` work at once. `gather`: how long changes of nodes' entries wait."""

    name: str
    listing: float
    event: float
    per_entry: float
    status: float
    write: float
    cores: int = 1
    gather: float = 1.0


HUB: Final = Costs("one daemon as the hub", 0.0008, 0.00013, 0.0000022, 0.0012, 0.0043)
"""Measured on CPython 3.11: 100 plugins of 1.8 kB; events to 60 watches, of objects with 1 and 100 entries."""
API_SERVER: Final = Costs("an API server on 8 cores", 0.0008, 0.00002, 0.0000008, 0.003, 0.004, cores=8, gather=0.0)
"""Assumed, not measured: none is to be had here. It tells watches of every status write, as etcd has it."""


class Server:
    """Holds objects' versions and nodes' entries; tells watchers. Requests wait in line."""

    def __init__(self, world: World, costs: Costs, plugins: int) -> None:
        self.world, self.costs = world, costs
        self.generation = [1] * plugins
        self.changed = [0.0] * plugins
        self.entries: list[dict[int, int]] = [{} for _ in range(plugins)]
        self.watchers: dict[int, Callable[[int, int], None]] = {}
        self.up = True
        self.epoch = 0
        """Of which start versions are."""
        self.requests: Counter[str] = Counter()
        self.per_second: Counter[int] = Counter()
        self.busy = 0.0
        self._free = [0.0] * costs.cores
        self._dirty: set[int] = set()

    def serve(self, kind: str, cost: float, job: Job) -> None:
        """Do a request when a core is free; lost where the server goes down before."""
        self.requests[kind] += 1
        self.per_second[int(self.world.now)] += 1
        epoch = self.epoch
        self.spend(cost, lambda: job() if self.up and self.epoch == epoch else None)

    def spend(self, cost: float, job: Job) -> None:
        """Use a core, then do that."""
        core = min(range(len(self._free)), key=self._free.__getitem__)
        start = max(self.world.now, self._free[core])
        self._free[core] = start + cost
        self.busy += cost
        self.world.after(start + cost - self.world.now, job)

    def change(self, plugin: int) -> None:
        """Somebody applied another spec."""

        self.changed[plugin] = self.world.now

        def done() -> None:
            self.generation[plugin] += 1
            self._tell(plugin)

        self.serve("writes", self.costs.write, done)

    def publish(self, plugin: int, generation: int) -> None:
        """A hub below another one has that generation now."""
        self.generation[plugin] = generation
        self._tell(plugin)

    def apply_status(self, plugin: int, node: int, generation: int) -> None:
        """A node's own entry."""

        def done() -> None:
            self.entries[plugin][node] = generation
            if plugin not in self._dirty:
                self._dirty.add(plugin)
                self.world.after(self.costs.gather, lambda: self._tell_entries(plugin))

        self.serve("status writes", self.costs.status, done)

    def restart(self, down: float) -> None:
        """Go away and come back, with nothing remembered but the objects."""
        self.up, self.epoch = False, self.epoch + 1
        self.watchers.clear()
        self.entries = [{} for _ in self.entries]
        self._dirty.clear()

        def back() -> None:
            self.up = True
            self._free = [self.world.now] * len(self._free)

        self.world.after(down, back)

    def _tell(self, plugin: int) -> None:
        """Another spec, to every watcher in turn."""
        cost, generation = self._event_cost(plugin), self.generation[plugin]

        def send(tell: Callable[[int, int], None]) -> None:
            self.spend(cost, lambda: self.world.after(NETWORK, lambda: tell(plugin, generation)))

        self.requests["events"] += len(self.watchers)
        for tell in list(self.watchers.values()):
            send(tell)

    def _tell_entries(self, plugin: int) -> None:
        """Other nodes' entries: costs what any event costs, and makes no node do anything."""
        self._dirty.discard(plugin)
        self.requests["events"] += len(self.watchers)
        self.spend(self._event_cost(plugin) * len(self.watchers), lambda: None)

    def _event_cost(self, plugin: int) -> float:
        return self.costs.event + self.costs.per_entry * len(self.entries[plugin])
