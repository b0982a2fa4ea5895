"""Around guest kinds: a span for each call of a guest, and for each call that a guest makes of another plugin."""

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from api.tracing.tracer import TRACEPARENT, Tracer
from reconciler.core.observed import GuestInfo
from reconciler.core.revision import InstanceSpec
from reconciler.wasm.flow import Flow, Streaming
from reconciler.wasm.kind import (
    CallContext,
    CompiledModule,
    Filter,
    GuestFailed,
    GuestKind,
    GuestServices,
    Instance,
    KeyValueStore,
    ModuleShape,
    PreparedGuest,
    Request,
    Response,
)

Answer = TypeVar("Answer", Response, Response | None)
Passed = TypeVar("Passed")
Choose = Callable[[ModuleShape, str], GuestKind]


def traced_kinds(choose: Choose, tracer: Tracer) -> Choose:
    """The same choice, of kinds whose guests are traced."""
    return lambda shape, abi: TracedKind(choose(shape, abi), tracer)


class TracedKind:
    """A GuestKind that traces another one's guests."""

    def __init__(self, kind: GuestKind, tracer: Tracer) -> None:
        self._kind = kind
        self._tracer = tracer
        self.name = kind.name

    def recognise(self, shape: ModuleShape) -> bool:
        """Whether the module is of this kind."""
        return self._kind.recognise(shape)

    def prepare(self, module: CompiledModule, spec: InstanceSpec, services: GuestServices) -> PreparedGuest:
        """Link the module. Raises ModuleRefused."""
        prepared = self._kind.prepare(module, spec, _TracedServices(services, self._tracer))
        return _TracedPrepared(prepared, spec.plugin, self._tracer)


class _TracedServices:
    """GuestServices whose calls of other plugins are spans."""

    def __init__(self, services: GuestServices, tracer: Tracer) -> None:
        self._services = services
        self._tracer = tracer

    def log_level(self) -> int:
        """See GuestServices."""
        return self._services.log_level()

    def log(self, level: int, message: str, request_id: str = "") -> None:
        self._services.log(level, message, request_id)

    def store(self, name: str) -> KeyValueStore | None:
        return self._services.store(name)

    def invoke(self, request: Request, call: CallContext) -> Response:
        with self._tracer.span(f"invoke {request.route}", parent=call.trace) as span:
            span.set("wasm_reconciler.route", request.route)
            try:
                return self._services.invoke(_with_parent(request, span.traceparent), call)
            except GuestFailed as failed:
                span.fail(str(failed))
                raise


class _TracedPrepared:
    """A PreparedGuest whose instances are traced."""

    def __init__(self, prepared: PreparedGuest, plugin: str, tracer: Tracer) -> None:
        self._prepared = prepared
        self._plugin = plugin
        self._tracer = tracer

    @property
    def info(self) -> GuestInfo:
        return self._prepared.info

    def start(self) -> Instance:
        instance = self._prepared.start()
        if isinstance(instance, Filter):
            return _TracedFilter(instance, instance, self._plugin, self._tracer)
        if isinstance(instance, Streaming):
            return _TracedStreaming(instance, instance, self._plugin, self._tracer)
        return _TracedInstance(instance, self._plugin, self._tracer)

    def close(self) -> None:
        self._prepared.close()


class _TracedInstance:
    """An Instance whose calls are spans. The guest sees its own span in the request's header."""

    def __init__(self, instance: Instance, plugin: str, tracer: Tracer) -> None:
        self._instance = instance
        self._plugin = plugin
        self._tracer = tracer

    @property
    def tick_period(self) -> float | None:
        return self._instance.tick_period

    def tick(self, call: CallContext) -> None:
        self._instance.tick(call)

    def handle(self, request: Request, call: CallContext) -> Response:
        return self._traced(request, call, lambda request: self._instance.handle(request, call))

    def _traced(self, request: Request, call: CallContext, run: Callable[[Request], Answer]) -> Answer:
        with self._tracer.span(f"guest {self._plugin}") as span:
            span.set("wasm_reconciler.plugin", self._plugin)
            call.trace = span.traceparent
            try:
                response = run(_with_parent(request, span.traceparent))
            except GuestFailed as failed:
                span.fail(str(failed))
                raise
            if response is not None:
                span.set("http.response.status_code", response.status)
            return response

    def close(self) -> None:
        self._instance.close()


class _TracedStreaming(_TracedInstance):
    """An instance whose bodies may flow; the span lasts as long as the guest runs."""

    def __init__(self, instance: Instance, streams: Streaming, plugin: str, tracer: Tracer) -> None:
        super().__init__(instance, plugin, tracer)
        self._streams = streams

    def stream(self, request: Request, call: CallContext, flow: Flow) -> Response | None:
        return self._traced(request, call, lambda request: self._streams.stream(request, call, flow))


class _TracedFilter(_TracedInstance):
    """A Filter whose two phases are spans. What stands behind it sees the span around both."""

    def __init__(self, instance: Instance, passed: Filter, plugin: str, tracer: Tracer) -> None:
        super().__init__(instance, plugin, tracer)
        self._filter = passed

    def begin(self, request: Request, call: CallContext) -> Request | Response:
        return self._phase("request", call, lambda: self._filter.begin(request, call))

    def finish(self, response: Response, call: CallContext) -> Response:
        return self._phase("response", call, lambda: self._filter.finish(response, call))

    def drop(self, call: CallContext) -> None:
        self._filter.drop(call)

    def _phase(self, name: str, call: CallContext, run: Callable[[], Passed]) -> Passed:
        with self._tracer.span(f"filter {self._plugin} {name}") as span:
            span.set("wasm_reconciler.plugin", self._plugin)
            call.trace = span.traceparent
            try:
                return run()
            except GuestFailed as failed:
                span.fail(str(failed))
                raise


def _with_parent(request: Request, traceparent: str) -> Request:
    headers = [pair for pair in request.headers if pair[0] != TRACEPARENT]
    return replace(request, headers=[*headers, (TRACEPARENT, traceparent)])
