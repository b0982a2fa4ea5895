"""`wasi:http/types`: the request that came in, and the response that a guest makes for it."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from reconciler.wasm.ffi.values import Own
from reconciler.wasm.kind import Request, Response
from reconciler.wasm.wasi_http.bodies import IncomingBody, OutgoingBody, declared_length
from reconciler.wasm.wasi_http.fields import Fields
from reconciler.wasm.wasi_http.run import Resource, Run

_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"))
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_OK: Final = (True, None)
_REFUSED: Final = (False, None)


def method_case(method: str) -> tuple[str, str | None]:
    """A method as the variant that the interface has for it."""
    return (method.lower(), None) if method in _METHODS else ("other", method)


def method_name(case: tuple[str, str | None]) -> str | None:
    """The method that a variant means; None where it is no token."""
    name = case[0].upper() if case[0] != "other" else case[1] or ""
    return name if _TOKEN.fullmatch(name) else None


class IncomingRequest(Resource):
    """The request."""

    number = 5

    __slots__ = ("consumed", "request")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.consumed = False


class ResponseOutparam(Resource):
    """The right to answer, once."""

    number = 6

    __slots__ = ()


class OutgoingResponse(Resource):
    """The response under way."""

    number = 7

    __slots__ = ("body", "headers", "status")

    def __init__(self, headers: Fields) -> None:
        self.status = 200
        self.headers = headers
        self.body: OutgoingBody | None = None


# ---- incoming-request


def _method(run: Run, rep: int) -> tuple[str, str | None]:
    return method_case(run.get(rep, IncomingRequest).request.method)


def _path(run: Run, rep: int) -> str:
    request = run.get(rep, IncomingRequest).request
    return f"{request.path}?{request.query}" if request.query else request.path


def _scheme(run: Run, rep: int) -> tuple[str, None]:
    return ("HTTPS" if run.get(rep, IncomingRequest).request.scheme == "https" else "HTTP"), None


def _authority(run: Run, rep: int) -> str | None:
    return run.get(rep, IncomingRequest).request.authority or None


def _headers(run: Run, rep: int) -> Own:
    return run.give(Fields.received(run.get(rep, IncomingRequest).request.headers))


def _consume(run: Run, rep: int) -> tuple[bool, Any]:
    incoming = run.get(rep, IncomingRequest)
    if incoming.consumed:
        return _REFUSED
    incoming.consumed = True
    given = incoming.request.trailers
    body = IncomingBody(None, Fields.received(given) if given else None)
    if run.flow is not None and run.flow.request >= 0:
        body.flow = run.flow
    return True, run.give(body)


# ---- outgoing-response, response-outparam


def _new_response(run: Run, headers: int) -> Own:
    fields = run.take(headers, Fields)
    return run.give(OutgoingResponse(Fields(fields.entries, mutable=False)))


def _status(run: Run, rep: int) -> int:
    return run.get(rep, OutgoingResponse).status


def _set_status(run: Run, rep: int, status: int) -> tuple[bool, Any]:
    if not 100 <= status <= 999:
        return _REFUSED
    run.get(rep, OutgoingResponse).status = status
    return _OK


def _response_headers(run: Run, rep: int) -> Own:
    return run.give(run.get(rep, OutgoingResponse).headers)


def _response_body(run: Run, rep: int) -> tuple[bool, Any]:
    response = run.get(rep, OutgoingResponse)
    if response.body is not None:
        return _REFUSED
    spool = run.flow or run.streams.response
    response.body = OutgoingBody(spool, declared_length(response.headers), "HTTP-response-body-size")
    return True, run.give(response.body)


def _set(run: Run, rep: int, result: tuple[bool, Any]) -> None:
    run.take(rep, ResponseOutparam)
    good, value = result
    if good:
        run.answer = answer = run.take(value, OutgoingResponse)
        if run.flow is not None:
            if answer.body is None:
                run.flow.finished(0, [])
            run.flow.answered(Response(answer.status, answer.headers.headers()))
        return
    name, payload = value
    run.error = f"{name}: {payload}" if payload else name


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "[method]incoming-request.method": _method,
    "[method]incoming-request.path-with-query": _path,
    "[method]incoming-request.scheme": _scheme,
    "[method]incoming-request.authority": _authority,
    "[method]incoming-request.headers": _headers,
    "[method]incoming-request.consume": _consume,
    "[constructor]outgoing-response": _new_response,
    "[method]outgoing-response.status-code": _status,
    "[method]outgoing-response.set-status-code": _set_status,
    "[method]outgoing-response.headers": _response_headers,
    "[method]outgoing-response.body": _response_body,
    "[static]response-outparam.set": _set,
}
"""By their names in the interface; each takes the run first."""
