"""One request's way, whatever the protocol: lease an instance, wait for one if need be, call it, answer.

    begin -> (lease at once | wait -> granted) -> (call on the loop | on a guest thread | in another worker) -> answer
    call on the loop, cut short -> begin, now for a call on a guest thread
    begin, wait -> refused, or waited too long -> error answer
    anywhere -> cancel: the client went away, nobody is answered

Belongs here: what happens to a request between "read" and "answer". Does not: bytes, connections, header rules.
Everything but the Waiter methods and the call on a guest thread runs on the loop's thread.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Protocol

from api.dataplane import answers
from api.dataplane.answers import Answer
from api.dataplane.inflow import Inflow
from api.dataplane.mailbox import Mailbox
from api.dataplane.pump import FlowSink, Pump
from api.dataplane.seeking import RemoteLease
from api.dataplane.threads import GuestThreads
from reconciler.host.invoke import CutShort, Dispatcher, Lease, RouteUnknown, Unroutable
from reconciler.wasm.kind import GuestFailed, Request, Response

CLIENT_GONE = 499
"""The status that an observer is told for a request whose client left before the answer."""


class Observer(Protocol):
    """Who counts requests. Called on the loop's thread; must be quick."""

    def request(
        self, route: str, plugin: str, status: int, seconds: float, waited_seconds: float, on_loop: bool = False
    ) -> None:
        """A request ended; `on_loop`: its guest ran on the event loop.

        `route` is empty where there is none such, so that clients cannot invent label values.
        """


class NoObserver:
    """Counts nothing."""

    def request(
        self, route: str, plugin: str, status: int, seconds: float, waited_seconds: float, on_loop: bool = False
    ) -> None:
        """Forget it."""


class Sink(FlowSink, Protocol):
    """Where an answer goes: a connection, or a stream of one."""

    def answer(self, answer: Answer) -> None:
        """Take the answer of the request that was begun. Called once, on the loop's thread; never after `cancel`."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """What all exchanges share."""

    dispatcher: Dispatcher
    loop: asyncio.AbstractEventLoop
    mailbox: Mailbox
    threads: GuestThreads
    observer: Observer


class Exchange:
    """One request on its way. It is the Waiter that the pools tell of an instance."""

    __slots__ = (
        "_began",
        "_gateway",
        "_inflow",
        "_lasts",
        "_on_loop",
        "_over",
        "_plugin",
        "_request",
        "_sink",
        "_timer",
        "_waited",
        "pump",
        "waiting",
    )

    def __init__(self, gateway: Gateway, request: Request, sink: Sink, inflow: Inflow | None = None) -> None:
        self._gateway = gateway
        self._request = request
        self._sink = sink
        self._timer: asyncio.TimerHandle | None = None
        self._began = perf_counter()
        self._waited = 0.0
        self._plugin = ""
        self._over = False
        self._lasts = self._on_loop = False
        self._inflow = inflow
        self.pump: Pump | None = None
        """There where the bodies may flow."""
        self.waiting = False

    def begin(self) -> None:
        """Find an instance. The answer may be given before this returns."""
        try:
            lease = self._gateway.dispatcher.acquire(self._request.route, self)
        except Unroutable as reason:
            self._refuse(reason)
            return
        if lease is None:
            self._wait()
        else:
            self._call(lease)

    def cancel(self) -> None:
        """The client is gone: leave the queue; what a running guest answers is dropped. Idempotent."""
        if self._over:
            return
        self._stop_waiting(abandon=self.waiting)
        if self.pump is not None:
            self.pump.cancel()
        self._end(CLIENT_GONE)

    def break_off(self, refusal: Answer) -> None:
        """The request's body, which came while it was under way, will not be whole."""
        if self.pump is not None:
            self.pump.break_off(refusal)
        elif not self._over:
            self._stop_waiting(abandon=self.waiting)
            self._finish(refusal)

    def granted(self, lease: Lease) -> None:
        """An instance is there (Waiter; any thread)."""
        self._gateway.mailbox.post(self._on_granted, lease)

    def refused(self, error: Unroutable) -> None:
        """There will be none (Waiter; any thread)."""
        self._gateway.mailbox.post(self._on_refused, error)

    def _wait(self) -> None:
        self.waiting = True
        dispatcher, route = self._gateway.dispatcher, self._request.route
        try:
            patience = dispatcher.limits(route).queue_timeout
        except RouteUnknown as reason:  # it went away since we queued
            dispatcher.abandon(route, self)
            self._refuse(reason)
            return
        self._timer = self._gateway.loop.call_later(patience, self._on_waited_too_long, patience)

    def _stop_waiting(self, *, abandon: bool) -> None:
        if self.waiting:
            self.waiting = False
            self._waited = perf_counter() - self._began
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if abandon:
            self._gateway.dispatcher.abandon(self._request.route, self)

    def _on_granted(self, lease: Lease) -> None:
        if self._over:
            lease.cancel()
            return
        self._stop_waiting(abandon=False)
        self._call(lease)

    def _on_refused(self, reason: Unroutable) -> None:
        if not self._over:
            self._stop_waiting(abandon=False)
            self._refuse(reason)

    def _on_waited_too_long(self, patience: float) -> None:
        self._stop_waiting(abandon=True)
        route = self._request.route
        self._finish(
            answers.error(503, f"no instance of route {route!r} was free within {patience:g} s", retry_after=1)
        )

    def _refuse(self, reason: Unroutable) -> None:
        self._finish(answers.unroutable(reason), known_route=not isinstance(reason, RouteUnknown))

    def _call(self, lease: Lease) -> None:
        self._plugin = lease.plugin
        if lease.inline and not self._lasts and self._inflow is None:
            self._call_here(lease)
        elif lease.streams or self._inflow is not None:
            self._flow(lease)
        elif isinstance(lease, RemoteLease):
            lease.send(self._request, self)
        elif not self._gateway.threads.run(partial(self._call_on_thread, lease)):
            lease.cancel()
            self._finish(answers.error(503, "no thread is free to run the guest", retry_after=1, plugin=lease.plugin))

    def _call_here(self, lease: Lease) -> None:
        answer = answers.INTERNAL
        self._on_loop = True
        try:
            answer = _answer_of(lease, lease.call_briefly, self._request)
        except CutShort:
            self._lasts, self._on_loop = True, False
        finally:  # a fault of ours is answered too, and then goes on to the loop's handler, which logs it
            if not self._lasts:
                self._finish(answer)
        if self._lasts:
            self.begin()

    def _flow(self, lease: Lease) -> None:
        gateway, busy = self._gateway, "no thread is free to run the guest"
        if not lease.streams:
            busy = f"the route {self._request.route!r} changed while the body came"
        else:
            try:
                self.pump = Pump(
                    gateway.loop, gateway.mailbox, self._sink, self._inflow, answer=self._finish, ended=self._flowed
                )
                if self.pump.start(lease, self._request, gateway.threads):
                    return
            except OSError as error:
                busy = f"no pipe is free for the guest: {error.strerror}"
        lease.cancel()
        self._finish(answers.error(503, busy, retry_after=1, plugin=lease.plugin))

    def _flowed(self, status: int) -> None:
        """An answer that flowed has ended."""
        if not self._over:
            self._end(status)

    def answered(self, response: Response, plugin: str) -> None:
        """Another worker's guest answered (Caller)."""
        self._plugin = plugin
        self._finish(answers.guest_answered(plugin, response))

    def failed(self, failure: GuestFailed | Unroutable, plugin: str) -> None:
        """It did not (Caller)."""
        self._plugin = plugin or self._plugin  # one that is gone says no names
        if isinstance(failure, GuestFailed):
            self._finish(answers.guest_failed(self._plugin, failure.failure))
        else:
            self._finish(answers.unroutable(failure))

    def _call_on_thread(self, lease: Lease) -> None:
        answer = answers.INTERNAL
        try:
            answer = _answer_of(lease, lease.call, self._request)
            self._plugin = lease.plugin
        finally:
            self._gateway.mailbox.post(self._finish, answer)

    def _finish(self, answer: Answer, known_route: bool = True) -> None:
        if self._over:
            return
        self._end(answer.status, known_route)
        self._sink.answer(answer)

    def _end(self, status: int, known_route: bool = True) -> None:
        self._over = True
        route = self._request.route if known_route else ""
        seconds = perf_counter() - self._began
        self._gateway.observer.request(route, self._plugin, status, seconds, self._waited, self._on_loop)


def _answer_of(lease: Lease, call: Callable[[Request], Response], request: Request) -> Answer:
    """`lease.plugin` is read afterwards: what answers behind filters is known only then."""
    try:
        response = call(request)
    except GuestFailed as failed:
        return answers.guest_failed(lease.plugin, failed.failure)
    except Unroutable as reason:
        return answers.unroutable(reason)
    return answers.guest_answered(lease.plugin, response)
