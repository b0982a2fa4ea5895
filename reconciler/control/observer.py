"""Who counts the passes of the reconcile loop. Belongs here: the protocol, and the observer that does nothing."""

from enum import StrEnum
from typing import Protocol


class PassResult(StrEnum):
    """How a pass ended, in the words of the field's dashboards."""

    SUCCESS = "success"
    """Nothing is left to do."""
    REQUEUE_AFTER = "requeue_after"
    """It looks again by itself: something drains, starts, or is tried again later."""
    ERROR = "error"
    """It raised what nobody expected."""


class LoopObserver(Protocol):
    """Told of each pass, on the reconcile thread."""

    def began(self, plugin: str, waited: float) -> None:
        """A pass begins; the name waited so many seconds in the queue."""

    def ended(self, plugin: str, result: PassResult, seconds: float) -> None:
        """It ended."""


class NoLoopObserver:
    """Counts nothing."""

    def began(self, plugin: str, waited: float) -> None:
        """Forget it."""

    def ended(self, plugin: str, result: PassResult, seconds: float) -> None:
        """Forget it."""
