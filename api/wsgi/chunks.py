"""A chunked body, read as RFC 9112 section 7.1 has it and no other way, within bounds.

Waitress' own receiver skips empty lines, takes a chunk size that ends in a bare line feed, and keeps a line of any
length.
"""

import re
from enum import Enum
from typing import Any, Final

from waitress.utilities import BadRequest

LONGEST_LINE: Final = 4096
"""Bytes of a line that holds a chunk's size, or of a trailer."""
MOST_TRAILERS: Final = 32

_SIZE: Final = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")


class _Expected(Enum):
    SIZE = 1
    END_OF_CHUNK = 2
    TRAILER = 3


class StrictChunks:
    """What waitress' parser expects of a receiver. `buffer` is one of waitress' and takes the body."""

    def __init__(self, buffer: Any) -> None:
        self.completed = False
        self.error: BadRequest | None = None
        self._buffer = buffer
        self._expected = _Expected.SIZE
        self._left = 0
        self._line = b""
        self._trailers = 0

    def __len__(self) -> int:
        return len(self._buffer)

    def received(self, data: bytes) -> int:
        """Take bytes; how many of them belong to this body."""
        taken = 0
        while taken < len(data) and not self.completed and self.error is None:
            if self._left:
                piece = data[taken : taken + self._left]
                self._buffer.append(piece)
                self._left -= len(piece)
            else:
                piece = data[taken : data.find(b"\n", taken) + 1] or data[taken:]
                self._take_line(piece)
            taken += len(piece)
        return taken

    def getfile(self) -> Any:
        """The body to read."""
        return self._buffer.getfile()

    def getbuf(self) -> Any:
        """The body to close."""
        return self._buffer

    def _take_line(self, piece: bytes) -> None:
        self._line += piece
        if len(self._line) > LONGEST_LINE:
            self.error = BadRequest("a line in a chunked body is too long")
        elif self._line.endswith(b"\n"):
            line, self._line = self._line, b""
            if not line.endswith(b"\r\n"):
                self.error = BadRequest("a line in a chunked body does not end in CR LF")
            else:
                self._read_line(line[:-2])

    def _read_line(self, line: bytes) -> None:
        if self._expected is _Expected.SIZE:
            found = _SIZE.fullmatch(line)
            if found is None:
                self.error = BadRequest("a chunk has no size")
                return
            self._left = int(found[1], 16)
            self._expected = _Expected.END_OF_CHUNK if self._left else _Expected.TRAILER
        elif self._expected is _Expected.END_OF_CHUNK:
            if line:
                self.error = BadRequest("a chunk is longer than its size")
            self._expected = _Expected.SIZE
        elif not line:
            self.completed = True
        else:
            self._trailers += 1
            if self._trailers > MOST_TRAILERS:
                self.error = BadRequest("there are too many trailers")
