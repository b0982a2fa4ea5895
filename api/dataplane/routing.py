"""Which route a request names, and what of its target is left for the guest. Pure text, any protocol version."""

from typing import Final
from urllib.parse import unquote

PREFIX: Final = "/invoke/"
HOW: Final = "send the header `id: ROUTE`, or the path /invoke/ROUTE"


class Misaddressed(Exception):
    """A request names no route, or its target cannot be read."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def split_target(target: str) -> tuple[str, str, str]:
    """Authority (empty unless the target is absolute), path and query of a request target.

    RFC 9112, 3.2: origin, absolute and asterisk form. Raises Misaddressed.
    """
    if "#" in target:
        raise Misaddressed(400, "a request target has no fragment; leave out '#' and what follows")
    authority = ""
    if not target.startswith("/"):
        if target == "*":
            return "", "/", ""
        scheme, mark, rest = target.partition("://")
        if not mark or scheme.lower() not in ("http", "https"):
            raise Misaddressed(400, f"{target!r} is not a request target; it starts with / or http://")
        authority, mark, rest = _split_authority(rest)
        target = mark + rest if mark == "/" else "/" + mark + rest
    path, _, query = target.partition("?")
    return authority, path, query


def route_by_header(ident: str) -> str:
    """The route that an `id` header names: UTF-8 where it is, else Latin-1. Empty for an empty header."""
    if ident.isascii():
        return ident
    try:
        return ident.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return ident


def route_by_path(path: str) -> tuple[str, str]:
    """The route and the rest of `/invoke/ROUTE/REST`; the rest stays as it was sent. Raises Misaddressed."""
    if not path.startswith(PREFIX):
        raise Misaddressed(404, f"the request names no route; {HOW}")
    name, slash, rest = path[len(PREFIX) :].partition("/")
    try:
        route = unquote(name, errors="strict")
    except UnicodeDecodeError:
        raise Misaddressed(400, "the route in the path is not percent-encoded UTF-8") from None
    if not route:
        raise Misaddressed(404, f"the request names no route; {HOW}")
    return route, slash + rest or "/"


def _split_authority(rest: str) -> tuple[str, str, str]:
    """Cut `host/path` or `host?query` at its first mark."""
    slash, mark = rest.find("/"), rest.find("?")
    cut = min((place for place in (slash, mark) if place >= 0), default=len(rest))
    return rest[:cut], rest[cut : cut + 1], rest[cut + 1 :]
