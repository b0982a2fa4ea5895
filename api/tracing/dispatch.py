"""Around the pool host: a span for each request that gets an instance, with its wait for that inside."""

import time
from collections.abc import Callable
from typing import TypeVar

from api.tracing.tracer import TRACEPARENT, Tracer
from reconciler.host.invoke import CutShort, Dispatcher, Lease, RouteLimits, Unroutable, Waiter
from reconciler.wasm.flow import Flow
from reconciler.wasm.kind import GuestFailed, Request, Response

Answer = TypeVar("Answer", Response, Response | None)


class TracedDispatcher:
    """A Dispatcher that traces what another one does."""

    def __init__(self, dispatcher: Dispatcher, tracer: Tracer) -> None:
        self._dispatcher = dispatcher
        self._tracer = tracer
        self._waiting: dict[Waiter, _TracedWaiter] = {}

    def limits(self, route: str) -> RouteLimits:
        """The bounds of a route. Raises RouteUnknown."""
        return self._dispatcher.limits(route)

    def acquire(self, route: str, waiter: Waiter) -> Lease | None:
        """An idle instance now; or None, and the waiter is queued. Raises Unroutable."""
        traced = _TracedWaiter(waiter, self)
        self._waiting[waiter] = traced
        try:
            lease = self._dispatcher.acquire(route, traced)
        except Unroutable:
            self.forget(waiter)
            raise
        if lease is None:
            return None
        self.forget(waiter)
        return self.traced(lease, traced.began, 0.0)

    def abandon(self, route: str, waiter: Waiter) -> bool:
        """Leave the queue. False if told already, or about to be."""
        traced = self._waiting.get(waiter)
        return traced is not None and self._dispatcher.abandon(route, traced) and self.forget(waiter)

    def forget(self, waiter: Waiter) -> bool:
        """The waiter waits no more."""
        self._waiting.pop(waiter, None)
        return True

    def traced(self, lease: Lease, began: float, waited: float) -> "TracedLease":
        """A lease that was asked for at `began` (epoch seconds) and came after `waited` seconds."""
        return TracedLease(lease, self._tracer, began, waited)


class _TracedWaiter:
    """Passes on what a waiter is told."""

    def __init__(self, waiter: Waiter, dispatcher: TracedDispatcher) -> None:
        self._waiter = waiter
        self._dispatcher = dispatcher
        self.began = time.time()

    def granted(self, lease: Lease) -> None:
        """An instance is there."""
        self._dispatcher.forget(self._waiter)
        self._waiter.granted(self._dispatcher.traced(lease, self.began, time.time() - self.began))

    def refused(self, error: Unroutable) -> None:
        """There will be none."""
        self._dispatcher.forget(self._waiter)
        self._waiter.refused(error)


class TracedLease:
    """A Lease whose call is a span."""

    def __init__(self, lease: Lease, tracer: Tracer, began: float, waited: float) -> None:
        self._lease = lease
        self._tracer = tracer
        self._began = began
        self._waited = waited

    @property
    def plugin(self) -> str:
        """The plugin's name."""
        return self._lease.plugin

    @property
    def revision(self) -> str:
        """The revision that answers."""
        return self._lease.revision

    @property
    def inline(self) -> bool:
        """Whether it may run on the event loop."""
        return self._lease.inline

    @property
    def streams(self) -> bool:
        """Whether bodies may flow."""
        return self._lease.streams

    def call(self, request: Request) -> Response:
        """Run the guest. Raises GuestFailed, Unroutable."""
        return self._traced(request, lambda: self._lease.call(request))

    def call_briefly(self, request: Request) -> Response:
        """Run the guest on the event loop. Raises GuestFailed, CutShort."""
        return self._traced(request, lambda: self._lease.call_briefly(request))

    def stream(self, request: Request, flow: Flow) -> Response | None:
        """Run the guest while bodies flow. Raises GuestFailed."""
        return self._traced(request, lambda: self._lease.stream(request, flow))

    def _traced(self, request: Request, call: Callable[[], Answer]) -> Answer:
        parent = next((value for name, value in request.headers if name == TRACEPARENT), "")
        name = f"{request.method} {request.route}"
        with self._tracer.span(name, parent=parent, server=True, began=self._began) as span:
            span.set("http.request.method", request.method)
            span.set("url.path", request.path)
            span.set("wasm_reconciler.route", request.route)
            span.set("wasm_reconciler.request_id", request.request_id)
            if self._waited:
                self._tracer.past("queue wait", self._began, self._began + self._waited)
            try:
                response = call()
            except (GuestFailed, Unroutable) as failed:
                span.fail(str(failed))
                raise
            except CutShort:
                span.fail("cut short on the event loop; made once more on a thread")
                raise
            if response is not None:
                span.set("http.response.status_code", response.status)
            return response

    def cancel(self) -> None:
        """Give it back uncalled."""
        self._lease.cancel()
