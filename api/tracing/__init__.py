"""Traces: what one request (or one pass) caused, as spans that are sent to an OpenTelemetry collector.

    tracer      the protocol: a span around something, and where it belongs
    dispatch    around the pool host: the request as a whole, its wait for an instance
    guests      around guest kinds: the guest's call, calls of other plugins
    egress      around the HTTP client: calls that guests make
    passes      around the reconcile loop: each pass
    log_ids     the trace's id in log lines
    otel        the tracer that sends; the only importer of opentelemetry, loaded only where traces are wanted

Each is a wrapper at a seam that is there anyway, put in place by the composition root. Where traces are not wanted,
nothing is wrapped, so that they cost nothing. Does not belong here: deciding anything.
"""
