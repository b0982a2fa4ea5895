"""What every store can do. The stores are modules of their own beside this one."""

from typing import Protocol


class Store(Protocol):
    """Values by key. Safe to use from several threads. Every method raises StoreUnavailable."""

    @property
    def waits(self) -> bool:
        """Whether a read may wait for a server."""

    def get(self, key: str) -> bytes | None:
        """The value; None where there is none."""

    def set(self, key: str, value: bytes) -> None:
        """Put a value there, in place of any other."""

    def delete(self, key: str) -> bool:
        """Remove a value; whether there was one."""

    def keys(self, start: int, most: int) -> tuple[list[str], int]:
        """Up to about `most` keys, and where the next ones start; 0 where there are no more. The first ones start at 0.

        A key that comes or goes meanwhile may be missing, or be there twice.
        """

    def swap(self, key: str, old: bytes | None, new: bytes) -> bool:
        """Put a value there in place of that one (None: in place of no value). Whether it was still that one."""

    def close(self) -> None:
        """Let go of files and connections. Idempotent."""
