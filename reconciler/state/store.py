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

    def close(self) -> None:
        """Let go of files and connections. Idempotent."""
