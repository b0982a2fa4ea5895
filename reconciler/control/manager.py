"""Owns the control side: joins desired state, the loop and the pool host, and starts and stops them in order."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Protocol

from reconciler.control.events import EventLog
from reconciler.control.loop import ReconcileLoop
from reconciler.control.observer import LoopObserver
from reconciler.control.reconcile import Host as Pools
from reconciler.control.reconcile import Reconciler
from reconciler.control.resolve import Resolver
from reconciler.control.rollouts import Rollouts
from reconciler.control.source_events import SourceEvents
from reconciler.control.status import StatusBoard
from reconciler.control.workqueue import WorkQueue
from reconciler.host.host import MOMENT
from reconciler.host.router import Expectation
from specs.store import Desired, DesiredStore


class FileWatcher(Protocol):
    """Tells of any event under a path that it was told to watch."""

    def watch(self, path: str) -> None:
        """Watch a file; idempotent."""

    def unwatch(self, path: str) -> None:
        """Watch it no longer; idempotent."""


class Host(Pools, Protocol):
    """The pool host, as the control side sees it: in this process, or in others."""

    def plugins(self) -> tuple[str, ...]:
        """The plugins that have a pool."""

    def expect(self, expectations: Mapping[str, Expectation | None]) -> None:
        """Plugins are desired (or, with None, no longer): requests on their routes wait for them."""

    def close(self) -> None:
        """Close every instance. Idempotent."""


class Manager:
    """The control side of one node."""

    def __init__(
        self,
        *,
        store: DesiredStore,
        host: Host,
        resolver: Resolver,
        rollouts: Rollouts,
        queue: WorkQueue,
        observer: LoopObserver | None = None,
    ) -> None:
        self.board = StatusBoard()
        self.events = EventLog(time.time)
        self._store = store
        self._host = host
        self._resolver = resolver
        self._queue = queue
        self._files: dict[str, tuple[str, ...]] = {}
        self._users: Counter[str] = Counter()
        self._watcher: FileWatcher | None = None
        self._first: frozenset[str] | None = None
        self._rollouts = rollouts
        reconciler = Reconciler(
            desired=store.get,
            host=host,
            resolver=resolver,
            board=self.board,
            events=self.events,
            rollouts=rollouts,
            patience=lambda: 0.0 if len(queue) else MOMENT,  # with others waiting, starts overlap instead
        )
        self._source_events = SourceEvents(self.events)
        self._filters: dict[str, frozenset[str]] = {}
        self.board.subscribe(self._changed)
        self.loop = ReconcileLoop(queue, reconciler, self.events, self._names, observer)

    def start(self, watcher: FileWatcher) -> None:
        """Follow the desired state from now on. `watcher` looks after the files that plugins are made of."""
        self._watcher = watcher
        self._store.subscribe(self.desired_changed)
        self._store.on_listing(self._listed)
        self._listed()
        first = self._first = frozenset(self._store.list().plugins)
        self._rollouts.keep_only(first)
        self.desired_changed(first)
        self.loop.start()

    @property
    def started(self) -> bool:
        """Whether every plugin that was desired at the start has been looked at."""
        if self._first is None:
            return False
        unseen = self._first - frozenset(self.board.names())
        self._first = frozenset(name for name in unseen if self._store.get(name) is not None)
        return not self._first

    def stop(self) -> None:
        """End the loop, then close every instance."""
        self.board.close()
        self.loop.stop()
        self._host.close()

    def desired_changed(self, names: frozenset[str]) -> None:
        """Requests on a newly desired route wait for it from this moment; the loop does the rest."""
        found = {name: self._store.get(name) for name in sorted(names)}
        self._host.expect({name: None if desired is None else _expectation(desired) for name, desired in found.items()})
        for name, desired in found.items():
            self._note_filters(name, () if desired is None else desired.plugin.spec.filters)
        self._queue.add(sorted(names))
        self._watch_files(names)

    def _note_filters(self, name: str, filters: tuple[str, ...]) -> None:
        if filters:
            self._filters[name] = frozenset(filters)
        else:
            self._filters.pop(name, None)

    def _changed(self, names: frozenset[str]) -> None:
        """What is said of a filter concerns those who name it."""
        behind = [name for name, filters in tuple(self._filters.items()) if filters & names]
        if behind:
            self._queue.add(behind)

    def _listed(self) -> None:
        self._source_events.look(self._store.troubles())

    def _names(self) -> Iterable[str]:
        return sorted({*self._store.list().plugins, *self._host.plugins()})

    def _watch_files(self, names: Iterable[str]) -> None:
        """Watch the modules and secrets of plugins; what changes there is found by a cheap resync."""
        if self._watcher is None:
            return
        for name in names:
            desired = self._store.get(name)
            files = () if desired is None else self._resolver.files(desired.plugin)
            before = self._files.pop(name, ())
            if files:
                self._files[name] = files
            for file in files:
                self._users[file] += 1
                if self._users[file] == 1:
                    self._watcher.watch(file)
            for file in before:
                self._users[file] -= 1
                if not self._users[file]:
                    del self._users[file]
                    self._watcher.unwatch(file)


def _expectation(desired: Desired) -> Expectation:
    plugin = desired.plugin
    limits = plugin.spec.limits
    return Expectation(
        plugin.route,
        limits.queue,
        limits.queue_timeout,
        limits.request_bytes,
        plugin.spec.instances,
        plugin.spec.filters,
    )
