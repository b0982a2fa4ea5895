"""Counts what the control side and the pools do. Rare next to requests, so a lock is cheap enough."""

import threading
import time
from collections import Counter
from collections.abc import Set

from api.metrics.histogram import Histogram
from reconciler.control.observer import PassResult
from reconciler.core.states import Reason


class ControlMeter:
    """A LoopObserver and a HostObserver. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.passes: Counter[PassResult] = Counter()
        self.pass_seconds = Histogram()
        self.queue_seconds = Histogram()
        self.reload_seconds = Histogram()
        self.load_seconds = Histogram()
        self.loads: Counter[Reason] = Counter()
        self.restarts: Counter[tuple[str, Reason]] = Counter()
        self._pass_began: float | None = None

    @property
    def pass_running(self) -> float:
        """Seconds since the pass under way began; 0 between passes."""
        began = self._pass_began
        return 0.0 if began is None else time.monotonic() - began

    def began(self, plugin: str, waited: float) -> None:
        """A pass begins (LoopObserver)."""
        self.queue_seconds.add(waited)
        self._pass_began = time.monotonic()

    def ended(self, plugin: str, result: PassResult, seconds: float) -> None:
        """A pass ended (LoopObserver)."""
        self._pass_began = None
        self.passes[result] += 1
        self.pass_seconds.add(seconds)

    def loaded(self, plugin: str, result: Reason, seconds: float) -> None:
        """A module was loaded or refused (HostObserver)."""
        with self._lock:
            self.loads[result] += 1
            self.load_seconds.add(seconds)

    def served(self, plugin: str, seconds: float) -> None:
        """A new pool took over (HostObserver)."""
        with self._lock:
            self.reload_seconds.add(seconds)

    def spoilt(self, plugin: str, reason: Reason) -> None:
        """An instance failed (HostObserver)."""
        with self._lock:
            self.restarts[plugin, reason] += 1

    def restarted(self) -> dict[tuple[str, Reason], int]:
        """Failed instances by plugin and reason."""
        with self._lock:
            return dict(self.restarts)

    def loaded_by_result(self) -> dict[str, int]:
        """Loads by `Compiled`, `CacheHit`, or the reason of a refusal."""
        with self._lock:
            return {str(result): number for result, number in self.loads.items()}

    def keep(self, plugins: Set[str]) -> None:
        """Forget the plugins that are not among these."""
        with self._lock:
            for key in [key for key in self.restarts if key[0] not in plugins]:
                del self.restarts[key]
