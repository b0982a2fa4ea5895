"""Owns the control side: joins desired state, the loop and the pool host, and starts and stops them in order."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

from reconciler.control.events import EventLog
from reconciler.control.loop import ReconcileLoop
from reconciler.control.observer import LoopObserver
from reconciler.control.reconcile import Reconciler
from reconciler.control.resolve import Resolver
from reconciler.control.rollouts import Rollouts
from reconciler.control.status import StatusBoard
from reconciler.control.workqueue import WorkQueue
from reconciler.host.host import MOMENT, PoolHost
from reconciler.host.router import Expectation
from specs.store import Desired, DesiredStore


class FileWatcher(Protocol):
    """Tells of any event under a path that it was told to watch."""

    def watch(self, path: Path) -> None:
        """Watch a directory; idempotent."""

    def unwatch(self, path: Path) -> None:
        """Watch it no longer; idempotent."""


class Manager:
    """The control side of one node."""

    def __init__(
        self, *, store: DesiredStore, host: PoolHost, resolver: Resolver, rollouts: Rollouts, queue: WorkQueue
    ) -> None:
        self.board = StatusBoard()
        self.events = EventLog(time.time)
        self._store = store
        self._host = host
        self._resolver = resolver
        self._queue = queue
        self._watched: frozenset[Path] = frozenset()
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
        self.loop = ReconcileLoop(queue, reconciler, self.events, self._names, observer)

    def start(self, watcher: FileWatcher) -> None:
        """Follow the desired state from now on. `watcher` looks after the files that plugins are made of."""
        self._watcher = watcher
        self._store.subscribe(self.desired_changed)
        self._first = frozenset(self._store.list().plugins)
        self._rollouts.keep_only(self._first)
        self.desired_changed(self._first)
        self.loop.start()

    @property
    def started(self) -> bool:
        """Whether every plugin that was desired at the start has been looked at."""
        if self._first is None:
            return False
        unseen = self._first - frozenset(self.board.names())
        return not any(self._store.get(name) is not None for name in unseen)

    def stop(self) -> None:
        """End the loop, then close every instance."""
        self.board.close()
        self.loop.stop()
        self._host.close()

    def desired_changed(self, names: frozenset[str]) -> None:
        """Requests on a newly desired route wait for it from this moment; the loop does the rest."""
        for name in sorted(names):
            desired = self._store.get(name)
            self._host.expect(name, None if desired is None else _expectation(desired))
        self._queue.add(sorted(names))
        self._watch_files()

    def _names(self) -> Iterable[str]:
        return sorted({*self._store.list().plugins, *self._host.plugins()})

    def _watch_files(self) -> None:
        """Watch the directories of modules and secrets; what changes there is found by a cheap resync."""
        if self._watcher is None:
            return
        wanted = frozenset(
            Path(file).parent
            for desired in self._store.list().plugins.values()
            for file in self._resolver.files(desired.plugin)
        )
        for path in wanted - self._watched:
            self._watcher.watch(path)
        for path in self._watched - wanted:
            self._watcher.unwatch(path)
        self._watched = wanted


def _expectation(desired: Desired) -> Expectation:
    plugin = desired.plugin
    limits = plugin.spec.limits
    return Expectation(plugin.route, limits.queue, limits.queue_timeout, limits.request_bytes, plugin.spec.instances)
