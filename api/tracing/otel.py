"""The tracer that sends spans to an OpenTelemetry collector, by OTLP over HTTP.

Where to, and all else about sending, is read from the environment by OpenTelemetry's own names
(OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_HEADERS, OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME and so on).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from api.tracing.tracer import TRACEPARENT, Span

_SCALE: Final = 1_000_000_000


class OtelSpan:
    """A Span."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    @property
    def traceparent(self) -> str:
        """The header's value."""
        context = self._span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def set(self, name: str, value: str | int | float) -> None:
        """Say something of it."""
        self._span.set_attribute(name, value)

    def fail(self, message: str) -> None:
        """It went wrong."""
        self._span.set_status(StatusCode.ERROR, message)


class OtelTracer:
    """A Tracer. `close` sends what is left."""

    def __init__(self, version: str) -> None:
        # What the environment says of the service wins over this.
        ours = Resource({"service.name": "wasm-reconciler", "service.version": version})
        self._provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()))
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("wasm-reconciler", version)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(self, name: str, *, parent: str = "", server: bool = False, began: float | None = None) -> Iterator[Span]:
        """A span for as long as the block lasts."""
        context: Context | None = None
        if parent and not trace.get_current_span().get_span_context().is_valid:
            context = self._propagator.extract({TRACEPARENT: parent})
        kind = SpanKind.SERVER if server else SpanKind.INTERNAL
        start = None if began is None else int(began * _SCALE)
        span = self._tracer.start_span(name, context, kind, start_time=start)
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            yield OtelSpan(span)

    def past(self, name: str, began: float, ended: float) -> None:
        """A span that is over."""
        span = self._tracer.start_span(name, start_time=int(began * _SCALE))
        span.end(int(ended * _SCALE))

    def trace_id(self) -> str:
        """The id of this thread's trace."""
        context = trace.get_current_span().get_span_context()
        return f"{context.trace_id:032x}" if context.is_valid else ""

    def close(self) -> None:
        """Send what is left, and end. Idempotent."""
        self._provider.shutdown()
