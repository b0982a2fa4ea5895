"""The trace's id in log lines, so that one can go from a line to its trace."""

import logging

from api.tracing.tracer import Tracer


class TraceIds(logging.Filter):
    """Adds `trace_id` to records that are made while a thread has a span. Lets every record pass."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__()
        self._tracer = tracer

    def filter(self, record: logging.LogRecord) -> bool:
        """Add it."""
        trace_id = self._tracer.trace_id()
        if trace_id:
            record.trace_id = trace_id
        return True
