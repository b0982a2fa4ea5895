"""Messages on a Unix stream socket: a length, a pickle, and the file descriptors that go with it.

Pickle is safe here as both ends are processes of ours that run the same code as the same user. A socket is used from
several threads for sending and from one for receiving.
"""

import array
import contextlib
import os
import pickle
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

LENGTH: Final = struct.Struct(">I")
READ: Final = 256 * 1024
"""Bytes that are read at once."""
MOST_FDS: Final = 8
"""File descriptors that come with one message, at most."""
BACKLOG: Final = 256 * 2**20
"""Bytes that wait to be sent to a process; one that takes so little is given up."""


class Ended(Exception):
    """The other end is gone, or takes nothing any more."""


def encode(message: object) -> bytes:
    """A frame."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(data)) + data


class Inbox:
    """Makes messages of what a socket receives. For one thread."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._bytes = bytearray()
        self._fds: deque[int] = deque()

    def receive(self) -> list[object]:
        """Read once; the messages that are whole by now. Raises Ended."""
        try:
            data, fds, _, _ = socket.recv_fds(self._sock, READ, MOST_FDS)
        except (BlockingIOError, InterruptedError):
            return []
        except OSError as error:
            raise Ended(str(error)) from error
        self._fds.extend(fds)
        if not data:
            raise Ended("the other end closed the socket")
        self._bytes += data
        return self._take()

    def take_fd(self) -> int:
        """The file descriptor that came with the message at hand; they come in the order of their messages."""
        return self._fds.popleft()

    def _take(self) -> list[object]:
        found, at = [], 0
        while len(self._bytes) - at >= LENGTH.size:
            (length,) = LENGTH.unpack_from(self._bytes, at)
            end = at + LENGTH.size + length
            if len(self._bytes) < end:
                break
            found.append(pickle.loads(memoryview(self._bytes)[at + LENGTH.size : end]))  # noqa: S301 (see above)
            at = end
        del self._bytes[:at]
        return found


class Line:
    """A worker's end: sending blocks until the kernel has it all. Safe to use from several threads."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        """Send. Raises Ended."""
        frame = encode(message)
        try:
            with self._lock:
                self._sock.sendall(frame)
        except OSError as error:
            raise Ended(str(error)) from error

    def end(self) -> None:
        """Let the other end see that nothing more comes."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)


@dataclass(slots=True)
class _Frame:
    left: memoryview
    fds: Sequence[int] = field(default_factory=tuple)


class Wire:
    """The control side's end: sending never blocks. What the kernel does not take at once goes out by `flush`."""

    def __init__(self, sock: socket.socket, waiting: Callable[[], None]) -> None:
        """`waiting` is called, on any thread, when there is something to flush."""
        sock.setblocking(False)
        self.sock = sock
        self.inbox = Inbox(sock)
        self._waiting = waiting
        self._lock = threading.Lock()
        self._frames: deque[_Frame] = deque()
        self._bytes = 0
        self._closed = False

    @property
    def pending(self) -> bool:
        """Whether something waits to be flushed."""
        return bool(self._frames)

    def send(self, message: object, fds: Sequence[int] = ()) -> None:
        """Send, now or soon. The file descriptors are duplicated. To one that is gone nothing is sent."""
        frame = memoryview(encode(message))
        with self._lock:
            if self._closed:
                return
            self._frames.append(_Frame(frame, tuple(os.dup(fd) for fd in fds)))
            self._bytes += len(frame)
            if len(self._frames) == 1:
                self._flush()
            left = bool(self._frames)
        if left:
            self._waiting()

    def flush(self) -> None:
        """Send what waits, as far as it goes. Raises Ended where far too much waits."""
        with self._lock:
            self._flush()
            if self._bytes > BACKLOG:
                raise Ended("it does not read what it is told")

    def close(self) -> None:
        """Close the socket and drop what waits. Idempotent."""
        with self._lock:
            self._closed = True
            while self._frames:
                _close(self._frames.popleft().fds)
            self.sock.close()

    def _flush(self) -> None:
        while self._frames:
            frame = self._frames[0]
            try:
                sent = self.sock.sendmsg([frame.left], _ancillary(frame.fds))
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # it is gone; whoever reads will see that
                sent = len(frame.left)
            _close(frame.fds)
            frame.fds = ()
            frame.left = frame.left[sent:]
            self._bytes -= sent
            if not frame.left:
                self._frames.popleft()


def _ancillary(fds: Sequence[int]) -> list[tuple[int, int, bytes]]:
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())] if fds else []


def _close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
