"""An HTTP/2 request's header fields -> a Request, or what is answered instead. No connections, no frames.

h2 has checked the fields' grammar and the pseudo headers by then (RFC 9113, 8.2 and 8.3). Belongs here: our bounds, the
route. Does not: bodies and streams (http2.py).
"""

from typing import Final

from api.dataplane import answers
from api.dataplane.answers import Answer
from api.dataplane.http1_reader import ReaderContext
from api.dataplane.routing import Misaddressed, route_by_header, route_by_path, split_target
from reconciler.wasm.kind import Headers, Request

_ONCE: Final = ("host", "id", "expect", "x-request-id", "content-length")


def read_head(context: ReaderContext, fields: Headers, remote: str) -> tuple[Request, Answer | None]:
    """The request that the fields make, and the refusal of it if it is to be refused."""
    pseudo: dict[str, str] = {}
    headers: Headers = []
    for name, value in fields:
        if name[:1] == ":":
            pseudo[name] = value
        else:
            headers.append((name, value))
    named = dict(headers)
    authority = pseudo.get(":authority") or named.get("host", "")
    request = Request(
        "",
        pseudo.get(":method", ""),
        headers=headers,
        scheme=pseudo.get(":scheme", "http"),
        authority=authority,
        remote=remote,
        http_version="2",
        request_id=context.request_id(named.get("x-request-id")),
    )
    return request, _refusal(context, request, pseudo, named) or _locate(request, pseudo[":path"], named.get("id"))


def _refusal(context: ReaderContext, request: Request, pseudo: dict[str, str], named: dict[str, str]) -> Answer | None:
    settings, headers = context.settings, request.headers
    if request.method == "CONNECT" or ":path" not in pseudo:
        return answers.error(501, "CONNECT is not served; this is not a proxy")
    if len(pseudo[":path"]) > settings.url_bytes:
        return answers.error(414, f"the request target takes more than {settings.url_bytes} bytes")
    if len(headers) > settings.header_count:
        return answers.error(431, f"more than {settings.header_count} headers are not read")
    if len(named) != len(headers):
        names = [name for name, _ in headers]
        for name in _ONCE:
            if names.count(name) > 1:
                return answers.error(400, f"the header {name} is there {names.count(name)} times; once is the most")
    expectation = named.get("expect", "100-continue")
    if expectation.lower() != "100-continue":
        return answers.error(417, f"the expectation {expectation!r} cannot be met; 100-continue can")
    return None


def _locate(request: Request, target: str, ident: str | None) -> Answer | None:
    try:
        _, request.path, request.query = split_target(target)
        if ident:
            request.route = route_by_header(ident)
        else:
            request.route, request.path = route_by_path(request.path)
    except Misaddressed as reason:
        return answers.error(reason.status, reason.message)
    return None
