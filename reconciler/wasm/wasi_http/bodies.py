"""`wasi:http/types` bodies: what a guest reads and writes, as streams of the engine."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from reconciler.wasm.ffi.values import Foreign, Own
from reconciler.wasm.flow import Flow
from reconciler.wasm.wasi_http.fields import Fields
from reconciler.wasm.wasi_http.run import Resource, Run
from reconciler.wasm.wasi_http.streams import Spool

_REFUSED: Final = (False, None)
_CUT: Final = (False, ("connection-terminated", None))
_LOOK_AGAIN: Final = 5_000_000
"""Nanoseconds until a guest that waits for trailers looks again."""


class IncomingBody(Resource):
    """A body that came in, and the trailers after it. `data` None means the request's own, which may still `flow`."""

    number = 2

    __slots__ = ("data", "flow", "streamed", "trailers")

    def __init__(self, data: bytes | None, trailers: Fields | None) -> None:
        self.data = data
        self.flow: Flow | None = None
        self.trailers = trailers
        self.streamed = False


class FutureTrailers(Resource):
    """The trailers of a body: known at once, or when a body that flows is over; told once."""

    number = 3

    __slots__ = ("flow", "told", "trailers")

    def __init__(self, trailers: Fields | None, flow: Flow | None) -> None:
        self.trailers = trailers
        self.flow = flow
        self.told = False

    @property
    def pending(self) -> bool:
        """Whether they are not known yet."""
        return self.flow is not None and self.flow.trailers is None and self.flow.stopped is None

    def get(self) -> tuple[bool, Any]:
        """The trailers, or none; or an error code where the body did not come whole."""
        if self.flow is None:
            return True, self.trailers
        given = self.flow.trailers
        if given is None:
            return _CUT
        return True, Fields.received(given) if given else None


class OutgoingBody(Resource):
    """A body that a guest writes to a memory file.

    `declared` is what its `content-length` said. `size` is set when the guest finished it: what it writes later, by a
    stream that it kept, is not part of it.
    """

    number = 4

    __slots__ = ("abandoned", "declared", "flaw", "size", "spool", "trailers", "writing")

    def __init__(self, spool: Spool | Flow, declared: int | None, flaw: str) -> None:
        self.spool = spool
        self.declared = declared
        self.flaw = flaw
        self.size: int | None = None
        self.trailers: Fields | None = None
        self.writing = False
        self.abandoned = False

    def dropped(self) -> None:
        """The guest let go of it without finishing it."""
        self.abandoned = True

    def data(self) -> bytes:
        """What was written until it was finished."""
        return self.spool.read(self.size or 0)


def declared_length(headers: Fields) -> int | None:
    """What `content-length` says; None where it says nothing, or nonsense."""
    values = headers.values("content-length")
    return int(values[0]) if values and values[0].isdigit() and len(values[0]) < 19 else None


def _stream(run: Run, rep: int) -> tuple[bool, Any]:
    body = run.get(rep, IncomingBody)
    if body.streamed:
        return _REFUSED
    body.streamed = True
    return True, run.streams.request() if body.data is None else run.streams.input(body.data)


def _finish_reading(run: Run, rep: int) -> Own:
    body = run.take(rep, IncomingBody)
    if body.flow is not None:
        body.flow.finish_reading()
    return run.give(FutureTrailers(body.trailers, body.flow))


def _subscribe_trailers(run: Run, rep: int) -> Foreign:
    return run.streams.wait(_LOOK_AGAIN if run.get(rep, FutureTrailers).pending else 0)


def _get_trailers(run: Run, rep: int) -> tuple[bool, Any] | None:
    future = run.get(rep, FutureTrailers)
    if future.pending:
        return None
    if future.told:
        return _REFUSED
    future.told = True
    good, found = future.get()
    return True, (True, run.give(found)) if isinstance(found, Fields) else (good, found)


def _write(run: Run, rep: int) -> tuple[bool, Any]:
    body = run.get(rep, OutgoingBody)
    if body.writing:
        return _REFUSED
    body.writing = True
    return True, run.streams.output(body.spool)


def _finish_writing(run: Run, rep: int, trailers: int | None) -> tuple[bool, Any]:
    body = run.take(rep, OutgoingBody)
    body.trailers = run.take(trailers, Fields) if trailers is not None else None
    size = body.spool.size() if body.writing else 0
    if body.declared is not None and size != body.declared:
        body.abandoned = True
        return False, (body.flaw, size)
    body.size = size
    if run.flow is not None and body.spool is run.flow:
        run.flow.finished(size, body.trailers.headers() if body.trailers is not None else [])
    return True, None


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "[method]incoming-body.stream": _stream,
    "[static]incoming-body.finish": _finish_reading,
    "[method]future-trailers.subscribe": _subscribe_trailers,
    "[method]future-trailers.get": _get_trailers,
    "[method]outgoing-body.write": _write,
    "[static]outgoing-body.finish": _finish_writing,
}
"""By their names in the interface; each takes the run first."""
