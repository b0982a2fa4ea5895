"""One observation of what several workers observed of one pool. Pure.

What was asked for (target, settings, whether it serves) is the control side's own knowledge; what came of it is added
up here. Counts are sums; of what is counted in a row the worst is taken, as a success elsewhere proves nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reconciler.core.observed import GuestInfo, ObservedPool
from reconciler.core.states import PoolPhase


@dataclass(frozen=True, slots=True)
class Lost:
    """What was counted in workers that are gone; instances that went with them are restarts."""

    restarts: int = 0
    calls: int = 0
    bad_calls: int = 0

    def plus(self, seen: ObservedPool) -> "Lost":
        """With one more part."""
        return Lost(
            self.restarts + seen.restarts + seen.ready, self.calls + seen.calls, self.bad_calls + seen.bad_calls
        )


def merged(asked: ObservedPool, parts: Sequence[ObservedPool | None], lost: Lost, whole: bool) -> ObservedPool:
    """`asked` with what came of it. A part is None where its worker has said nothing yet.

    `whole`: no worker that should have a part is without one.
    """
    seen = [part for part in parts if part is not None]
    last = max(seen, key=lambda part: part.failed_at, default=None)
    return replace(
        asked,
        phase=_phase(parts, asked.guest, whole),
        ready=min(asked.target, sum(part.ready for part in seen)),
        busy=sum(part.busy for part in seen),
        retiring=sum(part.retiring for part in seen),
        failed=sum(part.failed for part in seen),
        restarts=lost.restarts + sum(part.restarts for part in seen),
        failures=max((part.failures for part in seen), default=0),
        crashes=max((part.crashes for part in seen), default=0),
        failed_at=last.failed_at if last is not None else 0.0,
        failure=last.failure if last is not None else None,
        calls=lost.calls + sum(part.calls for part in seen),
        bad_calls=lost.bad_calls + sum(part.bad_calls for part in seen),
    )


def _phase(parts: Sequence[ObservedPool | None], guest: GuestInfo | None, whole: bool) -> PoolPhase:
    """A part that failed shows first, so that it is tried again; the rest as the one that is least far."""
    phases = {PoolPhase.LOADING if part is None else part.phase for part in parts}
    if guest is not None and PoolPhase.LOADING in phases:  # one worker has the module, so it is no question any more
        phases = phases - {PoolPhase.LOADING} | {PoolPhase.STARTING}
    for phase in (PoolPhase.FAILED, PoolPhase.LOADING, PoolPhase.STARTING):
        if phase in phases:
            return phase
    return PoolPhase.IDLE if whole else PoolPhase.STARTING
