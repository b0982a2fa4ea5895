"""Properties of a request, by path, encoded as Envoy does: text as it is, integers as 64 bits little-endian.

Paths are segments with NUL between (`request NUL headers NUL accept`); some SDKs write a dot instead. Which names
exist is Envoy's list of attributes, as far as they mean something here.
"""

import time
from collections.abc import Callable, Mapping
from typing import Final

from reconciler.wasm.proxy_wasm import abi, wire
from reconciler.wasm.proxy_wasm.state import GuestState
from reconciler.wasm.proxy_wasm.stream import Stream


def lookup(state: GuestState, path: bytes) -> bytes | None:
    """A property's value; None where there is no such property."""
    own = state.own_property(path)
    if own is not None:
        return own
    name = path.rstrip(b"\0").decode("utf-8", "replace").replace("\0", ".")
    plugin = _PLUGIN.get(name)
    if plugin is not None:
        return plugin(state).encode()
    stream = state.stream
    if stream is None:
        return None
    found = _STREAM.get(name)
    if found is not None:
        return _encode(found(stream))
    for prefix, kind in _MAPS:
        if name == prefix:
            return wire.encode_pairs(stream.map(kind))
        if name.startswith(f"{prefix}."):
            return _header(stream, kind, name[len(prefix) + 1 :])
    return None


def _header(stream: Stream, kind: int, name: str) -> bytes | None:
    values = [value for key, value in stream.map(kind) if key == name.lower()]
    return ",".join(values).encode("latin-1", "replace") if values else None


def _encode(value: str | int | None) -> bytes | None:
    if isinstance(value, int):
        return value.to_bytes(8, "little", signed=True)
    return None if value is None else value.encode("latin-1", "replace")


def _first(stream: Stream, name: str) -> str | None:
    return next((value for key, value in stream.request.headers if key == name), None)


def _path(stream: Stream) -> str:
    request = stream.request
    return f"{request.path}?{request.query}" if request.query else request.path


def _status(stream: Stream) -> int:
    return stream.response().status


_PLUGIN: Final[Mapping[str, Callable[[GuestState], str]]] = {
    "plugin_name": lambda state: state.facts.spec.plugin,
    "plugin_root_id": lambda state: state.facts.spec.plugin,
    "plugin_vm_id": lambda state: state.facts.spec.namespace,
    "node.id": lambda _state: "wasm-reconciler",
}

_STREAM: Final[Mapping[str, Callable[[Stream], str | int | None]]] = {
    "request.path": _path,
    "request.url_path": lambda stream: stream.request.path,
    "request.query": lambda stream: stream.request.query,
    "request.host": lambda stream: stream.request.authority,
    "request.scheme": lambda stream: stream.request.scheme,
    "request.method": lambda stream: stream.request.method,
    "request.protocol": lambda stream: f"HTTP/{stream.request.http_version}",
    "request.id": lambda stream: stream.request.request_id or _first(stream, "x-request-id"),
    "request.referer": lambda stream: _first(stream, "referer"),
    "request.useragent": lambda stream: _first(stream, "user-agent"),
    "request.size": lambda stream: len(stream.request_body),
    "request.total_size": lambda stream: len(stream.request_body) + wire.encoded_size(stream.map(abi.REQUEST_HEADERS)),
    "request.time": lambda _stream: time.time_ns(),
    "response.code": _status,
    "response.size": lambda stream: len(stream.response_body),
    "route_name": lambda stream: stream.request.route,
    "xds.route_name": lambda stream: stream.request.route,
    "cluster_name": lambda stream: stream.request.route,
    "source.address": lambda stream: stream.request.remote,
}

_MAPS: Final = (
    ("request.headers", abi.REQUEST_HEADERS),
    ("request.trailers", abi.REQUEST_TRAILERS),
    ("response.headers", abi.RESPONSE_HEADERS),
    ("response.trailers", abi.RESPONSE_TRAILERS),
)
