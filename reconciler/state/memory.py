"""A store in this process's memory: gone when the daemon ends, not seen by any other process."""

import itertools
import threading
from typing import Final

from reconciler.state.errors import StoreUnavailable

MAX_BYTES: Final = 64 * 2**20
"""Keys and values of one store: guests write them, and the memory is the daemon's."""
_ENTRY: Final = 200
"""Bytes that an entry is counted with beside its key and value: about what a dict and two objects take."""


class MemoryStore:
    """A Store in a dict. One operation of a dict is atomic, so reading needs no lock."""

    waits = False

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes | None:
        """The value; None where there is none."""
        return self._values.get(key)

    def set(self, key: str, value: bytes) -> None:
        """Put a value there."""
        with self._lock:
            self._set(key, value)

    def delete(self, key: str) -> bool:
        """Remove a value; whether there was one."""
        with self._lock:
            value = self._values.pop(key, None)
            self._bytes -= 0 if value is None else _size(key, value)
            return value is not None

    def keys(self, start: int, most: int) -> tuple[list[str], int]:
        """Some keys, and where the next ones start."""
        with self._lock:
            found = list(itertools.islice(self._values, start, start + most))
            return found, start + most if start + most < len(self._values) else 0

    def swap(self, key: str, old: bytes | None, new: bytes) -> bool:
        """Put a value there in place of that one."""
        with self._lock:
            if self._values.get(key) != old:
                return False
            self._set(key, new)
            return True

    def _set(self, key: str, value: bytes) -> None:
        old = self._values.get(key)
        size = self._bytes + _size(key, value) - (0 if old is None else _size(key, old))
        if size > MAX_BYTES:
            raise StoreUnavailable(f"the store in memory is full: it holds {MAX_BYTES} bytes")
        self._bytes = size
        self._values[key] = bytes(value)

    def close(self) -> None:
        """Nothing is held."""


def _size(key: str, value: bytes) -> int:
    return _ENTRY + len(key) + len(value)
