"""A pool: the instances of one revision of one plugin, and the counts that tell how they do.

Plain state with small transitions; every method is called with the host's lock held and never blocks. Belongs
here: which instances are idle, busy, retiring, spent. Does not: which pool a request goes to (router.py), starting
and closing instances (host.py), what to do about failures (core.diff).
"""

from collections.abc import Callable
from typing import Final

from reconciler.core.observed import Failure, GuestInfo, ObservedPool, PoolSettings
from reconciler.core.revision import InstanceSpec
from reconciler.core.rollout import FIRST_CALLS
from reconciler.core.states import PoolPhase, Reason
from reconciler.host.loopclock import LoopClock
from reconciler.wasm.kind import Instance, PreparedGuest

SHORT: Final = 0.000_3
"""Seconds of CPU: calls that keep below may run on the event loop."""
LONG: Final = 0.002
"""Seconds on the event loop: one call above this puts the plugin back on threads, to show more than before."""
PROOF: Final = 32
"""Short calls in a row that a plugin shows before it may run on the event loop, at first."""
STALL: Final = 0.01
"""Seconds: a call above this held up others, so the plugin must show more short calls than before."""
HARDER: Final = 16
"""How many times more."""
MOST_PROOF: Final = PROOF * HARDER**3
"""But no more than that: so many calls between two that were cut short weigh nothing."""
LEAST_TIMEOUT: Final = 0.05
"""Seconds: a plugin with a shorter timeout than that has it kept on a thread."""
QUICK_START: Final = 0.1
"""Seconds: an instance that takes longer to replace is not risked on the event loop, where it may be cut short."""


class Slot:
    """An instance, how many requests it has answered, and whether a tick of it is due some time."""

    __slots__ = ("calls", "gone", "instance", "tick_due")

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self.calls = 0
        self.tick_due = False
        self.gone = False


class Pool:
    """The instances of one revision. Guarded by the host's lock."""

    def __init__(self, revision: str, spec: InstanceSpec, settings: PoolSettings, clock: Callable[[], float]) -> None:
        self.plugin = spec.plugin
        self.revision = revision
        self.spec = spec
        self.settings = settings
        self.phase = PoolPhase.LOADING
        self.target = 0
        self.serving = False
        self.served = False
        self.removed = False
        self.job_running = False
        self.report_end = False
        self.prepared: PreparedGuest | None = None
        self.guest: GuestInfo | None = None
        self.idle: list[Slot] = []
        self.busy = 0
        self.spent: list[Slot] = []
        self.restarts = 0
        self.failures = 0
        self.crashes = 0
        self.failed_at = 0.0
        self.failure: Failure | None = None
        self.serving_since: float | None = None
        self.calls = 0
        self.bad_calls = 0
        self.draining_since: float | None = None
        self.credit = 0
        self.short_calls = 0
        self.proof = PROOF
        self.loop_clock = LoopClock()
        self.start_seconds = 0.0
        self.created = clock()
        self._clock = clock

    @property
    def surplus(self) -> int:
        """How many live instances there are beyond the target."""
        return max(0, len(self.idle) + self.busy - self.target)

    @property
    def retiring(self) -> int:
        """Busy instances that are closed when their request ends."""
        return max(0, self.busy - self.target)

    @property
    def ready(self) -> int:
        """Instances that can answer, busy ones among them, without those that will go."""
        return min(len(self.idle) + self.busy, self.target)

    @property
    def inline(self) -> bool:
        """Whether calls have been short enough to run on the event loop."""
        return (
            self.short_calls >= self.proof
            and self.guest is not None
            and not self.guest.may_wait
            and self.spec.limits.timeout >= LEAST_TIMEOUT
            and self.start_seconds <= QUICK_START
        )

    @property
    def streams(self) -> bool:
        """Whether bodies may flow through its instances."""
        return self.guest is not None and self.guest.streams

    def take(self) -> Slot:
        """An idle instance, the most recently used first: its memory is warm."""
        self.busy += 1
        return self.idle.pop()

    def take_this(self, slot: Slot) -> bool:
        """That very instance, if it is idle."""
        if slot not in self.idle:
            return False
        self.idle.remove(slot)
        self.busy += 1
        return True

    @property
    def on_probation(self) -> bool:
        """Whether the pool began to serve so recently that a bad call may mean that it should not."""
        since = self.serving_since
        return since is not None and (
            self.calls <= FIRST_CALLS or self._clock() - since < self.settings.min_healthy_time
        )

    def called(self, slot: Slot, seconds: float, *, inline: bool, bad: bool, acts: bool = False) -> None:
        """An instance answered, or failed to, in that many seconds of CPU.

        A guest that acts on others cannot be cut short and asked again, so its calls are no proof.
        """
        slot.calls += 1
        self.calls += 1
        if bad:
            self.bad_calls += 1
        if acts or seconds > (LONG if inline else SHORT):
            self.short_calls = 0
            if inline or seconds > STALL:
                self.proof = min(self.proof * HARDER, MOST_PROOF)
        else:
            self.short_calls += 1

    def cut_short(self, slot: Slot, *, spoilt: bool) -> bool:
        """A call on the event loop was cut short. It counts as neither call nor crash; as give_back otherwise."""
        self.short_calls = 0
        self.proof = min(self.proof * HARDER, MOST_PROOF)
        return self._put_back(slot, spoilt=spoilt)

    def give_back(self, slot: Slot, failure: Failure | None) -> bool:
        """A lease ended. Returns whether the instance is idle again; else it is spent and waits to be closed."""
        if failure is not None:
            self._crashed(failure)
        else:
            self.crashes = 0
        return self._put_back(slot, spoilt=failure is not None)

    def _put_back(self, slot: Slot, *, spoilt: bool) -> bool:
        self.busy -= 1
        limit = self.settings.max_invocations
        if not spoilt and not self.removed and (limit is None or slot.calls < limit) and not self._too_many():
            self.idle.append(slot)
            return True
        slot.gone = True
        self.spent.append(slot)
        return False

    def _too_many(self) -> bool:
        """Whether the instance whose call just ended is one more than the pool should hold."""
        return len(self.idle) + self.busy >= self.target

    def _crashed(self, failure: Failure) -> None:
        self.crashes += 1
        self.restarts += 1
        self.failed_at = self._clock()
        self.failure = failure

    def take_surplus(self) -> list[Slot]:
        """Idle instances beyond the target, taken out to be closed; the coldest ones."""
        count = min(self.surplus, len(self.idle))
        surplus, self.idle = self.idle[:count], self.idle[count:]
        for slot in surplus:
            slot.gone = True
        return surplus

    def start_failed(self, failure: Failure) -> None:
        """A start attempt ended badly."""
        self.phase = PoolPhase.FAILED
        self.failures += 1
        self.failed_at = self._clock()
        self.failure = failure

    def started(self, slot: Slot) -> None:
        """One more instance is ready."""
        self.failures = 0
        self.idle.append(slot)
        if self.failure is not None and self.failure.reason is Reason.CAPACITY_EXHAUSTED:
            self.failure = None

    def observe(self) -> ObservedPool:
        """What there is, as a plain value."""
        return ObservedPool(
            plugin=self.plugin,
            revision=self.revision,
            settings=self.settings,
            limits=self.spec.limits,
            phase=self.phase,
            target=self.target,
            serving=self.serving,
            served=self.served,
            ready=self.ready,
            busy=self.busy,
            retiring=self.retiring,
            failed=len(self.spent),
            restarts=self.restarts,
            failures=self.failures,
            crashes=self.crashes,
            failed_at=self.failed_at,
            failure=self.failure,
            serving_since=self.serving_since,
            calls=self.calls,
            bad_calls=self.bad_calls,
            draining_since=self.draining_since,
            guest=self.guest,
        )
