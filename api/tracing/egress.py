"""Around the HTTP client: a span for each call that a guest makes, and the header that hands the trace on."""

from dataclasses import replace

from api.tracing.tracer import TRACEPARENT, Tracer
from reconciler.wasm.egress import EgressError, EgressRequest, EgressResponse, HttpClient, Policy


class TracedClient:
    """An HttpClient that traces another one's calls."""

    def __init__(self, client: HttpClient, tracer: Tracer) -> None:
        self._client = client
        self._tracer = tracer

    def send(self, request: EgressRequest, policy: Policy, deadline: float) -> EgressResponse:
        """The answer. Raises EgressError."""
        parent = next((value for name, value in request.headers if name.lower() == TRACEPARENT), "")
        with self._tracer.span(f"{request.method} {request.host}", parent=parent) as span:
            span.set("http.request.method", request.method)
            span.set("server.address", request.host)
            span.set("server.port", request.port)
            fields = tuple(pair for pair in request.headers if pair[0].lower() != TRACEPARENT)
            traced = replace(request, headers=(*fields, (TRACEPARENT, span.traceparent)))
            try:
                response = self._client.send(traced, policy, deadline)
            except EgressError as error:
                span.fail(str(error))
                raise
            span.set("http.response.status_code", response.status)
            return response
