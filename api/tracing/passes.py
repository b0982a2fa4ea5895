"""Around the reconcile loop: a span for each pass."""

from contextlib import ExitStack

from api.tracing.tracer import Span, Tracer
from reconciler.control.observer import LoopObserver, PassResult


class TracedPasses:
    """A LoopObserver that makes spans, and passes on to another one."""

    def __init__(self, observer: LoopObserver, tracer: Tracer) -> None:
        self._observer = observer
        self._tracer = tracer
        self._open = ExitStack()
        self._span: Span | None = None

    def began(self, plugin: str, waited: float) -> None:
        """A pass begins."""
        self._observer.began(plugin, waited)
        self._span = self._open.enter_context(self._tracer.span(f"reconcile {plugin}"))
        self._span.set("wasm_reconciler.plugin", plugin)
        self._span.set("wasm_reconciler.queue_wait_seconds", waited)

    def ended(self, plugin: str, result: PassResult, seconds: float) -> None:
        """It ended."""
        if self._span is not None:
            self._span.set("wasm_reconciler.result", str(result))
            if result is PassResult.ERROR:
                self._span.fail("the pass raised what nobody expected; the log has the stack")
        self._open.close()
        self._observer.ended(plugin, result, seconds)
