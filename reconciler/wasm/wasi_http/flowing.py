"""One request of a light component whose bodies flow: through pipes, as the adapter sends and asks for them.

Belongs here: what differs from an exchange whose bodies are whole (exchange.py). Does not: the pipes
(reconciler.wasm.flow).
"""

import os
import time
from typing import Final

from reconciler.core.observed import Failure
from reconciler.core.revision import InstanceSpec
from reconciler.wasm.ffi.components import GuestRefused
from reconciler.wasm.flow import CLIENT_GONE, MOST, Flow
from reconciler.wasm.kind import CallContext, GuestServices, Request, Response
from reconciler.wasm.wasi_http.exchange import Exchange, Sent, split_answer, trailer_lines

_CUT_OFF: Final = "0\n7\n"
"""In place of trailers: connection-terminated."""
_LOOK_AGAIN: Final = 0.005
"""Seconds until a thread that waits for trailers looks again."""


class FlowingExchange(Exchange):
    """One such request. `open` and `close` are for its ends of the pipes: the flow may close its own at any time."""

    __slots__ = ("_reads", "_writes", "flow")

    def __init__(
        self, spec: InstanceSpec, services: GuestServices, request: Request, call: CallContext, flow: Flow
    ) -> None:
        super().__init__(spec, services, request, call)
        self.flow = flow
        self._reads = self._writes = -1

    def open(self) -> None:
        """Begin. Raises OSError, also where the client is gone."""
        self.flow.start(self.call, self.spec.limits, self._open)

    def close(self) -> None:
        """The guest has ended. Idempotent."""
        for descriptor in (self._reads, self._writes):
            if descriptor >= 0:
                os.close(descriptor)
        self._reads = self._writes = -1

    def _open(self) -> None:
        self._writes = os.dup(self.flow.descriptor)
        if self.flow.request >= 0:
            self._reads = os.dup(self.flow.request)

    def receive(self) -> str:
        """See Exchange."""
        return self.opening(flows=True, waits=self._reads >= 0)

    def more(self) -> str:
        """See Exchange."""
        return super().more() if self._reads < 0 else os.read(self._reads, MOST).decode("latin-1")

    def trailers(self) -> str:
        """See Exchange."""
        flow = self.flow
        if self._reads < 0:
            return super().trailers()
        while flow.trailers is None and flow.stopped is None and time.monotonic() < self.call.deadline:
            time.sleep(_LOOK_AGAIN)
        if flow.trailers is None:
            return _CUT_OFF
        return trailer_lines(flow.trailers)

    def send(self, what: int, head: str, body: str) -> None:
        """See Exchange."""
        if what == Sent.PART:
            self._write(body)
        elif what == Sent.HEAD:
            self.flow.answered(split_answer(head)[0])
        elif what == Sent.ANSWER:
            answer, _ = split_answer(head)
            self._write(body)
            self.answer = answer
            self.flow.finished(self.size, list(answer.trailers))
            if self.flow.head is None:
                self.flow.answered(Response(answer.status, answer.headers))
        elif what == Sent.UNREAD:
            self.flow.finish_reading()
        else:
            super().send(what, head, body)

    def unwanted(self) -> Failure | None:
        """See Exchange."""
        return self.flow.stopped

    def _write(self, body: str) -> None:
        self.count(len(body))
        view = memoryview(body.encode("latin-1"))
        try:
            while view:
                view = view[os.write(self._writes, view) :]
        except BrokenPipeError:
            raise GuestRefused(CLIENT_GONE.message) from None
