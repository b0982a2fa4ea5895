"""The page's own files: served as they lie in the package, with headers that let the page do no more than it needs.

Belongs here: static files. Does not: data; nothing here tells anything about this node, so it needs no credentials.
"""

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from typing import Final

import falcon

from api.errors import ApiError
from api.streaming import App

PREFIX: Final = "/ui/"
_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    kind: str
    tag: str


class PageFiles:
    """`GET /` and `GET /ui/FILE`. Reads the files once."""

    def __init__(self) -> None:
        found: dict[str, _File] = {}
        for entry in (files("api.dashboard") / "page").iterdir():
            kind = _TYPES.get(entry.name.rpartition(".")[2])
            if kind is not None:
                content = entry.read_bytes()
                found[entry.name] = _File(content, kind, f'"{hashlib.sha256(content).hexdigest()[:16]}"')
        self._files = found

    @property
    def paths(self) -> frozenset[str]:
        """All paths that are answered here."""
        return frozenset({"/", *(PREFIX + name for name in self._files)})

    def install(self, app: App) -> None:
        """Mount them."""
        app.add_route("/", self)
        app.add_route(PREFIX + "{file}", self)

    def on_get(self, req: falcon.Request, resp: falcon.Response, file: str = "index.html") -> None:
        """One file. Raises ApiError 404."""
        found = self._files.get(file)
        if found is None:
            raise ApiError(404, f"{req.path} is not part of the page; it starts at /")
        resp.set_headers(_HEADERS)
        resp.set_header("ETag", found.tag)
        if req.get_header("If-None-Match") == found.tag:
            resp.status = falcon.HTTP_304
            return
        resp.content_type = found.kind
        resp.data = found.content

    on_head = on_get
