"""The bodies of one exchange while they flow: two pipes between a client's connection and a guest.

A pipe is a bounded queue that a guest reads and writes by itself, on its own thread, and that an event loop can wait
for. So a body of any size takes as much memory as a pipe, and whoever is slower holds the other up. Belongs here: the
pipes, and what both sides tell each other. Does not: connections (api.dataplane), what a guest does with its end.

The client's side is the event loop, the guest's side the thread that the guest runs on. A response that is small and
quick never flows: the guest's thread takes it out of the pipe whole (`settle`). Else the loop takes over.
"""

import fcntl
import os
import sys
import termios
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol, runtime_checkable

from reconciler.core.observed import Failure
from reconciler.core.revision import InstanceLimits
from reconciler.core.states import Reason
from reconciler.wasm.kind import CallContext, Headers, Request, Response

MOST: Final = 65_536
"""Bytes that are moved at once: what a pipe holds."""

CLIENT_GONE: Final = Failure(Reason.BAD_RESPONSE, "nobody waits for the answer any more")


class Flow:
    """One exchange. `wake` asks the client's side to `look`; it may be called from any thread.

    `descriptor` is the pipe's end that the guest writes its answer to, `request` the one that it reads the request's
    body from; -1 where that body is whole before the guest starts.
    """

    number = None

    def __init__(self, wake: Callable[[], None], *, request: bool) -> None:
        """Raises OSError where there are no more descriptors."""
        self._wake = wake
        self._lock = threading.Lock()
        self._call: CallContext | None = None
        self._limits: InstanceLimits | None = None
        self._taken = 0
        self._flows = self._settled = self._closed = False
        self.source, self.descriptor = os.pipe()
        self.request = self.sink = -1
        if request:
            try:
                self.request, self.sink = os.pipe()
            except OSError:
                self.close()
                raise
            os.set_blocking(self.sink, False)
        os.set_blocking(self.source, False)
        self.head: Response | None = None
        """What the guest answered, without body and trailers."""
        self.whole: int | None = None
        """Bytes of the whole body, once the guest finished it."""
        self.last: Headers = []
        """The trailers after it."""
        self.unwanted = False
        """The guest reads no more of the request's body."""
        self.trailers: Headers | None = None
        """The request's, once its body is over."""
        self.stopped: Failure | None = None
        """Why the guest shall end."""

    # ---- the guest's side, on its thread

    def start(self, call: CallContext, limits: InstanceLimits, open_ends: Callable[[], None]) -> None:
        """The guest starts: let it open its ends. Raises OSError, also where the client is gone."""
        with self._lock:
            if self._closed:
                raise OSError(CLIENT_GONE.message)
            self._call, self._limits = call, limits
            open_ends()

    def answered(self, head: Response) -> None:
        """The guest answered; the body follows, or came before."""
        self.head = head
        self._tell()

    def finished(self, size: int, trailers: Headers) -> None:
        """The body is whole."""
        self.last = trailers
        self.whole = size
        self._tell()

    def finish_reading(self) -> None:
        """The guest wants no more of the request's body."""
        self.unwanted = True
        self._tell()

    def size(self) -> int:
        """Bytes that the guest wrote."""
        with self._lock:
            if self._closed:
                return self._taken
            waiting = fcntl.ioctl(self.source, termios.FIONREAD, bytes(4))
            return self._taken + int.from_bytes(waiting, sys.byteorder)

    def settle(self) -> bool:
        """The guest has ended. Whether the answer is the caller's: it did not flow, and will not any more."""
        with self._lock:
            self._settled = not self._flows
            return self._settled

    def read(self, size: int) -> bytes:
        """The first bytes of an answer that did not flow."""
        parts = bytearray()
        while len(parts) < size and (part := self.take(size - len(parts))):
            parts += part
        return bytes(parts)

    def _tell(self) -> None:
        if self._flows:
            self._wake()

    # ---- the client's side, on the loop

    def take_over(self) -> bool:
        """The answer flows from now on. False: it is there, whole."""
        with self._lock:
            self._flows = not self._settled
            return self._flows

    @property
    def flows(self) -> bool:
        """Whether the loop took over."""
        return self._flows

    def take(self, most: int = MOST) -> bytes:
        """Bytes that the guest wrote; none where there are none now."""
        with self._lock:
            if self._closed:
                return b""
            try:
                data = os.read(self.source, most)
            except BlockingIOError:
                return b""
            self._taken += len(data)
        self.touch()
        return data

    def offer(self, data: bytes | bytearray | memoryview) -> int:
        """Give bytes of the request's body; how many there was room for."""
        self.touch()
        if self._closed:
            return len(data)
        try:
            return os.write(self.sink, data)
        except BlockingIOError:
            return 0

    def end_request(self, trailers: Headers) -> None:
        """The request's body is over."""
        self.trailers = trailers
        self.touch()
        with self._lock:
            self.sink = _close(self.sink)

    @property
    def room(self) -> int:
        """Bytes that the answer may have in all."""
        return self._limits.response_bytes if self._limits is not None else 0

    def touch(self) -> None:
        """Something moved: `limits.timeout` begins anew."""
        call, limits = self._call, self._limits
        if call is not None and limits is not None:
            call.deadline = max(call.deadline, time.monotonic() + limits.timeout)

    def stop(self, failure: Failure = CLIENT_GONE) -> None:
        """End the guest: what it reads ends here, what it writes fails, and it traps at its next epoch."""
        self.stopped = self.stopped or failure
        self.close()

    def close(self) -> None:
        """Let go of the pipes. Idempotent."""
        with self._lock:
            self._closed = True
            self.source, self.descriptor = _close(self.source), _close(self.descriptor)
            self.request, self.sink = _close(self.request), _close(self.sink)


def _close(descriptor: int) -> int:
    if descriptor >= 0:
        os.close(descriptor)
    return -1


@runtime_checkable
class Streaming(Protocol):
    """An instance whose bodies may flow."""

    def stream(self, request: Request, call: CallContext, flow: Flow) -> Response | None:
        """Answer one request: with the answer where it is whole and did not flow, else with None: the flow has it.

        Raises GuestFailed, also after a part of an answer went out; not because the client went away.
        """
