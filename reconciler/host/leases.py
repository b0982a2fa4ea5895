"""The right to call one instance once, and waiting for it on a thread."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar

from reconciler.core.observed import Failure
from reconciler.core.states import Reason
from reconciler.host.chains import Chain
from reconciler.host.invoke import CutShort, Lease, Unroutable
from reconciler.host.pool import LONG, Pool, Slot
from reconciler.wasm.flow import Flow, Streaming
from reconciler.wasm.kind import CallContext, Filter, GuestFailed, Request, Response

Answer = TypeVar("Answer")

BRIEF: Final = 0.01
"""Seconds that a call may take on the event loop, and a tick or two of the engine's clock more."""

_UNFINISHED: Final = Failure(Reason.INTERNAL, "the host failed while it called the guest")


class Keeper(Protocol):
    """Who takes leases back."""

    def give_back(self, lease: "PoolLease", end: "End") -> None:
        """A lease is over."""


@dataclass(slots=True)
class End:
    """How a lease ended. `failure` where the instance is spoilt; `seconds` is None where it was not called.

    Seconds are of CPU: what a call waits for others says nothing of the guest. `acts` tells that the guest did, or
    would have done, what others see.
    """

    failure: Failure | None = None
    seconds: float | None = None
    brief: bool = False
    bad: bool = False
    acts: bool = False
    cut: bool = False
    """It was cut short and is made once more: it does not count."""


class PoolLease:
    """A Lease on an instance of a pool. `chain` and `depth` tell which calls led to it."""

    __slots__ = ("_acts", "_ended", "_keeper", "_seconds", "chain", "depth", "inline", "pool", "slot")

    def __init__(self, keeper: Keeper, pool: Pool, slot: Slot, chain: Chain, depth: int) -> None:
        self._keeper = keeper
        self._ended = False
        self._seconds = 0.0
        self._acts = False
        self.pool = pool
        self.slot = slot
        self.chain = chain
        self.depth = depth
        self.inline = pool.inline

    @property
    def plugin(self) -> str:
        """The plugin's name."""
        return self.pool.plugin

    @property
    def revision(self) -> str:
        """The revision that answers."""
        return self.pool.revision

    def call(self, request: Request, deadline: float | None = None) -> Response:
        """Run the guest on this thread, within its timeout and `deadline` (monotonic seconds). Raises GuestFailed."""
        return self._run(partial(self.slot.instance.handle, request), deadline, request.request_id)

    @property
    def streams(self) -> bool:
        """Whether `stream` can be called instead of `call`."""
        return self.pool.streams

    def stream(self, request: Request, flow: Flow) -> Response | None:
        """Run the guest on this thread while bodies flow; see Streaming. Raises GuestFailed."""
        guest = self.slot.instance
        assert isinstance(guest, Streaming)
        self.inline = False
        return self._run(lambda call: guest.stream(request, call, flow), None, request.request_id)

    def begin(self, request: Request, deadline: float) -> Request | Response:
        """The request phase of a filter; what Filter.begin says. A filter that let the request go on stays leased.

        Raises GuestFailed.
        """
        answer = self._pass(lambda guest, call: guest.begin(request, call), deadline, request.request_id)
        if isinstance(answer, Response):
            self._end(None, bad=False)
        return answer

    def finish(self, response: Response, deadline: float) -> Response:
        """The response phase of a filter; then it goes back. Raises GuestFailed."""
        answer = self._pass(lambda guest, call: guest.finish(response, call), deadline, "")
        self._end(None, bad=False)
        return answer

    def drop(self) -> None:
        """Tell a filter that there is no answer; then it goes back."""
        with contextlib.suppress(GuestFailed):  # the instance is spent then, and that shows
            self._pass(lambda guest, call: guest.drop(call), None, "")
            self._end(None, bad=False)

    def _pass(self, phase: Callable[[Filter, CallContext], Answer], deadline: float | None, request_id: str) -> Answer:
        """One phase of a filter, within its timeout. Only one that fails gives the instance back."""
        guest = self.slot.instance
        assert isinstance(guest, Filter)
        began = time.thread_time()
        context = CallContext(self._until(deadline), self, request_id)
        failure: Failure | None = _UNFINISHED
        whole = False
        try:
            answer = phase(guest, context)
            whole = True
            return answer
        except GuestFailed as failed:
            failure = failed.failure if failed.fatal else None
            raise
        finally:
            self._seconds += time.thread_time() - began
            self._acts = self._acts or context.acts
            if not whole:
                self._end(failure, bad=True)

    def _end(self, failure: Failure | None, *, bad: bool) -> None:
        """The end of a filter's phases."""
        self._give_back(End(failure, self._seconds, bad=bad, acts=self._acts))

    def _until(self, deadline: float | None) -> float:
        until = time.monotonic() + self.pool.spec.limits.timeout
        return until if deadline is None else min(until, deadline)

    def tick(self) -> None:
        """Let the guest do its timer work on this thread, within its timeout. Raises GuestFailed."""
        self._run(self.slot.instance.tick, None, "", timer=True)

    def _run(
        self,
        guest: Callable[[CallContext], Answer],
        deadline: float | None,
        request_id: str,
        *,
        timer: bool = False,
    ) -> Answer:
        """Whatever happens in the guest, the instance goes back, spoilt or not."""
        began = time.thread_time()
        context = CallContext(self._until(deadline), self, request_id)
        end = End(_UNFINISHED, bad=True)
        try:
            answer = guest(context)
            end.failure, end.bad = None, False
            return answer
        except GuestFailed as failed:
            end.failure = failed.failure if failed.fatal else None
            raise
        finally:
            end.seconds = time.thread_time() - began
            end.acts = context.acts and not timer  # timers never run on the event loop
            self._give_back(end)

    def call_briefly(self, request: Request) -> Response:
        """Run the guest on the event loop. Raises GuestFailed; CutShort where it lasts or would act on others."""
        began = time.monotonic()
        clock = self.pool.loop_clock
        clock.begin(began)
        context = CallContext(began + BRIEF, self, request.request_id, brief=True)
        end = End(_UNFINISHED, brief=True, bad=True)
        try:
            answer = self.slot.instance.handle(request, context)
            end.failure, end.bad = None, False
        except GuestFailed as failed:
            end.failure = failed.failure if failed.fatal else None
            end.cut = failed.failure.reason is Reason.DEADLINE_EXCEEDED
            if not (end.cut or context.acts):
                raise
        finally:
            end.cut = end.cut or context.acts
            took = time.monotonic() - began
            end.seconds = took if took <= LONG else min(took, clock.worked())
            if context.later is not None and not end.cut:
                for act in context.later:
                    act()
            self._give_back(end)
        if end.cut:
            raise CutShort
        return answer

    def cancel(self) -> None:
        """Give it back uncalled. Idempotent, and harmless after a call."""
        if not self._ended:
            self._give_back(End())

    def _give_back(self, end: End) -> None:
        self._ended = True
        self._keeper.give_back(self, end)


class ThreadWaiter:
    """A Waiter that blocks its thread."""

    def __init__(self, chain: Chain, depth: int) -> None:
        self.chain = chain
        self.depth = depth
        self._told = threading.Event()
        self._lease: Lease | None = None
        self._error: Unroutable | None = None

    def granted(self, lease: Lease) -> None:
        """An instance is there."""
        self._lease = lease
        self._told.set()

    def refused(self, error: Unroutable) -> None:
        """There will be none."""
        self._error = error
        self._told.set()

    def told_within(self, seconds: float) -> bool:
        """Block until told, at most so long."""
        return self._told.wait(max(0.0, seconds))

    def outcome(self) -> PoolLease:
        """Block for what was said. Raises Unroutable when refused."""
        self._told.wait()
        if self._error is not None:
            raise self._error
        assert isinstance(self._lease, PoolLease)
        return self._lease
