"""RemoteHost: the pool host as the control side sees it, where the pools lie in worker processes.

It says what to do and keeps a copy of what workers say that there is, so `observe` waits for nobody. What a pool is
asked to be is known here; when a worker ends, its parts of all pools are made again: by the next worker in its place,
or by the others where that stays away.

One lock guards all records. It is held for bookkeeping and while messages are handed over, which never blocks.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from reconciler.core.states import NextStep, Reason
from reconciler.host.observer import HostObserver
from reconciler.host.router import Expectation
from reconciler.workers.crew import Crew
from reconciler.workers.messages import Apply, Expect, Place, Placed, Queued, Seen
from reconciler.workers.records import Part, Record
from reconciler.workers.spread import home, shares

ANSWER_SECONDS: Final = 0.5
"""Seconds that a change waits for workers to have taken note of it. It is made all the same, only it shows later."""


class RemoteHost:
    """Pools that lie in a crew's workers. `clock`: monotonic seconds; `changed(plugin)` asks for a pass."""

    def __init__(
        self,
        crew: Crew,
        *,
        clock: Callable[[], float],
        changed: Callable[[str], None],
        observer: HostObserver,
        bound: Callable[[InstanceSpec], bool] = lambda spec: False,
    ) -> None:
        """`bound` tells what has to be in one worker with all others of which it tells so."""
        self._crew = crew
        self._clock = clock
        self._changed = changed
        self._observer = observer
        self._bound = bound
        self._lock = threading.Lock()
        self._answered = threading.Condition(self._lock)
        self._records: dict[str, dict[str, Record]] = {}
        self._expected: dict[str, Expectation] = {}
        self._places: dict[str, Place] = {}
        self._together: set[str] = set()
        self._filters: set[str] = set()
        self._queued: dict[int, Queued] = {}
        self._applied: dict[int, int] = {}
        self._number = 0
        self._orders: dict[int, list[Action]] = {}

    # ---- the control side

    def apply(self, actions: Sequence[Action], patience: float) -> tuple[Outcome, ...]:
        """Have workers do what was decided; wait up to `patience` seconds for what that began."""
        with self._answered:
            self._number += 1
            number = self._number
            outcomes = tuple(self._do(action) for action in actions)
            asked = self._send(patience)
            if patience:
                self._wait(number, asked)
        return outcomes

    def observe(self, plugin: str) -> ObservedPlugin:
        """What there is of a plugin, as far as workers have said."""
        with self._lock:
            records = self._records.get(plugin, {})
            return ObservedPlugin(plugin, tuple(record.observe(self._whole(record)) for record in records.values()))

    def plugins(self) -> tuple[str, ...]:
        """The plugins that have a pool."""
        with self._lock:
            return tuple(self._records)

    def queued(self) -> dict[str, int]:
        """How many requests wait for an instance, by route; every route is there."""
        with self._lock:
            routes = [expectation.route for expectation in self._expected.values()]
            routes += [place.route for place in self._places.values()]
            waiting: Counter[str] = Counter(dict.fromkeys(routes, 0))
            for told in self._queued.values():
                for route, number in told.waiting:
                    waiting[route] += number
            return dict(waiting)

    def expect(self, expectations: Mapping[str, Expectation | None]) -> None:
        """Plugins are desired (or, with None, no longer): requests on their routes wait for them."""
        with self._answered:
            self._number += 1
            before = [self._expected.pop(plugin, None) for plugin in expectations]
            self._expected.update({plugin: wanted for plugin, wanted in expectations.items() if wanted is not None})
            self._tell_all(Expect(self._number, tuple(expectations.items())))
            if any(expectation.filters for expectation in (*before, *expectations.values()) if expectation is not None):
                self._note_filters()
            self._wait(self._number, tuple(self._applied))

    def _note_filters(self) -> None:
        """Whoever is a filter now, or is none any more, may have to be elsewhere."""
        filters = {name for expectation in self._expected.values() for name in expectation.filters}
        for name in filters ^ self._filters:
            self._filters ^= {name}
            for record in self._records.get(name, {}).values():
                self._spread(record, gently=True)
        self._send()

    def close(self) -> None:
        """End all workers, which close every instance. Idempotent."""
        self._crew.close()

    # ---- what is done about one action, with the lock held

    def _do(self, action: Action) -> Outcome:
        record = self._records.get(action.plugin, {}).get(action.revision)
        if isinstance(action, CreatePool):
            if record is None:
                record = Record.of(action, self._clock())
                self._records.setdefault(action.plugin, {})[action.revision] = record
                self._spread(record)
        elif record is None:
            return Outcome(action, Failure(Reason.INTERNAL, "there is no such pool", NextStep.RETRY))
        elif isinstance(action, ResizePool):
            record.target = action.instances
            record.retried()
            self._spread(record, again=True)
        elif isinstance(action, ConfigurePool):
            record.settings = action.settings
            self._order(record, action)
        elif isinstance(action, CloseFailed):
            record.tidied()
            self._order(record, action)
        elif isinstance(action, Serve):
            self._serve(record, action)
        elif isinstance(action, Withdraw):
            self._withdraw(record)
        elif isinstance(action, RemovePool):
            self._order(record, action)
            self._forget(record)
        self._locate(action.plugin)
        return Outcome(action)

    def _serve(self, record: Record, action: Serve) -> None:
        if record.serving:
            return
        if not record.served:
            self._observer.served(record.plugin, self._clock() - record.created)
        record.serve(self._clock())
        self._order(record, action)
        for other in self._records[record.plugin].values():
            if other is not record and other.serving:
                self._withdraw(other)

    def _withdraw(self, record: Record) -> None:
        record.withdraw(self._clock())
        self._order(record, Withdraw(record.plugin, record.revision))

    def _forget(self, record: Record) -> None:
        revisions = self._records[record.plugin]
        del revisions[record.revision]
        if not revisions:
            del self._records[record.plugin]

    def _order(self, record: Record, action: Action) -> None:
        """Have every worker that has a part do that to it."""
        for worker, part in record.parts.items():
            self._orders.setdefault(worker, []).append(action)
            part.asked = self._number

    def _send(self, patience: float = 0.0) -> tuple[int, ...]:
        """Hand over the orders that were collected. Returns who got any."""
        orders, self._orders = self._orders, {}
        for worker, actions in orders.items():
            self._crew.send(worker, Apply(self._number, tuple(actions), patience))
        return tuple(orders)

    def _wait(self, number: int, workers: Sequence[int]) -> None:
        """For workers to say that they did that; for none that takes unusually long."""
        self._answered.wait_for(
            lambda: all(self._applied.get(worker, 0) >= number or not self._crew.here(worker) for worker in workers),
            ANSWER_SECONDS,
        )

    # ---- who holds how many, with the lock held

    def _shares(self, record: Record) -> dict[int, int]:
        if self._bound(record.spec):
            return dict(shares(record.target, 0, self._crew.counted(), together=True))
        together = record.spec.module.digest in self._together
        # All filters have an instance in one worker, as a request passes all of its filters in one.
        first = 0 if record.plugin in self._filters else home(record.spec.namespace, self._crew.size)
        return dict(shares(record.target, first, self._crew.counted(), together=together))

    def _whole(self, record: Record) -> bool:
        return all(self._crew.here(worker) for worker in self._shares(record))

    def _spread(self, record: Record, *, gently: bool = False, again: bool = False) -> None:
        """Have each worker hold its share. `gently` takes nothing from a worker before others have what they get.

        `again` tells also those whose share stays the same, as an earlier failure may keep them from it.
        """
        if record.draining_since is not None and not record.target:  # one that is wanted again has a target
            return
        wanted = self._shares(record)
        record.moving = gently and any(
            part.target > wanted.get(worker, 0) and part.seen is not None and part.seen.ready
            for worker, part in record.parts.items()
        )
        for worker, instances in wanted.items():
            if self._crew.here(worker):
                self._give(record, worker, instances, again)
        if not record.moving:
            for worker in [worker for worker in record.parts if worker not in wanted]:
                del record.parts[worker]
                self._orders.setdefault(worker, []).append(RemovePool(record.plugin, record.revision))

    def _give(self, record: Record, worker: int, instances: int, again: bool) -> None:
        part, orders = record.parts.get(worker), self._orders.setdefault(worker, [])
        name, revision = record.plugin, record.revision
        if part is None:
            part = record.parts[worker] = Part(instances)
            orders.append(CreatePool(name, revision, record.spec, record.settings, instances))
            if record.serving:
                orders.append(Serve(name, revision))
        elif instances > part.target or again or (instances < part.target and not record.moving):
            part.target = instances
            orders.append(ResizePool(name, revision, instances))
        else:
            return
        part.asked = self._number

    def _locate(self, plugin: str) -> None:
        """Tell workers where a plugin's requests can go, if that changed."""
        serving = next((record for record in self._records.get(plugin, {}).values() if record.serving), None)
        place = Place(plugin) if serving is None else serving.place()
        if place == self._places.get(plugin, Place(plugin)):
            return
        if place.workers:
            self._places[plugin] = place
        else:
            self._places.pop(plugin, None)
        if self._crew.size > 1:
            self._tell_all(Placed((place,)))

    def _tell_all(self, message: object) -> None:
        for worker in range(self._crew.size):
            self._crew.send(worker, message)

    # ---- what the crew tells, on its thread

    def joined(self, worker: int) -> None:
        """A worker is there: it is told what is desired, where to find it, and gets its share of everything."""
        with self._lock:
            self._applied.pop(worker, None)
            self._crew.send(worker, Expect(self._number, tuple(self._expected.items())))
            self._crew.send(worker, Placed(tuple(self._places.values())))
            names = self._spread_all(gently=True)
        self._ask(names)

    def left(self, worker: int) -> None:
        """A worker is gone with its parts of all pools."""
        with self._answered:
            self._queued.pop(worker, None)
            lost = [record for record in self._all() if record.lose(worker)]
            for plugin in {record.plugin for record in lost}:
                self._locate(plugin)
            self._spread_all(gently=False)
            self._answered.notify_all()
        self._ask({record.plugin for record in lost})

    def heard(self, worker: int, message: object) -> None:
        """A worker said something about pools."""
        if isinstance(message, Queued):
            with self._lock:
                self._queued[worker] = message
        elif isinstance(message, Seen):
            with self._answered:
                self._applied[worker] = max(self._applied.get(worker, 0), message.applied)
                for plugin in message.plugins:
                    self._see(worker, plugin, message.applied)
                self._send()
                self._answered.notify_all()
            self._ask(message.changed)

    def _see(self, worker: int, plugin: ObservedPlugin, applied: int) -> None:
        records = self._records.get(plugin.plugin, {})
        for pool in plugin.pools:
            record = records.get(pool.revision)
            if record is None:
                continue
            record.heard(worker, pool, applied)
            if record.guest is not None and record.guest.shares and len(self._shares(record)) > 1:
                self._together.add(record.spec.module.digest)
                self._number += 1
                self._spread(record)
            elif record.moving and self._arrived(record):
                self._number += 1
                self._spread(record)
        self._locate(plugin.plugin)

    def _arrived(self, record: Record) -> bool:
        """Whether every worker has what it was given, so that others may give theirs up."""
        wanted = self._shares(record)
        seen = {worker: part.seen for worker, part in record.parts.items()}
        return all((there := seen.get(n)) is not None and there.ready >= share for n, share in wanted.items())

    def _spread_all(self, *, gently: bool) -> set[str]:
        self._number += 1
        records = list(self._all())
        for record in records:
            self._spread(record, gently=gently)
        self._send()
        return {record.plugin for record in records}

    def _all(self) -> Iterable[Record]:
        return (record for revisions in self._records.values() for record in revisions.values())

    def _ask(self, plugins: Iterable[str]) -> None:
        for plugin in plugins:
            self._changed(plugin)
