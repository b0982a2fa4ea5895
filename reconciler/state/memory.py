"""A store in this process's memory: gone when the daemon ends, not seen by any other process."""


class MemoryStore:
    """A Store in a dict. One operation of a dict is atomic, so no lock is needed."""

    waits = False

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        """The value; None where there is none."""
        return self._values.get(key)

    def set(self, key: str, value: bytes) -> None:
        """Put a value there."""
        self._values[key] = bytes(value)

    def delete(self, key: str) -> bool:
        """Remove a value; whether there was one."""
        return self._values.pop(key, None) is not None

    def close(self) -> None:
        """Nothing is held."""
