"""Puts tracing in place around the daemon's parts, or leaves them as they are. For the composition root."""

import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from api.tracing.dispatch import TracedDispatcher
from api.tracing.egress import TracedClient
from api.tracing.guests import Choose, traced_kinds
from api.tracing.log_ids import TraceIds
from api.tracing.passes import TracedPasses
from api.tracing.tracer import Tracer
from reconciler.control.observer import LoopObserver
from reconciler.host.invoke import Dispatcher
from reconciler.wasm.egress import HttpClient

_SENDER: Final = "api.tracing.otel"


class TracingUnavailable(Exception):
    """Traces are wanted and cannot be sent. `str()` says what to install."""


class Tracing:
    """What to wrap parts in. Without a tracer every part is returned as it is."""

    def __init__(self, tracer: Tracer | None = None, close: Callable[[], None] = lambda: None) -> None:
        self._tracer = tracer
        self._close = close

    def dispatcher(self, dispatcher: Dispatcher) -> Dispatcher:
        """Where the data plane's requests go."""
        return dispatcher if self._tracer is None else TracedDispatcher(dispatcher, self._tracer)

    def kinds(self, choose: Choose) -> Choose:
        """How guest kinds are chosen."""
        return choose if self._tracer is None else traced_kinds(choose, self._tracer)

    def client(self, client: HttpClient) -> HttpClient:
        """What makes the calls of guests."""
        return client if self._tracer is None else TracedClient(client, self._tracer)

    def passes(self, observer: LoopObserver) -> LoopObserver:
        """Who is told of passes."""
        return observer if self._tracer is None else TracedPasses(observer, self._tracer)

    def logs(self, *handlers: logging.Handler) -> None:
        """Have the trace's id in what these write."""
        if self._tracer is not None:
            for handler in handlers:
                handler.addFilter(TraceIds(self._tracer))

    def close(self) -> None:
        """Send what is left. Idempotent."""
        self._close()


def tracing(wanted: bool, version: str) -> Tracing:
    """Tracing that sends to where the environment says, or none. Raises TracingUnavailable."""
    if not wanted:
        return Tracing()
    # Loaded by name and only when wanted: an import at the top would make OpenTelemetry a dependency of everybody.
    try:
        module: Any = import_module(_SENDER)
    except ImportError as error:
        raise TracingUnavailable(
            f"--traces needs OpenTelemetry ({error}): pip install 'wasm-reconciler[otel]'"
        ) from error
    tracer = module.OtelTracer(version)
    return Tracing(tracer, tracer.close)
