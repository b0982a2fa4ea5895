"""What runs, as plain values. The pool host fills them in; diff reads them. Times are monotonic seconds."""

from dataclasses import dataclass, field

from reconciler.core.revision import InstanceLimits
from reconciler.core.states import NextStep, PoolPhase, Reason


@dataclass(frozen=True, slots=True)
class Failure:
    """Why something did not work: a reason to alert on, the engine's or guest's own words, and what to do next."""

    reason: Reason
    message: str
    next_step: NextStep = NextStep.RETRY


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """What changes on a pool without new instances. Seconds; `max_invocations` None means never retired.

    `filters` are the plugins that requests on the route pass first, in that order.
    For `min_healthy_time` after a pool began to serve, each bad call asks for a pass, which may revert.
    """

    route: str
    queue: int
    queue_timeout: float
    drain_timeout: float
    max_invocations: int | None
    min_healthy_time: float = 2.0
    filters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GuestInfo:
    """What the host found out about the module of a pool.

    `kind` is the guest kind's name; `route_id` what `proxy_get_id` returned, empty where it is not exported;
    `from_cache` tells whether the compiled form came from the AOT cache; `may_wait` whether a call can wait for
    others (http calls, other plugins, files), so that it never runs on an event loop; `filter` whether its instances
    can stand before other plugins; `streams` whether they take and give bodies that flow; `shares` whether they share
    data or queues, so that all of them have to be in one process.
    """

    kind: str
    route_id: str = ""
    from_cache: bool = False
    may_wait: bool = False
    filter: bool = False
    streams: bool = False
    shares: bool = False


@dataclass(frozen=True, slots=True)
class ObservedPool:
    """One pool: the instances of one revision of one plugin.

    `target` is the number of instances that the pool was last told to hold; `served` whether it ever took traffic.
    `ready` counts instances that can answer, busy ones among them. `retiring` ones are busy and will be closed.
    `failed` ones wait for the reconcile thread to close them. `failures` counts start attempts that failed in a
    row, `crashes` instances that failed in a row without an answer in between; `failed_at` is the last of either.
    `serving_since` is when the pool last began to take traffic; `calls` and `bad_calls` are counted from then.
    `draining_since` is set while the pool takes no traffic but still has instances.
    """

    plugin: str
    revision: str
    settings: PoolSettings
    limits: InstanceLimits
    phase: PoolPhase
    target: int = 0
    serving: bool = False
    served: bool = False
    ready: int = 0
    busy: int = 0
    retiring: int = 0
    failed: int = 0
    restarts: int = 0
    failures: int = 0
    crashes: int = 0
    failed_at: float = 0.0
    failure: Failure | None = None
    serving_since: float | None = None
    calls: int = 0
    bad_calls: int = 0
    draining_since: float | None = None
    guest: GuestInfo | None = None


@dataclass(frozen=True, slots=True)
class ObservedPlugin:
    """All pools of one plugin; at most one is serving."""

    plugin: str
    pools: tuple[ObservedPool, ...] = ()

    @property
    def serving(self) -> ObservedPool | None:
        """The pool that requests are routed to."""
        for pool in self.pools:
            if pool.serving:
                return pool
        return None

    def pool(self, revision: str) -> ObservedPool | None:
        """The pool of a revision."""
        for pool in self.pools:
            if pool.revision == revision:
                return pool
        return None


@dataclass(frozen=True, slots=True)
class HostCapacity:
    """How many instances the host's process holds, and about how many it can."""

    instances: int = 0
    limit: int = field(default=0)
