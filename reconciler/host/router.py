"""Which instance answers a request: routes, the pools behind them, and who waits.

A route's group holds the serving pools of all plugins that name it. Traffic goes in proportion to ready instances,
to an idle one first; where all are busy, requests wait in one line per route. Called with the host's lock held.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from reconciler.host.invoke import QueueFull, RouteLimits, RouteUnavailable, RouteUnknown, Waiter
from reconciler.host.pool import Pool


@dataclass(frozen=True, slots=True)
class Expectation:
    """A plugin that is desired on a route, whether or not it runs yet. Bytes and seconds."""

    route: str
    queue: int
    queue_timeout: float
    request_bytes: int
    instances: int
    filters: tuple[str, ...] = ()


class Group:
    """Everything behind one route.

    `queue` is how many requests may wait: what the group's plugins allow together. `limits` are the largest body and
    the longest wait that one of them allows. `filters` are all that one of them names, those of the plugin whose name
    comes first before the others': no request gets past a filter because another plugin answers it.
    """

    __slots__ = ("expected", "filters", "limits", "name", "pools", "queue", "waiting")

    def __init__(self, name: str) -> None:
        self.name = name
        self.expected: dict[str, Expectation] = {}
        self.pools: list[Pool] = []
        self.waiting: OrderedDict[Waiter, None] = OrderedDict()
        self.queue = 0
        self.limits = RouteLimits(request_bytes=0, queue_timeout=0.0)

    @property
    def empty(self) -> bool:
        """Whether nobody expects or serves the route."""
        return not self.expected and not self.pools

    def changed(self) -> None:
        """Who expects or serves the route, or their settings, changed: work out the bounds anew."""
        queues = {pool.plugin: pool.settings.queue for pool in self.pools}
        names = {pool.plugin: pool.settings.filters for pool in self.pools}
        for name, expectation in self.expected.items():
            names[name] = tuple(dict.fromkeys(expectation.filters + names.get(name, ())))
        self.filters = tuple(dict.fromkeys(one for name in sorted(names) for one in names[name]))
        times = [pool.settings.queue_timeout for pool in self.pools]
        sizes = [pool.spec.limits.request_bytes for pool in self.pools]
        for plugin, expectation in self.expected.items():
            queues[plugin] = expectation.queue
            times.append(expectation.queue_timeout)
            sizes.append(expectation.request_bytes)
        self.queue = sum(queues.values())
        self.limits = RouteLimits(
            request_bytes=max(sizes, default=0),
            queue_timeout=max(times, default=0.0),
            streams=bool(self.pools) and not self.filters and all(pool.streams for pool in self.pools),
        )

    def step_out(self, waiter: Waiter) -> bool:
        """Wait no longer. Whether the waiter stood in the line."""
        return waiter in self.waiting and self.waiting.pop(waiter) is None

    def pick(self) -> Pool | None:
        """The pool whose idle instance answers next; None where all are busy.

        Smooth weighted round robin over the pools that have an idle instance: shares follow ready instances exactly.
        """
        pools = self.pools
        if len(pools) == 1:
            return pools[0] if pools[0].idle else None
        best, total = None, 0
        for pool in pools:
            if pool.idle:
                weight = pool.ready
                pool.credit += weight
                total += weight
                if best is None or pool.credit > best.credit:
                    best = pool
        if best is not None:
            best.credit -= total
        return best


class Router:
    """All routes. Guarded by the host's lock."""

    def __init__(self) -> None:
        self._groups: dict[str, Group] = {}
        self._expected: dict[str, Expectation] = {}
        self._aliases: dict[str, dict[Pool, None]] = {}
        self._lone: dict[str, Group] = {}

    def group(self, route: str) -> Group:
        """The group of a route, or of the id that a serving module calls itself. Raises RouteUnknown."""
        group = self._groups.get(route) or self._named(route)
        if group is None:
            raise RouteUnknown(f"no plugin answers on route {route!r}")
        return group

    def filter(self, plugin: str, serving: Pool) -> Group:
        """One plugin alone, whatever its route: requests that pass it as a filter wait for it here."""
        group = self._lone.get(plugin)
        if group is None:
            group = self._lone[plugin] = Group(plugin)
            group.pools.append(serving)
            group.changed()
        return group

    def next_in_line(self, pool: Pool) -> Group:
        """The group whose waiter gets an idle instance of a serving pool: requests under way go before new ones."""
        lone = self._lone.get(pool.plugin)
        return lone if lone is not None and lone.waiting else self.group(pool.settings.route)

    def routes(self) -> Iterable[str]:
        """The names of all routes."""
        return tuple(self._groups)

    def queued(self) -> dict[str, int]:
        """How many wait, by route."""
        return {name: len(group.waiting) for name, group in self._groups.items()}

    def expect(self, plugin: str, expectation: Expectation | None) -> list[Waiter]:
        """A plugin is (or, with None, no longer) desired. Returns who waits for a route that is gone."""
        before = self._expected.pop(plugin, None)
        if expectation is not None:
            self._expected[plugin] = expectation
            group = self._group(expectation.route)
            group.expected[plugin] = expectation
            group.changed()
        if before is None or (expectation is not None and expectation.route == before.route):
            return []
        old = self._groups[before.route]
        old.expected.pop(plugin, None)
        return self._drop_if_empty(old)

    def join(self, pool: Pool) -> None:
        """A pool takes traffic on its route from now on."""
        group = self._group(pool.settings.route)
        group.pools.append(pool)
        group.changed()
        lone = self._lone.get(pool.plugin)
        if lone is not None:
            lone.pools.append(pool)
            lone.changed()
        self.named(pool)

    def named(self, pool: Pool) -> None:
        """A serving pool's module calls itself by an id: that reaches it too."""
        if pool.guest is not None and pool.guest.route_id:
            self._aliases.setdefault(pool.guest.route_id, {})[pool] = None

    def leave(self, pool: Pool) -> list[Waiter]:
        """A pool takes no traffic any more. Returns who waits for a route that is gone."""
        if pool.guest is not None and pool.guest.route_id in self._aliases:
            self._aliases[pool.guest.route_id].pop(pool, None)
            if not self._aliases[pool.guest.route_id]:
                del self._aliases[pool.guest.route_id]
        group = self._groups.get(pool.settings.route)
        if group is None or pool not in group.pools:
            return []
        group.pools.remove(pool)
        pool.credit = 0
        return self._drop_if_empty(group) + self._leave_lone(pool)

    def reconfigured(self, pool: Pool) -> None:
        """A serving pool's settings changed, its route did not."""
        self._group(pool.settings.route).changed()
        lone = self._lone.get(pool.plugin)
        if lone is not None:
            lone.changed()

    def line_up(self, group: Group, waiter: Waiter) -> None:
        """Wait for an instance. Raises QueueFull, RouteUnavailable."""
        if all(expectation.instances == 0 for expectation in group.expected.values()) and not any(
            pool.target for pool in group.pools
        ):
            raise RouteUnavailable(f"route {group.name!r} is scaled to zero")
        if len(group.waiting) >= group.queue:
            raise QueueFull(f"all instances of route {group.name!r} are busy and {len(group.waiting)} requests wait")
        group.waiting[waiter] = None

    def step_out(self, route: str, waiter: Waiter) -> bool:
        """Wait no longer. Whether the waiter stood in the line."""
        group = self._groups.get(route) or self._named(route)
        return group is not None and group.step_out(waiter)

    def _named(self, route_id: str) -> Group | None:
        """The group of the first pool whose module calls itself so."""
        named = self._aliases.get(route_id)
        return self._groups.get(next(iter(named)).settings.route) if named else None

    def _leave_lone(self, pool: Pool) -> list[Waiter]:
        lone = self._lone.get(pool.plugin)
        if lone is None or pool not in lone.pools:
            return []
        lone.pools.remove(pool)
        lone.changed()
        if lone.pools:
            return []
        del self._lone[pool.plugin]
        return list(lone.waiting)

    def _group(self, route: str) -> Group:
        group = self._groups.get(route)
        if group is None:
            group = self._groups[route] = Group(route)
        return group

    def _drop_if_empty(self, group: Group) -> list[Waiter]:
        group.changed()
        if not group.empty:
            return []
        del self._groups[group.name]
        waiting = list(group.waiting)
        group.waiting.clear()
        return waiting
