"""A guest's linear memory, seen from the host."""

import ctypes
import struct
from collections.abc import Callable
from typing import Any, Final

_WORD: Final = struct.Struct("<I")


class OutOfBoundsError(Exception):
    """A guest named memory that it does not have. A host function that raises it answers its `fault` status."""


class GuestMemory:
    """A guest's linear memory, checked at every access.

    Its base never moves (the engine is configured so) and it never shrinks, so its size is asked for again only
    where an access lies beyond the size known.
    """

    __slots__ = ("_measure", "_read", "_view", "size")

    _Whole: Final = ctypes.c_char * (1 << 32)

    def __init__(self, base: int, measure: Callable[[], int]) -> None:
        self._measure = measure
        self._read: Any = self._Whole.from_address(base)
        self._view = memoryview(self._read).cast("B")
        self.size = measure()

    def check(self, address: int, length: int) -> None:
        """Raise OutOfBoundsError unless the guest has all of that."""
        if address + length > self.size:
            self.size = self._measure()
            if address + length > self.size:
                raise OutOfBoundsError

    def read(self, address: int, length: int) -> bytes:
        """A copy of some bytes."""
        if address + length > self.size:
            self.check(address, length)
        copy: bytes = self._read[address : address + length]
        return copy

    def write(self, address: int, data: bytes | bytearray) -> None:
        """Put some bytes there."""
        end = address + len(data)
        if end > self.size:
            self.check(address, len(data))
        self._view[address:end] = data

    def write_u32(self, address: int, value: int) -> None:
        """Put a little-endian 32-bit integer there."""
        if address + 4 > self.size:
            self.check(address, 4)
        _WORD.pack_into(self._view, address, value)

    def read_u32(self, address: int) -> int:
        """The little-endian 32-bit integer there."""
        if address + 4 > self.size:
            self.check(address, 4)
        value: int = _WORD.unpack_from(self._view, address)[0]
        return value


def no_memory() -> GuestMemory:
    """The memory of a guest that has none yet: every access is out of bounds."""
    return GuestMemory(0, lambda: 0)
