"""A call whose bodies flow: bytes from the client to the guest and back, as either side has room for them.

Belongs here: when bytes are moved, and how such a call ends. Does not: how they lie on a connection (http1_stream.py),
the pipes themselves (reconciler.wasm.flow). Everything but the call of the guest runs on the loop's thread.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from api.dataplane import answers
from api.dataplane.answers import Answer
from api.dataplane.inflow import Inflow
from api.dataplane.mailbox import Mailbox
from api.dataplane.threads import GuestThreads
from reconciler.core.observed import Failure
from reconciler.core.states import Reason
from reconciler.host.invoke import Lease
from reconciler.wasm.flow import CLIENT_GONE, Flow
from reconciler.wasm.kind import GuestFailed, Request, Response

GRACE: Final = 0.002
"""Seconds that a guest has for an answer that goes out in one piece, with its length before it."""

EARLY: Final = 1024 * 1024
"""Bytes of a body that a guest may write before it says what it answers."""


class FlowSink(Protocol):
    """Where an answer goes that flows: a connection. On the loop's thread; nothing after `end_flow` or `break_flow`."""

    def begin_flow(self, answer: Answer, length: int | None) -> None:
        """The head; `length` is that of the body, where it is known."""

    def send(self, data: bytes) -> None:
        """A part of the body."""

    def end_flow(self, trailers: str) -> None:
        """The body is whole; `trailers` are lines as HTTP/1 writes them."""

    def break_flow(self) -> None:
        """It will not be whole."""

    def read_on(self) -> None:
        """There is room for more of the request's body."""


class Pump:
    """One such call. `answer` takes an answer that did not flow, `ended` the status of one that did."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        mailbox: Mailbox,
        sink: FlowSink,
        inflow: Inflow | None,
        *,
        answer: Callable[[Answer], None],
        ended: Callable[[int], None],
    ) -> None:
        """Raises OSError where there are no more descriptors."""
        self._loop = loop
        self._mailbox = mailbox
        self._sink = sink
        self._inflow = inflow
        self._answer = answer
        self._ended = ended
        self._flow = Flow(lambda: mailbox.post(self._look, None), request=inflow is not None)
        self._timer: asyncio.TimerHandle | None = None
        self._plugin = ""
        self._early = bytearray()
        self._begun = False
        self._length: int | None = None
        self._sent = 0
        self._reading = self._writing = self._held = self._done = self._over = False

    def start(self, lease: Lease, request: Request, threads: GuestThreads) -> bool:
        """Call the guest. False: there is no thread for it."""
        self._plugin = lease.plugin
        if not threads.run(lambda: self._call(lease, request)):
            self._close()
            return False
        self._timer = self._loop.call_later(GRACE, self._take_over)
        self.feed()
        return True

    def feed(self) -> None:
        """More of the request's body is there, or there is room for it."""
        inflow, flow = self._inflow, self._flow
        if inflow is None or self._over:
            return
        if flow.unwanted:
            inflow.data.clear()
            flow.touch()
        elif inflow.data:
            del inflow.data[: flow.offer(inflow.data)]
        self._watch_sink(bool(inflow.data))
        if inflow.data:
            return
        if inflow.complete:
            self._inflow = None
            flow.end_request(inflow.trailers)
        else:
            self._sink.read_on()

    def hold(self) -> None:
        """The client reads slower than the guest writes."""
        self._held = True
        self._watch_source()

    def go_on(self) -> None:
        """It caught up."""
        self._held = False
        self._watch_source()

    def cancel(self) -> None:
        """The client is gone. Idempotent."""
        if not self._over:
            self._over = True
            self._stop(CLIENT_GONE)

    def break_off(self, refusal: Answer) -> None:
        """The request's body is not what it should be, or does not come."""
        if not self._over:
            self._over = True
            self._stop(CLIENT_GONE)
            self._give_up(refusal)

    # ---- on the guest's thread

    def _call(self, lease: Lease, request: Request) -> None:
        outcome: Answer | None = answers.INTERNAL
        try:
            response = lease.stream(request, self._flow)
            outcome = None if response is None else answers.guest_answered(lease.plugin, response)
        except GuestFailed as failed:
            outcome = answers.guest_failed(lease.plugin, failed.failure)
        finally:
            self._mailbox.post(self._returned, outcome)

    # ---- on the loop

    def _returned(self, outcome: Answer | None) -> None:
        """The guest ended; `outcome` is None where the answer flows."""
        if self._over:
            return
        if outcome is None:
            self._done = True
            self._look(None)
            return
        self._over = True
        self._close()
        self._give_up(outcome)

    def _give_up(self, answer: Answer) -> None:
        """There is no whole answer of the guest's; where a part of one went out, this one cannot."""
        if self._begun:
            self._sink.break_flow()
            self._ended(answer.status)
        else:
            self._answer(answer)

    def _take_over(self) -> None:
        self._timer = None
        if not self._over and self._flow.take_over():
            self._watch_source()
            self._look(None)

    def _look(self, _letter: object) -> None:
        """The guest said something."""
        flow = self._flow
        if self._over or not flow.flows or flow.stopped is not None:
            return
        if flow.unwanted:
            self.feed()
        if flow.head is not None and not self._begun:
            self._begin(flow.head)
        self._end_if_whole()

    def _begin(self, head: Response) -> None:
        answer = answers.guest_answered(self._plugin, head)
        if answer.status != head.status:  # it cannot go out
            self._over = True
            self._stop(CLIENT_GONE)
            self._answer(answer)
            return
        self._begun = True
        declared = next((value for name, value in head.headers if name.lower() == "content-length"), "")
        self._length = int(declared) if declared.isdecimal() and len(declared) < 19 else None
        self._sink.begin_flow(answer, self._length)
        early, self._early = self._early, bytearray()
        self._send(bytes(early))

    def _drain(self) -> None:
        """The guest wrote."""
        data = self._flow.take()
        if self._begun:
            self._send(data)
            self._end_if_whole()
            return
        self._early += data
        if len(self._early) > EARLY:
            self._fail(f"the guest wrote more than {EARLY} bytes before it answered")

    def _send(self, data: bytes) -> None:
        whole = self._flow.whole
        if whole is not None:  # what comes later, by a stream that the guest kept, is not part of it
            data = data[: whole - self._sent]
        self._sent += len(data)
        if self._sent > self._flow.room:
            self._fail(f"the response's body is larger than limits.responseBytes ({self._flow.room})")
        elif self._length is not None and self._sent > self._length:
            self._fail(f"the response's body is longer than its content-length ({self._length})")
        elif data:
            self._sink.send(data)

    def _end_if_whole(self) -> None:
        flow = self._flow
        if self._over or not self._begun or flow.whole is None or self._sent < flow.whole:
            return
        trailers = answers.trailer_block(flow.last)
        if trailers is None:
            self._fail("a trailer cannot go out: its name is no token, or its value has control characters")
            return
        self._over = True
        if self._inflow is None:
            self._close()
        else:
            self._stop(CLIENT_GONE)
        status = flow.head.status if flow.head is not None else 0
        self._sink.end_flow(trailers)
        self._ended(status)

    def _fail(self, message: str) -> None:
        """The guest is at fault. If it still runs, `_returned` comes when it has ended."""
        failure = Failure(Reason.BAD_RESPONSE, message)
        self._stop(failure)
        if self._done:
            self._over = True
            self._give_up(answers.guest_failed(self._plugin, failure))

    def _stop(self, failure: Failure) -> None:
        self._unwatch()
        self._flow.stop(failure)

    def _close(self) -> None:
        self._unwatch()
        self._flow.close()

    def _unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._watch_sink(False)
        self.hold()

    def _watch_source(self) -> None:
        wanted = self._flow.flows and not self._held
        if wanted and not self._reading:
            self._loop.add_reader(self._flow.source, self._drain)
        elif self._reading and not wanted:
            self._loop.remove_reader(self._flow.source)
        self._reading = wanted

    def _watch_sink(self, wanted: bool) -> None:
        if wanted and not self._writing:
            self._loop.add_writer(self._flow.sink, self.feed)
        elif self._writing and not wanted:
            self._loop.remove_writer(self._flow.sink)
        self._writing = wanted
