"""An HTTP component in Python, running CPython: the same answers as ../c/echo.c.

componentize-py makes a component of 18 MB of it; `make components-python` says how.
"""

from componentize_py_types import Err, Ok
from wit_world import exports
from wit_world.imports.types import (
    Fields,
    IncomingBody,
    IncomingRequest,
    Method_Other,
    OutgoingBody,
    OutgoingResponse,
    ResponseOutparam,
)


def method_of(request: IncomingRequest) -> str:
    method = request.method()
    return method.value if isinstance(method, Method_Other) else type(method).__name__.removeprefix("Method_").upper()


def marked(fields: Fields) -> Fields:
    return Fields.from_list([(name, value) for name, value in fields.entries() if name.startswith("x-")])


def respond(outparam: ResponseOutparam, status: int, headers: Fields) -> OutgoingBody:
    response = OutgoingResponse(headers)
    response.set_status_code(status)
    body = response.body()
    ResponseOutparam.set(outparam, Ok(response))
    return body


def write(body: OutgoingBody, data: bytes) -> None:
    with body.write() as stream:
        for start in range(0, len(data), 4096):
            stream.blocking_write_and_flush(data[start : start + 4096])


def say(outparam: ResponseOutparam, status: int, text: bytes) -> None:
    body = respond(outparam, status, Fields.from_list([("content-type", b"text/plain")]))
    write(body, text)
    OutgoingBody.finish(body, None)


def echo(request: IncomingRequest, outparam: ResponseOutparam) -> None:
    incoming = request.consume()
    outgoing = respond(outparam, 200, marked(request.headers()))
    with incoming.stream() as source, outgoing.write() as target:
        while True:
            try:
                data = source.blocking_read(65536)
            except Err:
                break
            for start in range(0, len(data), 4096):
                target.blocking_write_and_flush(data[start : start + 4096])
    found = IncomingBody.finish(incoming).get()
    trailers = found.value.value if isinstance(found, Ok) and isinstance(found.value, Ok) else None
    OutgoingBody.finish(outgoing, marked(trailers) if trailers is not None else None)


class IncomingHandler(exports.IncomingHandler):
    """wasi:http/incoming-handler."""

    def handle(self, request: IncomingRequest, response_out: ResponseOutparam) -> None:
        path = request.path_with_query() or ""
        if path.startswith("/status/"):
            say(response_out, int(path.removeprefix("/status/")), b"")
        elif path.startswith("/bytes/"):
            body = respond(response_out, 200, Fields())
            write(body, (b"wasm\0\xff" + bytes(4090)) * (int(path.removeprefix("/bytes/")) // 4096))
            OutgoingBody.finish(body, None)
        elif path.startswith("/echo"):
            echo(request, response_out)
        else:
            say(response_out, 200, f"{method_of(request)} {path}\n".encode())
