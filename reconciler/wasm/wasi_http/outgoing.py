"""Requests that a component makes: `wasi:http/outgoing-handler` and its part of `wasi:http/types`.

A request goes out when its body is finished and the guest asks for the response, on the guest's own thread; a guest
that makes several waits for them one after the other. The hosts that it may name are those of its capabilities. The
host `ROUTE.plugin.internal` is another plugin of this node, by its route.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler.core.addresses import HostPolicy
from reconciler.wasm.egress import EgressDenied, EgressError, EgressRequest, HttpClient
from reconciler.wasm.ffi.values import Foreign, Own
from reconciler.wasm.kind import GuestFailed, Headers, Request
from reconciler.wasm.wasi_http.bodies import IncomingBody, OutgoingBody, declared_length
from reconciler.wasm.wasi_http.fields import Fields
from reconciler.wasm.wasi_http.messages import method_case, method_name
from reconciler.wasm.wasi_http.run import Resource, Run

PLUGIN_DOMAIN: Final = ".plugin.internal"
"""What follows a route in the name of a host that is a plugin of this node."""

_PORTS: Final = {"HTTP": 80, "HTTPS": 443}
_OK: Final = (True, None)
_REFUSED: Final = (False, None)
_MOST: Final = 1e9
"""Seconds; no timeout."""

ErrorCode = tuple[str, Any]


class OutgoingRequest(Resource):
    """A request under way."""

    number = 8

    __slots__ = ("authority", "body", "headers", "method", "path", "scheme")

    def __init__(self, headers: Fields) -> None:
        self.headers = headers
        self.method = "GET"
        self.path: str | None = None
        self.scheme: tuple[str, str | None] | None = None
        self.authority: str | None = None
        self.body: OutgoingBody | None = None


class RequestOptions(Resource):
    """How long a guest wants to wait, in nanoseconds by name."""

    number = 9

    __slots__ = ("times",)

    def __init__(self) -> None:
        self.times: dict[str, int | None] = {}

    @property
    def seconds(self) -> float:
        """How long the whole exchange may take: the client has one deadline for all of it."""
        given = [value / 1e9 for value in self.times.values() if value is not None]
        return sum(given) if len(given) == 3 else _MOST


class FutureResponse(Resource):
    """The response to a request: made when it is asked for, told once."""

    number = 10

    __slots__ = ("request", "told", "until")

    def __init__(self, request: OutgoingRequest, until: float) -> None:
        self.request = request
        self.until = until
        self.told = False


class IncomingResponse(Resource):
    """A response that came in."""

    number = 11

    __slots__ = ("body", "consumed", "headers", "status")

    def __init__(self, status: int, headers: Headers, body: bytes, trailers: Headers) -> None:
        self.status = status
        self.headers = headers
        self.body = IncomingBody(body, Fields.received(trailers) if trailers else None)
        self.consumed = False


@dataclass(frozen=True, slots=True)
class Egress:
    """What requests of components go through."""

    client: HttpClient
    policy: HostPolicy

    def exchange(self, run: Run, request: OutgoingRequest, until: float) -> IncomingResponse | ErrorCode:
        """Make a request, whose body is finished. The response, or the error code that says why there is none."""
        host, port = _place(request)
        data = request.body.data() if request.body is not None else b""
        trailers = request.body.trailers.headers() if request.body is not None and request.body.trailers else []
        if host.endswith(PLUGIN_DOMAIN):
            return _call_plugin(run, request, host.removesuffix(PLUGIN_DOMAIN), data)
        scheme = "https" if _scheme_name(request) == "HTTPS" else "http"
        headers = tuple(request.headers.headers())
        message = EgressRequest(request.method, scheme, host, port, request.path or "/", headers, data, tuple(trailers))
        try:
            answer = self.client.send(message, self.policy, min(until, run.call.deadline))
        except EgressDenied as error:
            run.services.log(3, f"http call to {host}: {error}", run.call.request_id)
            return "HTTP-request-denied", None
        except EgressError as error:
            run.services.log(3, f"http call to {host}: {error}", run.call.request_id)
            return _code(error, until)
        return IncomingResponse(answer.status, list(answer.headers), answer.body, list(answer.trailers))


def _code(error: EgressError, until: float) -> ErrorCode:
    if isinstance(error.__cause__, ConnectionRefusedError):
        return "connection-refused", None
    if isinstance(error.__cause__, OSError):
        return "connection-terminated", None
    return ("HTTP-response-timeout", None) if time.monotonic() >= until else ("internal-error", str(error))


def _call_plugin(run: Run, request: OutgoingRequest, route: str, body: bytes) -> IncomingResponse | ErrorCode:
    path, _, query = (request.path or "/").partition("?")
    message = Request(
        route=route,
        method=request.method,
        path=path,
        query=query,
        headers=request.headers.headers(),
        body=body,
        authority=request.authority or "",
        request_id=run.call.request_id,
    )
    try:
        answer = run.services.invoke(message, run.call)
    except GuestFailed as error:
        run.services.log(3, f"call of plugin {route}: {error}", run.call.request_id)
        return "internal-error", str(error)
    return IncomingResponse(answer.status, answer.headers, answer.body, [])


def _place(request: OutgoingRequest) -> tuple[str, int]:
    text = request.authority or ""
    host, colon, digits = text.rpartition(":")
    if not colon or not digits.isdecimal() or (":" in host and not host.endswith("]")):
        return text, _PORTS.get(_scheme_name(request), 80)
    return host, int(digits)


def _scheme_name(request: OutgoingRequest) -> str:
    return request.scheme[0] if request.scheme is not None else "HTTPS"


# ---- outgoing-request


def _new(run: Run, headers: int) -> Own:
    return run.give(OutgoingRequest(Fields(run.take(headers, Fields).entries, mutable=False)))


def _body(run: Run, rep: int) -> tuple[bool, Any]:
    request = run.get(rep, OutgoingRequest)
    if request.body is not None:
        return _REFUSED
    length = declared_length(request.headers)
    request.body = OutgoingBody(run.streams.spool(), length, "HTTP-request-body-size")
    return True, run.give(request.body)


def _method(run: Run, rep: int) -> tuple[str, str | None]:
    return method_case(run.get(rep, OutgoingRequest).method)


def _set_method(run: Run, rep: int, case: tuple[str, str | None]) -> tuple[bool, Any]:
    name = method_name(case)
    if name is None:
        return _REFUSED
    run.get(rep, OutgoingRequest).method = name
    return _OK


def _path(run: Run, rep: int) -> str | None:
    return run.get(rep, OutgoingRequest).path


def _set_path(run: Run, rep: int, path: str | None) -> tuple[bool, Any]:
    if path is not None and (not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path):
        return _REFUSED
    run.get(rep, OutgoingRequest).path = path
    return _OK


def _scheme(run: Run, rep: int) -> tuple[str, str | None] | None:
    return run.get(rep, OutgoingRequest).scheme


def _set_scheme(run: Run, rep: int, scheme: tuple[str, str | None] | None) -> tuple[bool, Any]:
    run.get(rep, OutgoingRequest).scheme = scheme
    return _OK


def _authority(run: Run, rep: int) -> str | None:
    return run.get(rep, OutgoingRequest).authority


def _set_authority(run: Run, rep: int, authority: str | None) -> tuple[bool, Any]:
    if authority is not None and (
        not authority.isascii() or not authority.isprintable() or set(authority) & set("/@ ")
    ):
        return _REFUSED
    run.get(rep, OutgoingRequest).authority = authority
    return _OK


def _headers(run: Run, rep: int) -> Own:
    return run.give(run.get(rep, OutgoingRequest).headers)


# ---- request-options


def _new_options(run: Run) -> Own:
    return run.give(RequestOptions())


def _get_time(name: str) -> Callable[..., int | None]:
    return lambda run, rep: run.get(rep, RequestOptions).times.get(name)


def _set_time(name: str) -> Callable[..., tuple[bool, Any]]:
    def set_time(run: Run, rep: int, value: int | None) -> tuple[bool, Any]:
        run.get(rep, RequestOptions).times[name] = value
        return _OK

    return set_time


# ---- future-incoming-response, incoming-response


def _subscribe(run: Run, rep: int) -> Foreign:
    run.get(rep, FutureResponse)
    return run.streams.wait(0)


def _status(run: Run, rep: int) -> int:
    return run.get(rep, IncomingResponse).status


def _response_headers(run: Run, rep: int) -> Own:
    return run.give(Fields.received(run.get(rep, IncomingResponse).headers))


def _consume(run: Run, rep: int) -> tuple[bool, Any]:
    response = run.get(rep, IncomingResponse)
    if response.consumed:
        return _REFUSED
    response.consumed = True
    return True, run.give(response.body)


def handler(egress: Egress) -> Mapping[str, Callable[..., Any]]:
    """`wasi:http/outgoing-handler`."""

    def handle(run: Run, rep: int, options: int | None) -> tuple[bool, Any]:
        request = run.take(rep, OutgoingRequest)
        seconds = run.take(options, RequestOptions).seconds if options is not None else _MOST
        host, port = _place(request)
        if not host or _scheme_name(request) not in _PORTS:
            return False, ("HTTP-request-URI-invalid", None)
        if not host.endswith(PLUGIN_DOMAIN) and not egress.policy.permits(host, port):
            run.services.log(3, f"http call to {host}: it is not among the allowed hosts", run.call.request_id)
            return False, ("HTTP-request-denied", None)
        return True, run.give(FutureResponse(request, time.monotonic() + seconds))

    return {"handle": handle}


def functions(egress: Egress) -> Mapping[str, Callable[..., Any]]:
    """The outgoing part of `wasi:http/types`, by the names in the interface; each takes the run first."""

    def get(run: Run, rep: int) -> tuple[bool, Any] | None:
        future = run.get(rep, FutureResponse)
        if future.told:
            return _REFUSED
        body = future.request.body
        if body is not None and body.size is None and not body.abandoned:
            return None
        future.told = True
        if body is not None and body.abandoned:
            return True, (False, ("HTTP-protocol-error", None))
        result = egress.exchange(run, future.request, future.until)
        if isinstance(result, IncomingResponse):
            return True, (True, run.give(result))
        return True, (False, result)

    found: dict[str, Callable[..., Any]] = {
        "[constructor]outgoing-request": _new,
        "[method]outgoing-request.body": _body,
        "[method]outgoing-request.method": _method,
        "[method]outgoing-request.set-method": _set_method,
        "[method]outgoing-request.path-with-query": _path,
        "[method]outgoing-request.set-path-with-query": _set_path,
        "[method]outgoing-request.scheme": _scheme,
        "[method]outgoing-request.set-scheme": _set_scheme,
        "[method]outgoing-request.authority": _authority,
        "[method]outgoing-request.set-authority": _set_authority,
        "[method]outgoing-request.headers": _headers,
        "[constructor]request-options": _new_options,
        "[method]future-incoming-response.subscribe": _subscribe,
        "[method]future-incoming-response.get": get,
        "[method]incoming-response.status": _status,
        "[method]incoming-response.headers": _response_headers,
        "[method]incoming-response.consume": _consume,
        "http-error-code": lambda _run, _error: None,
    }
    for name in ("connect-timeout", "first-byte-timeout", "between-bytes-timeout"):
        found[f"[method]request-options.{name}"] = _get_time(name)
        found[f"[method]request-options.set-{name}"] = _set_time(name)
    return found
