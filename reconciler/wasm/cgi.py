"""CGI/1.1 (RFC 3875): a request as environment variables, and what a program printed as a response.

Pure text: running the program belongs to wasi_command.py.
"""

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from reconciler.wasm.kind import Headers, Request, Response

MAX_HEAD: Final = 65_536
"""Bytes of the header block that a program prints."""

_NAME: Final = re.compile(r"[A-Za-z0-9-]+")
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_STATUS: Final = re.compile(r"([2-5][0-9]{2})(?: .*)?")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")

_NOT_HEADERS: Final = frozenset(
    ("content-type", "content-length", "proxy", "transfer-encoding", "connection", "trailer")
)
"""Not passed as HTTP_*. The first two have variables of their own; HTTP_PROXY would be taken by HTTP libraries for a
setting of the operator (CVE-2016-5385 and others); the rest are about a connection that the program has not."""

_CGI_FIELDS: Final = ("content-type", "location", "status")


class BadOutput(Exception):
    """What a program printed is no CGI response. `str()` says what is missing."""


class BadRequest(Exception):
    """A request that cannot be told in environment variables. `str()` says why."""


def variables(request: Request) -> dict[str, str]:
    """The variables of RFC 3875, 4.1, and REQUEST_URI and HTTPS as other servers have them. Raises BadRequest.

    SCRIPT_NAME is the path that always reaches the plugin, however this request named its route. The credentials in
    `authorization` are passed on: the plugin is what checks them.
    """
    name, port = _server(request)
    script = f"/invoke/{request.route}"
    found = {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "wasm-reconciler",
        "SERVER_PROTOCOL": f"HTTP/{request.http_version}",
        "SERVER_NAME": name,
        "SERVER_PORT": port,
        "REQUEST_METHOD": request.method,
        "REQUEST_URI": f"{script}{request.path}{'?' if request.query else ''}{request.query}",
        "SCRIPT_NAME": script,
        "PATH_INFO": unquote_to_bytes(request.path).decode("utf-8", "replace"),
        "QUERY_STRING": request.query,
        "REMOTE_ADDR": request.remote,
    }
    if request.scheme == "https":
        found["HTTPS"] = "on"
    if request.body:
        found["CONTENT_LENGTH"] = str(len(request.body))
    for header, value in request.headers:
        _add_header(found, header, value)
    if any("\0" in value for value in found.values()):
        raise BadRequest("a NUL character in the path or in a header cannot be passed to this plugin")
    return found


def _server(request: Request) -> tuple[str, str]:
    """SERVER_NAME and SERVER_PORT, from what the client asked for."""
    host, colon, port = request.authority.rpartition(":")
    if not colon or not port.isdecimal():
        host, port = request.authority, "443" if request.scheme == "https" else "80"
    return host or "localhost", port


def _add_header(found: dict[str, str], header: str, value: str) -> None:
    """Add a header as HTTP_*.

    One whose name has an underscore or another odd character is left out: it would be taken for the one with hyphens,
    which a proxy in front may have checked or set.
    """
    lowered = header.lower()
    text = value if value.isascii() else value.encode("latin-1", "replace").decode("utf-8", "replace")
    if lowered == "content-type":
        found["CONTENT_TYPE"] = text
    elif lowered not in _NOT_HEADERS and _NAME.fullmatch(header):
        variable = "HTTP_" + lowered.upper().replace("-", "_")
        before = found.get(variable)
        found[variable] = text if before is None else f"{before}{'; ' if lowered == 'cookie' else ', '}{text}"


def parse_output(output: bytes) -> Response:
    """What a program printed: header lines, an empty line, the body (RFC 3875, 6). Raises BadOutput.

    A `Location` without a `Status` is a 302, also where it is a path: the client follows it, not this server.
    """
    end = _BLANK_LINE.search(output[: MAX_HEAD + 4])
    if output.startswith(b"HTTP/"):
        raise BadOutput("the output starts with an HTTP status line; CGI wants a header such as 'Status: 200 OK'")
    if output[:1] in (b"\n", b"\r"):
        raise BadOutput("the header block is empty; it needs Content-Type, Location or Status")
    if end is None:
        size = f"in its first {MAX_HEAD} bytes" if len(output) > MAX_HEAD else f"in all of its {len(output)} bytes"
        raise BadOutput(
            f"the output has no header block: an empty line after 'Content-Type: ...' is missing {size}"
            if output
            else "the program printed nothing; CGI wants 'Content-Type: ...', an empty line, and the body"
        )
    fields = [_field(line) for line in output[: end.start()].decode("latin-1").split("\n")]
    special = {name: value for name, value in fields if name in _CGI_FIELDS}
    if not special:
        raise BadOutput("the header block has none of Content-Type, Location and Status")
    if len(special) < sum(name in _CGI_FIELDS for name, _ in fields):
        raise BadOutput("Content-Type, Location and Status may stand in the header block once each")
    headers: Headers = [(name, value) for name, value in fields if name not in ("status", "content-length")]
    return Response(_status(special), headers, output[end.end() :])


def _field(line: str) -> tuple[str, str]:
    name, colon, value = line.removesuffix("\r").partition(":")
    if not colon or not _TOKEN.fullmatch(name):
        raise BadOutput(f"the header block has the line {line[:80]!r}, which is not 'Name: value'")
    value = value.strip(" \t")
    if _CONTROLS.search(value):
        raise BadOutput(f"the value of {name} has control characters")
    return name.lower(), value


def _status(special: dict[str, str]) -> int:
    text = special.get("status")
    if text is None:
        return 302 if "location" in special else 200
    found = _STATUS.fullmatch(text)
    if found is None:
        raise BadOutput(f"the status {text[:80]!r} is not a number between 200 and 599 with a reason")
    return int(found[1])
