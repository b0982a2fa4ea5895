"""What makes spans. Belongs here: the protocol. Does not: how spans are sent."""

from contextlib import AbstractContextManager
from typing import Final, Protocol

TRACEPARENT: Final = "traceparent"
"""The header that says which span a request belongs to (W3C Trace Context)."""


class Span(Protocol):
    """Something under way."""

    @property
    def traceparent(self) -> str:
        """The header's value for what this span causes elsewhere."""

    def set(self, name: str, value: str | int | float) -> None:
        """Say something of it."""

    def fail(self, message: str) -> None:
        """It went wrong."""


class Tracer(Protocol):
    """Makes spans. For any thread; a thread's innermost span is the parent of what it begins next."""

    def span(
        self, name: str, *, parent: str = "", server: bool = False, began: float | None = None
    ) -> AbstractContextManager[Span]:
        """A span for as long as the block lasts.

        `parent` is a `traceparent`, for where this thread has no span: else it is a root. `server`: it answers somebody
        else's request. `began`: it began earlier (epoch seconds).
        """

    def past(self, name: str, began: float, ended: float) -> None:
        """A span that is over, below this thread's span (epoch seconds)."""

    def trace_id(self) -> str:
        """The id of this thread's trace; empty where there is none."""
