"""The pool host: the one object through which the control side and the data plane touch pools.

`apply(actions)`, `observe(plugin)`, and the Dispatcher's `limits/acquire/abandon` with leases: plain picklable values
in and out, so that the host can move to another process. Loading, starting and closing run as jobs on starter
threads, one at a time for each pool; `apply` waits a moment for quick jobs, so that the usual change is one pass.

One lock guards all pools and routes. It is held for bookkeeping only, never while a guest runs or a job works.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from reconciler.core.observed import Failure, ObservedPlugin
from reconciler.core.plan import (
    Action,
    CloseFailed,
    ConfigurePool,
    CreatePool,
    Outcome,
    RemovePool,
    ResizePool,
    Serve,
    Withdraw,
)
from reconciler.core.revision import InstanceSpec
from reconciler.core.states import NextStep, PoolPhase, Reason
from reconciler.host.chains import MAX_DEPTH, Chain, would_wait_for_ever
from reconciler.host.filters import FilteredLease
from reconciler.host.invoke import (
    Called,
    Elsewhere,
    QueueFull,
    RouteLimits,
    RouteUnavailable,
    RouteUnknown,
    Unroutable,
    Waiter,
)
from reconciler.host.jobs import Jobs
from reconciler.host.leases import End, PoolLease, ThreadWaiter
from reconciler.host.modules import ModuleCache
from reconciler.host.observer import HostObserver, NoHostObserver
from reconciler.host.pool import Pool, Slot
from reconciler.host.router import Expectation, Group, Router
from reconciler.host.services import PluginServices
from reconciler.host.timers import Timers
from reconciler.wasm.kind import (
    CallContext,
    CompiledModule,
    GuestFailed,
    GuestKind,
    KeyValueStore,
    ModuleShape,
    PreparedGuest,
    Request,
    Response,
)

MOMENT: Final = 0.005
"""Seconds that `apply` waits for the jobs it began, where nothing else is to be done."""


class PoolHost:
    """Pools of instances, by plugin and revision. `clock`: monotonic seconds; `changed(plugin)` asks for a pass.

    `elsewhere` is asked for what calls between guests and routes behind filters need and no pool here has.
    """

    def __init__(
        self,
        *,
        modules: ModuleCache,
        choose_kind: Callable[[ModuleShape, str], GuestKind],
        find_store: Callable[[str], KeyValueStore | None],
        clock: Callable[[], float],
        changed: Callable[[str], None],
        observer: HostObserver | None = None,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self._elsewhere = elsewhere
        self._choose_kind = choose_kind
        self._find_store = find_store
        self._clock = clock
        self._changed = changed
        self._observer = observer or NoHostObserver()
        self._lock = threading.Lock()
        self._pools: dict[str, dict[str, Pool]] = {}
        self._router = Router()
        self._leases: dict[Pool, set[PoolLease]] = {}
        self._jobs = Jobs(
            lock=self._lock,
            modules=modules,
            prepare=self._prepare,
            owner=self,
            observer=self._observer,
            clock=clock,
        )
        self._timers = Timers(self._tick_due, clock)
        self._closed = False

    # ---- the control side

    def apply(self, actions: Sequence[Action], patience: float = MOMENT) -> tuple[Outcome, ...]:
        """Do, or begin, what was decided. What takes longer than `patience` seconds goes on and asks for a pass."""
        touched: list[Pool] = []
        outcomes = tuple(self._do(action, touched) for action in actions)
        self._jobs.wait(touched, patience)
        return outcomes

    def observe(self, plugin: str) -> ObservedPlugin:
        """What there is of a plugin."""
        with self._lock:
            pools = self._pools.get(plugin, {})
            return ObservedPlugin(plugin, tuple(pool.observe() for pool in pools.values()))

    def plugins(self) -> tuple[str, ...]:
        """The plugins that have a pool."""
        with self._lock:
            return tuple(self._pools)

    def queued(self) -> dict[str, int]:
        """How many requests wait for an instance, by route; every route is there."""
        with self._lock:
            return self._router.queued()

    def calling(self) -> frozenset[str]:
        """The plugins that are being called now."""
        with self._lock:
            return frozenset(pool.plugin for pool, leases in self._leases.items() if leases)

    def serves(self, route: str) -> bool:
        """Whether a pool here answers on the route, or is about to."""
        with self._lock:
            return self._serves(route)

    def has(self, plugins: Iterable[str]) -> bool:
        """Whether all these plugins have instances here, or are about to."""
        with self._lock:
            return self._has(plugins)

    def _serves(self, route: str) -> bool:
        try:
            return any(pool.target for pool in self._router.group(route).pools)
        except RouteUnknown:
            return False

    def _has(self, plugins: Iterable[str]) -> bool:
        return all(
            any(pool.serving and pool.target for pool in self._pools.get(plugin, {}).values()) for plugin in plugins
        )

    def expect(self, expectations: Mapping[str, Expectation | None]) -> None:
        """Plugins are desired (or, with None, no longer): requests on their routes wait for them."""
        orphans: list[Waiter] = []
        for plugin, expectation in expectations.items():
            with self._lock:
                orphans += self._router.expect(plugin, expectation)
        _refuse(orphans)

    def close(self) -> None:
        """Close every instance that no request uses, and end the starter threads. Idempotent."""
        with self._lock:
            self._closed = True
            pools = [pool for pools in self._pools.values() for pool in pools.values()]
        self._timers.close()
        for pool in pools:
            self._do(RemovePool(pool.plugin, pool.revision), [])
        self._jobs.close()

    def _do(self, action: Action, touched: list[Pool]) -> Outcome:
        with self._lock:
            pool = self._pools.get(action.plugin, {}).get(action.revision)
            if isinstance(action, CreatePool):
                pool = pool or self._create(action, touched)
                orphans: list[Waiter] = []
            elif pool is None:
                return Outcome(action, Failure(Reason.INTERNAL, "there is no such pool", NextStep.RETRY))
            else:
                orphans = self._change(action, pool, touched)
        _refuse(orphans)
        if pool.serving:
            self.opened(pool)
        return Outcome(action)

    def _create(self, action: CreatePool, touched: list[Pool]) -> Pool:
        pool = Pool(action.revision, action.spec, action.settings, self._clock)
        pool.target = action.instances
        self._pools.setdefault(action.plugin, {})[action.revision] = pool
        self._leases[pool] = set()
        self._begin_job(pool, touched)
        return pool

    def _change(self, action: Action, pool: Pool, touched: list[Pool]) -> list[Waiter]:
        """Everything but CreatePool. Returns who waits for a route that is gone."""
        orphans: list[Waiter] = []
        if isinstance(action, ResizePool):
            pool.target = action.instances
            if pool.phase is PoolPhase.FAILED:
                pool.phase = PoolPhase.LOADING if pool.prepared is None else PoolPhase.STARTING
            self._begin_job(pool, touched)
        elif isinstance(action, CloseFailed):
            self._begin_job(pool)
        elif isinstance(action, ConfigurePool):
            if pool.serving and action.settings.route != pool.settings.route:
                orphans = self._router.leave(pool)
                pool.settings = action.settings
                self._router.join(pool)
            pool.settings = action.settings
            if pool.serving:
                self._router.reconfigured(pool)
        elif isinstance(action, Serve):
            self._serve(pool)
        elif isinstance(action, Withdraw):
            orphans = self._withdraw(pool)
        elif isinstance(action, RemovePool):
            orphans = self._withdraw(pool)
            pool.removed = True
            self._forget(pool)
            self._begin_job(pool)
        return orphans

    def _serve(self, pool: Pool) -> None:
        """Switch a plugin's traffic: the new pool joins before the old one leaves, so the route is never empty."""
        if pool.serving:
            return
        self._router.join(pool)
        if not pool.served:
            self._observer.served(pool.plugin, self._clock() - pool.created)
        pool.serving = pool.served = True
        pool.draining_since = None
        pool.serving_since = self._clock()
        pool.calls = pool.bad_calls = 0
        for other in self._pools[pool.plugin].values():
            if other is not pool and other.serving:
                self._withdraw(other)

    def _withdraw(self, pool: Pool) -> list[Waiter]:
        if pool.draining_since is None:
            pool.draining_since = self._clock()
        pool.target = 0
        orphans = self._router.leave(pool) if pool.serving else []
        pool.serving = False
        self._begin_job(pool)
        return orphans

    def _forget(self, pool: Pool) -> None:
        revisions = self._pools.get(pool.plugin, {})
        if revisions.get(pool.revision) is pool:
            del revisions[pool.revision]
            if not revisions:
                del self._pools[pool.plugin]

    # ---- what jobs tell (jobs.Owner)

    def started(self, pool: Pool, slot: Slot) -> None:
        """One more instance is there."""
        assert pool.prepared is not None
        if pool.guest is not None and pool.guest.route_id != pool.prepared.info.route_id:
            # The first instance told what the module calls itself; from then on that reaches it too.
            pool.guest = replace(pool.guest, route_id=pool.prepared.info.route_id)
            if pool.serving:
                self._router.named(pool)
        pool.started(slot)
        self._plan_tick(pool, slot)

    def freed(self, pool: Pool) -> None:
        """Nothing of a removed pool is left."""
        self._leases.pop(pool, None)

    def opened(self, pool: Pool) -> None:
        """Give idle instances of a pool to those who wait on its route."""
        while True:
            with self._lock:
                granted = self._next_waiter(pool) if pool.serving else None
            if granted is None:
                return
            granted[0].granted(granted[1])

    def settled(self, plugin: str) -> None:
        """A job ended that nobody waited for."""
        self._changed(plugin)

    def _prepare(self, module: CompiledModule, spec: InstanceSpec) -> PreparedGuest:
        kind = self._choose_kind(module.shape, spec.abi)
        return kind.prepare(module, spec, PluginServices(spec, self._find_store, self._invoke))

    def _begin_job(self, pool: Pool, touched: list[Pool] | None = None) -> None:
        if touched is not None:
            touched.append(pool)
        if not self._closed or pool.removed:
            self._jobs.begin(pool, awaited=touched is not None)

    # ---- the data plane

    def limits(self, route: str) -> RouteLimits:
        """The bounds of a route. Raises RouteUnknown."""
        with self._lock:
            group = self._router.group(route)
            return group.limits

    def acquire(self, route: str, waiter: Waiter, *, behind: bool = False) -> PoolLease | FilteredLease | None:
        """An idle instance now; or None, and the waiter is queued. Raises Unroutable.

        On a route with filters: a lease that waits for instances when it is called; `behind` them, like any other.
        """
        with self._lock:
            group = self._router.group(route)
            if group.filters and not behind:
                return FilteredLease(self, group.name, group.filters, Chain(), 0)
            lease = self._take(group, Chain(), 0)
            if lease is None:
                self._router.line_up(group, waiter)
            return lease

    def abandon(self, route: str, waiter: Waiter) -> bool:
        """Leave the queue. False if it was left already: then the waiter is told, or is just about to be."""
        with self._lock:
            return self._router.step_out(route, waiter)

    def _take(self, group: Group, chain: Chain, depth: int) -> PoolLease | None:
        pool = group.pick()
        if pool is None:
            return None
        lease = PoolLease(self, pool, pool.take(), chain, depth)
        self._leases[pool].add(lease)
        return lease

    def give_back(self, lease: PoolLease, end: End) -> None:
        """A lease's call ended; see leases.Keeper."""
        pool, failure = lease.pool, end.failure
        granted: tuple[Waiter, PoolLease] | None = None
        with self._lock:
            self._leases[pool].discard(lease)
            if end.cut:
                idle = pool.cut_short(lease.slot, spoilt=failure is not None)
                if not idle:
                    self._begin_job(pool)  # it is nobody's fault, so no backoff: the next instance at once
            else:
                if end.seconds is not None:
                    pool.called(lease.slot, end.seconds, inline=end.brief, bad=end.bad, acts=end.acts)
                idle = pool.give_back(lease.slot, failure)
            telling = not (pool.removed or end.cut) and (not idle or (end.bad and pool.on_probation))
            if idle and lease.slot.instance.tick_period is not None:
                self._plan_tick(pool, lease.slot)
            if idle and pool.serving:
                granted = self._next_waiter(pool)
            elif pool.removed:
                self._begin_job(pool)
        if granted is not None:
            granted[0].granted(granted[1])
        if failure is not None:
            self._observer.spoilt(pool.plugin, Reason.CUT_SHORT if end.cut else failure.reason)
        if telling:
            self._changed(pool.plugin)

    def _next_waiter(self, pool: Pool) -> tuple[Waiter, PoolLease] | None:
        group = self._router.next_in_line(pool)
        if not group.waiting or not pool.idle:
            return None
        waiter, _ = group.waiting.popitem(last=False)
        chain, depth = (waiter.chain, waiter.depth) if isinstance(waiter, ThreadWaiter) else (Chain(), 0)
        chain.waiting_for = None
        lease = PoolLease(self, pool, pool.take(), chain, depth)
        self._leases[pool].add(lease)
        return waiter, lease

    # ---- guests that asked for ticks

    def _plan_tick(self, pool: Pool, slot: Slot) -> None:
        period = slot.instance.tick_period
        if period is not None and not slot.tick_due:
            slot.tick_due = True
            self._timers.schedule(pool, slot, period)

    def _tick_due(self, pool: Pool, slot: Slot) -> None:
        """An instance's tick is due: call it if it is idle, else after its request. On the timer thread."""
        with self._lock:
            slot.tick_due = False
            if slot.gone or pool.removed or self._closed:
                return
            if not pool.take_this(slot):
                self._plan_tick(pool, slot)
                return
            lease = PoolLease(self, pool, slot, Chain(), 0)
            self._leases[pool].add(lease)
            self._jobs.submit(lambda: _tick(lease))

    # ---- calls on the calling thread

    def invoke(self, request: Request, timeout: float = 60.0) -> Response:
        """Answer a request on this thread, waiting for an instance if need be. Raises Unroutable, GuestFailed."""
        deadline = self._clock() + timeout
        lease = self._lease(request.route, Chain(), 0, deadline)
        return lease.call(request, deadline)

    def _invoke(self, request: Request, call: CallContext) -> Response:
        """A guest calls another plugin."""
        caller = call.chain
        assert isinstance(caller, PoolLease)
        if caller.depth + 1 >= MAX_DEPTH:
            raise GuestFailed(Failure(Reason.POLICY_DENIED, f"guests call each other {MAX_DEPTH} deep"), fatal=False)
        try:
            lease = self._lease(request.route, caller.chain, caller.depth + 1, call.deadline)
            return lease.call(request, call.deadline)
        except Unroutable as error:
            raise GuestFailed(Failure(Reason.NOT_FOUND, str(error)), fatal=False) from None

    def lease(self, route: str, deadline: float, depth: int, *, behind: bool) -> Called:
        """A lease for another process's call on this thread, as Elsewhere has it. Raises Unroutable."""
        if behind:
            return self.lease_upstream(route, Chain(), depth, deadline)
        return self._lease(route, Chain(), depth, deadline)

    def _lease(self, route: str, chain: Chain, depth: int, deadline: float) -> Called:
        """A lease for a call on this thread. Raises Unroutable."""
        if self._elsewhere is not None:
            with self._lock:
                local = self._serves(route) and self._has(self._router.group(route).filters)
            if not local:
                return self._elsewhere.lease(route, deadline, depth, behind=False)
        with self._lock:
            group = self._router.group(route)
        if group.filters:
            return FilteredLease(self, group.name, group.filters, chain, depth)
        return self._wait_for_lease(lambda: self._router.group(route), chain, depth, deadline, holds=depth > 0)

    # ---- what a route behind filters needs (filters.Lender)

    def lease_filter(self, plugin: str, chain: Chain, depth: int, deadline: float) -> PoolLease:
        """An instance of a plugin that can stand before others. Raises Unroutable."""

        def find() -> Group:
            serving = next((pool for pool in self._pools.get(plugin, {}).values() if pool.serving), None)
            if serving is None:
                raise RouteUnavailable("it is not ready" if plugin in self._pools else "there is no such plugin")
            if serving.guest is None or not serving.guest.filter:
                raise RouteUnavailable("it is no proxy-wasm filter")
            if not serving.target:
                raise RouteUnavailable("it is scaled to zero")
            return self._router.filter(plugin, serving)

        return self._wait_for_lease(find, chain, depth, deadline, holds=True)

    def lease_upstream(self, route: str, chain: Chain, depth: int, deadline: float) -> Called:
        """An instance of what answers behind a route's filters. Raises Unroutable."""
        if self._elsewhere is not None and not self.serves(route):
            return self._elsewhere.lease(route, deadline, depth, behind=True)
        return self._wait_for_lease(lambda: self._router.group(route), chain, depth, deadline, holds=True)

    def _wait_for_lease(
        self, find: Callable[[], Group], chain: Chain, depth: int, deadline: float, *, holds: bool
    ) -> PoolLease:
        """`find` is called with the lock held; `holds` tells whether the chain may hold an instance already."""
        waiter = ThreadWaiter(chain, depth)
        with self._lock:
            group = find()
            lease = self._take(group, chain, depth)
            if lease is not None:
                return lease
            chain.waiting_for = group
            if holds and would_wait_for_ever(group, chain, self._leases):
                chain.waiting_for = None
                raise Unroutable(f"{group.name!r} is busy with calls that wait for this one")
            try:
                self._router.line_up(group, waiter)
            except Unroutable:
                chain.waiting_for = None
                raise
            wait = min(deadline - self._clock(), group.limits.queue_timeout)
        if not waiter.told_within(wait):
            with self._lock:
                chain.waiting_for = None
                gave_up = group.step_out(waiter)
            if gave_up:
                raise QueueFull(f"no instance of {group.name!r} was free within {max(0.0, wait):.2f} s")
        return waiter.outcome()


def _tick(lease: PoolLease) -> None:
    with contextlib.suppress(GuestFailed):  # the instance is spent then, and that shows
        lease.tick()


def _refuse(waiters: Iterable[Waiter]) -> None:
    for waiter in waiters:
        waiter.refused(RouteUnknown("the plugin was uninstalled while the request waited"))
