"""Who counts what happens in the pools. Belongs here: the protocol, and the observer that does nothing."""

from typing import Protocol

from reconciler.core.states import Reason


class HostObserver(Protocol):
    """Told of what happens to pools and instances, from any thread, now and then with the host's lock held.

    Must not block and must not call the host.
    """

    def loaded(self, plugin: str, result: Reason, seconds: float) -> None:
        """A pool's module was loaded (Compiled, CacheHit) or refused (any other reason)."""

    def served(self, plugin: str, seconds: float) -> None:
        """A pool took its plugin's traffic for the first time, so long after it was created."""

    def spoilt(self, plugin: str, reason: Reason) -> None:
        """An instance failed and will be replaced."""


class NoHostObserver:
    """Counts nothing."""

    def loaded(self, plugin: str, result: Reason, seconds: float) -> None:
        """Forget it."""

    def served(self, plugin: str, seconds: float) -> None:
        """Forget it."""

    def spoilt(self, plugin: str, reason: Reason) -> None:
        """Forget it."""
