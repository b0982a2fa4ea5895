"""Work on pools that takes time: load the module, start instances, close instances. On starter threads.

One job at a time for each pool: it looks what the pool lacks or has too much of, does one such thing, and looks again
until there is nothing left. Whoever changes a pool asks for a job; whether one runs already makes no difference.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Final, Protocol

from reconciler.core.observed import Failure
from reconciler.core.revision import InstanceSpec
from reconciler.core.states import PoolPhase, Reason
from reconciler.host.modules import ModuleCache
from reconciler.host.observer import HostObserver
from reconciler.host.pool import Pool, Slot
from reconciler.host.priority import give_way
from reconciler.wasm.kind import CompiledModule, GuestFailed, ModuleRefused, PreparedGuest

STARTERS: Final = 16
"""Threads that load modules, start and close instances; one bad plugin holds one of them, for its startTimeout."""

_BROKEN: Final = Failure(Reason.INTERNAL, "the host failed while it worked on the pool; its log says how")

log = logging.getLogger("host")


class Owner(Protocol):
    """Who owns the pools. Called with the lock held, save for `opened` and `settled`."""

    def started(self, pool: Pool, slot: Slot) -> None:
        """One more instance is there."""

    def freed(self, pool: Pool) -> None:
        """Nothing of a removed pool is left."""

    def opened(self, pool: Pool) -> None:
        """A serving pool has one more idle instance: somebody may wait for it."""

    def settled(self, plugin: str) -> None:
        """A job ended that nobody waited for."""


class Jobs:
    """The starter threads. `lock` guards the pools; `prepare` links a module for a spec and raises ModuleRefused."""

    def __init__(
        self,
        *,
        lock: threading.Lock,
        modules: ModuleCache,
        prepare: Callable[[CompiledModule, InstanceSpec], PreparedGuest],
        owner: Owner,
        observer: HostObserver,
        clock: Callable[[], float],
    ) -> None:
        self._lock = lock
        self._ended = threading.Condition(lock)
        self._modules = modules
        self._prepare = prepare
        self._owner = owner
        self._observer = observer
        self._clock = clock
        self._threads = ThreadPoolExecutor(STARTERS, thread_name_prefix="starter", initializer=give_way)

    def begin(self, pool: Pool, *, awaited: bool = False) -> None:
        """See to it that a job works on the pool. Its end is told, unless somebody waits for it. The lock is held."""
        pool.report_end = not awaited
        if not pool.job_running:
            pool.job_running = True
            self._threads.submit(self._run, pool).add_done_callback(_log_failure)

    def submit(self, work: Callable[[], None]) -> None:
        """Run something short for a guest on a starter thread."""
        self._threads.submit(work).add_done_callback(_log_failure)

    def wait(self, pools: Iterable[Pool], seconds: float) -> None:
        """Wait for jobs that were begun as awaited; the end of what goes on is told after all."""
        deadline = self._clock() + seconds
        with self._ended:
            while any(pool.job_running for pool in pools):
                left = deadline - self._clock()
                if left <= 0 or not self._ended.wait(left):
                    break
            for pool in pools:
                pool.report_end = pool.job_running

    def close(self) -> None:
        """Wait for the jobs that run, and end the threads."""
        self._threads.shutdown(wait=True)

    def _run(self, pool: Pool) -> None:
        whole = False
        try:
            while self._step(pool):
                pass
            whole = True
        finally:
            with self._ended:
                if not whole:
                    pool.start_failed(_BROKEN)
                    pool.job_running = False
                report = pool.report_end and not pool.removed
                self._ended.notify_all()
            if report:
                self._owner.settled(pool.plugin)

    def _step(self, pool: Pool) -> bool:
        """One thing that the pool lacks or has too much of. False when there is nothing; then the job is over."""
        with self._lock:
            closing, pool.spent = pool.spent + pool.take_surplus(), []
            load = pool.prepared is None and not pool.removed and pool.phase is PoolPhase.LOADING
            missing = 0 if pool.prepared is None or pool.removed else pool.target - len(pool.idle) - pool.busy
            start = missing > 0 and pool.phase is not PoolPhase.FAILED
            finish = pool.removed and not pool.busy and not closing
            if not (closing or load or start):
                if not finish and pool.phase is PoolPhase.STARTING:
                    pool.phase = PoolPhase.IDLE
                pool.job_running = finish
            elif start:
                pool.phase = PoolPhase.STARTING
        for slot in closing:
            slot.instance.close()
        if closing:
            return True
        if load:
            self._load(pool)
        elif start:
            self._start(pool)
        elif finish:
            self._free(pool)
        return load or start

    def _load(self, pool: Pool) -> None:
        metered = pool.spec.limits.fuel is not None
        began = self._clock()
        module: CompiledModule | None = None
        try:
            module, from_cache = self._modules.acquire(pool.spec.module, metered=metered)
            prepared = self._prepare(module, pool.spec)
        except ModuleRefused as refused:
            if module is not None:
                self._modules.release(pool.spec.module, metered=metered)
            self._observer.loaded(pool.plugin, refused.failure.reason, self._clock() - began)
            with self._lock:
                pool.start_failed(refused.failure)
            return
        self._observer.loaded(pool.plugin, Reason.CACHE_HIT if from_cache else Reason.COMPILED, self._clock() - began)
        with self._lock:
            pool.prepared = prepared
            pool.guest = replace(prepared.info, from_cache=from_cache)
            pool.phase = PoolPhase.STARTING

    def _start(self, pool: Pool) -> None:
        """One more instance."""
        assert pool.prepared is not None
        began = self._clock()
        try:
            slot = Slot(pool.prepared.start())
        except GuestFailed as failed:
            with self._lock:
                pool.start_failed(failed.failure)
            return
        with self._lock:
            pool.start_seconds = self._clock() - began
            self._owner.started(pool, slot)
            waited_for = pool.serving
        if waited_for:
            self._owner.opened(pool)

    def _free(self, pool: Pool) -> None:
        """The last of a removed pool."""
        if pool.prepared is not None:
            pool.prepared.close()
            pool.prepared = None
            self._modules.release(pool.spec.module, metered=pool.spec.limits.fuel is not None)
        with self._lock:
            pool.job_running = False
            self._owner.freed(pool)


def _log_failure(future: Future[None]) -> None:
    error = future.exception()
    if error is not None:
        log.error("work on a pool failed", exc_info=error)
