"""A node: follows as `api.cluster` does, decides by the real diff, runs nothing. It may be the hub of others."""

from dataclasses import replace
from typing import Final

from api.cluster import pace
from benchmarks.scale.world import NETWORK, Server, World
from reconciler.core.diff import Target, diff
from reconciler.core.observed import GuestInfo, ObservedPlugin, ObservedPool, PoolSettings
from reconciler.core.plan import CreatePool, RemovePool, ResizePool, Serve
from reconciler.core.revision import InstanceLimits, InstanceSpec, ModuleSource
from reconciler.core.states import PoolPhase

PASS: Final = 0.001
"""Seconds of a pass over one plugin."""
START: Final = 0.01
"""Seconds from a pool's creation to its instances."""
NOTICE: Final = 0.005
"""Seconds from an event to the pass: parsing, listing, the quiet time of the sync thread."""

_LIMITS: Final = InstanceLimits(2**26, 1.0, 5.0, None, 2**20, 2**23)
_GUEST: Final = GuestInfo("proxy-wasm")
_SETTINGS: Final = PoolSettings("route", 128, 1.0, 10.0, None)


def _target(plugin: str, generation: int) -> Target:
    spec = InstanceSpec(plugin, ModuleSource("sha256:0"), "auto", "wasmtime", "{}", (), (), (), (), plugin, _LIMITS)
    return Target(plugin, f"revision-{generation}", spec, _SETTINGS, 1)


class Node:
    """One follower. `serving` has the generation that serves, by plugin; `seen` when each began to."""

    def __init__(self, world: World, server: Server, number: int, plugins: int, below: Server | None = None) -> None:
        self.world, self.server, self.number, self.below = world, server, number, below
        self.observed = [ObservedPlugin(str(plugin)) for plugin in range(plugins)]
        self.wanted = [0] * plugins
        self.serving = [0] * plugins
        self.since = [0.0] * plugins
        self.cut = False
        self._told = [0] * plugins
        self._reports: set[int] = set()
        self._queued: set[int] = set()
        self._free = 0.0
        self._failures = 0
        self._connection = 0

    def settle(self) -> None:
        """Begin as one that has followed for long: everything runs, and is told."""
        for plugin in range(len(self.wanted)):
            name = str(plugin)
            pool = ObservedPool(
                name, "revision-1", _SETTINGS, _LIMITS, PoolPhase.IDLE, target=1, ready=1, serving=True, guest=_GUEST
            )
            self.observed[plugin] = ObservedPlugin(name, (pool,))
            self.wanted[plugin] = self.serving[plugin] = self._told[plugin] = 1
            self.server.entries[plugin][self.number] = 1
        self.server.watchers[self.number] = self._saw

    def connect(self, *, known: bool) -> None:
        """Watch on (`known`: from a version), or list first."""
        self._connection += 1
        mine, server = self._connection, self.server
        if not server.up or self.cut:
            self._fail()
            return
        epoch = server.epoch

        def listed() -> None:
            if mine == self._connection:
                for plugin, generation in enumerate(server.generation):
                    self._told[plugin] = server.entries[plugin].get(self.number, 0)
                    self._saw(plugin, generation)
                self._watch(epoch)

        if known:
            server.serve("watches", server.costs.event, lambda: self._expired_or_watch(mine, epoch))
        else:
            entries = sum(map(len, server.entries))
            cost = server.costs.listing + entries * server.costs.per_entry
            server.serve("lists", cost, lambda: self.world.after(NETWORK, listed))

    def lose(self) -> None:
        """The connection ends."""
        self._connection += 1
        self.server.watchers.pop(self.number, None)
        self._fail()

    def _expired_or_watch(self, mine: int, epoch: int) -> None:
        if mine != self._connection:
            return
        if epoch > 0:  # versions of before the restart are too old
            self.world.after(pace.relist_delay(self.world.random.random), lambda: self.connect(known=False))
        else:
            self._watch(epoch)

    def _watch(self, epoch: int) -> None:
        if self.server.up and self.server.epoch == epoch and not self.cut:
            self._failures = 0
            self.server.watchers[self.number] = self._saw
        else:
            self._fail()

    def _fail(self) -> None:
        self._failures += 1
        delay = pace.retry_delay(self._failures, self.world.random.random)
        self.world.after(delay, lambda: self.connect(known=self.server.epoch > 0 and bool(self.wanted[0])))

    def _saw(self, plugin: int, generation: int) -> None:
        if self.cut:
            return
        if generation != self.wanted[plugin]:
            self.wanted[plugin] = generation
            self.world.after(NOTICE, lambda: self._desire(plugin, generation))
        elif self._told[plugin] != self.serving[plugin]:
            self._report(plugin)

    def _desire(self, plugin: int, generation: int) -> None:
        if self.below is not None:
            self.below.publish(plugin, generation)
        self._enqueue(plugin)

    def _enqueue(self, plugin: int) -> None:
        if plugin not in self._queued:
            self._queued.add(plugin)
            self._free = max(self._free, self.world.now) + PASS
            self.world.after(self._free - self.world.now, lambda: self._pass(plugin))

    def _pass(self, plugin: int) -> None:
        self._queued.discard(plugin)
        target = _target(str(plugin), self.wanted[plugin])
        plan = diff(target, self.observed[plugin], self.world.now)
        pools = {pool.revision: pool for pool in self.observed[plugin].pools}
        for action in plan.actions:
            if isinstance(action, CreatePool | ResizePool):
                self._start(plugin, action, pools)
            elif isinstance(action, Serve):
                pools = {name: replace(pool, serving=name == action.revision) for name, pool in pools.items()}
                self.serving[plugin], self.since[plugin] = self.wanted[plugin], self.world.now
                self._report(plugin)
            elif isinstance(action, RemovePool):
                pools.pop(action.revision, None)
        self.observed[plugin] = ObservedPlugin(str(plugin), tuple(pools.values()))
        if not plan.empty:
            self._enqueue(plugin)

    def _start(self, plugin: int, action: CreatePool | ResizePool, pools: dict[str, ObservedPool]) -> None:
        name, revision = str(plugin), action.revision
        pools[revision] = ObservedPool(name, revision, _SETTINGS, _LIMITS, PoolPhase.STARTING, target=action.instances)

        def started() -> None:
            found = self.observed[plugin]
            self.observed[plugin] = ObservedPlugin(
                name,
                tuple(
                    replace(pool, phase=PoolPhase.IDLE, ready=pool.target, guest=_GUEST)
                    if pool.revision == revision
                    else pool
                    for pool in found.pools
                ),
            )
            self._enqueue(plugin)

        self.world.after(START, started)

    def _report(self, plugin: int) -> None:
        if plugin in self._reports:
            return
        self._reports.add(plugin)
        delay = pace.report_delay(max(1, len(self.server.entries[plugin])), self.world.random.random)
        self.world.after(delay, lambda: self._write(plugin))

    def _write(self, plugin: int) -> None:
        self._reports.discard(plugin)
        if self._told[plugin] != self.serving[plugin] and self.server.up and not self.cut:
            self._told[plugin] = self.serving[plugin]
            self.server.apply_status(plugin, self.number, self.serving[plugin])
