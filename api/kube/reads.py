"""Reading any kind: get, list (in pages), watch; as objects, tables or metadata.

Belongs here: the HTTP side of a watch cache. Does not: what objects look like (feeds.py), changing them (plugins.py).
"""

import base64
import binascii
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import falcon

from api.kube.cache import Item, TooNew, TooOld, View, WatchCache
from api.kube.errors import bad_request, expired, not_found
from api.kube.requests import Form, ListOptions, etag, list_options, unchanged, wanted_form
from api.kube.resources import Resource
from api.kube.table import TABLE, Columns, partial, table
from api.kube.watch import WatchPlaces, WatchRequest, WatchStream, too_new
from api.streaming import STREAMING

_DISCONNECTED: Final = "waitress.client_disconnected"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind as it is read. `fields` matches the names that field selectors may use."""

    resource: Resource
    cache: WatchCache
    columns: Columns
    fields: re.Pattern[str]


class Reader:
    """Reads kinds in one namespace."""

    def __init__(self, namespace: str, places: WatchPlaces) -> None:
        self.namespace = namespace
        self._places = places

    def one(self, kind: Kind, req: falcon.Request, resp: falcon.Response, namespace: str, name: str) -> None:
        """Answer a GET of one object."""
        if req.get_param("watch") is not None:
            options = list_options(req, kind.fields, name)
            if options.watch:
                self._watch(kind, options, req, resp)
                return
        form = wanted_form(req)
        item = kind.cache.get(name) if self.is_ours(namespace) else None
        if item is None:
            raise not_found(kind.resource, name)
        send(kind, form, item, req, resp)

    def many(self, kind: Kind, req: falcon.Request, resp: falcon.Response, namespace: str) -> None:
        """Answer a GET of a collection: a list or a watch."""
        options = list_options(req, kind.fields)
        if options.watch:
            self._watch(kind, options, req, resp)
            return
        form = wanted_form(req)
        view, start = self._view(kind, options)
        items = [item for item in view.items if item.name > start] if start else view.items
        if not self.is_ours(namespace):
            items = ()
        if options.selection:
            items = [item for item in items if options.selection.matches(item.data)]
        metadata: dict[str, Any] = {"resourceVersion": str(view.version)}
        if options.limit and len(items) > options.limit:
            if not options.selection:
                metadata["remainingItemCount"] = len(items) - options.limit
            items = items[: options.limit]
            metadata["continue"] = _token(view.version, items[-1].name)
        resp.set_header("ETag", etag(str(view.version)))
        resp.content_type = falcon.MEDIA_JSON
        resp.data = _list(kind, form, items, metadata, _include(req))

    def is_ours(self, namespace: str) -> bool:
        """Whether a namespace in a path is the daemon's, or stands for all."""
        return namespace in ("", self.namespace)

    def _view(self, kind: Kind, options: ListOptions) -> tuple[View, str]:
        """What to list, and after which name to begin. Raises KubeError 400, 410, 504."""
        version, start = options.version, ""
        exact = options.version_match == "Exact"
        if options.token:
            version, start = _read_token(options.token)
            exact = True
        try:
            if exact:
                return kind.cache.at(version), start
            view = kind.cache.view()
            if version > view.version:
                kind.cache.since(version)
            return view, start
        except TooOld as ex:
            if not options.token:
                raise expired(f"the provided resource version {version} is too old to be listed") from ex
            raise expired(
                "The provided continue parameter is too old to display a consistent list result. "
                "You must start a new list without the continue parameter."
            ) from ex
        except TooNew as ex:
            raise too_new(version) from ex

    def _watch(self, kind: Kind, options: ListOptions, req: falcon.Request, resp: falcon.Response) -> None:
        gone: Callable[[], bool] = req.env.get(_DISCONNECTED, _never)
        request = WatchRequest(kind.resource, kind.columns, wanted_form(req), _include(req), options, gone)
        resp.content_type = falcon.MEDIA_JSON
        resp.stream = WatchStream(request, kind.cache, self._places)
        req.env[STREAMING] = True


class Collection:
    """The address of all objects of a kind that is only read."""

    def __init__(self, kind: Kind, reader: Reader) -> None:
        self.kind = kind
        self.reader = reader

    def on_get(self, req: falcon.Request, resp: falcon.Response, namespace: str = "") -> None:
        """List or watch."""
        self.reader.many(self.kind, req, resp, namespace)


class Single:
    """The address of one object of a kind that is only read. That of a namespace is its own namespace."""

    def __init__(self, kind: Kind, reader: Reader) -> None:
        self.kind = kind
        self.reader = reader

    def on_get(self, req: falcon.Request, resp: falcon.Response, namespace: str, name: str = "") -> None:
        """Get."""
        self.reader.one(self.kind, req, resp, namespace, name or namespace)


def send(kind: Kind, form: Form, item: Item, req: falcon.Request, resp: falcon.Response) -> None:
    """Answer with one object."""
    version = str(item.data["metadata"].get("resourceVersion", ""))
    resp.content_type = falcon.MEDIA_JSON
    resp.set_header("ETag", etag(version))
    if req.method == "GET" and unchanged(req, version):
        resp.status = falcon.HTTP_304
        return
    if form is Form.OBJECT:
        resp.data = item.json
    elif form is Form.METADATA:
        resp.data = _json(partial(item.data))
    else:
        metadata = {"resourceVersion": version}
        resp.data = _json(table(kind.columns, (item.data,), _include(req), time.time(), metadata, head=True))


def _list(kind: Kind, form: Form, items: Sequence[Item], metadata: dict[str, Any], include: str) -> bytes:
    if form is Form.TABLE:
        data = table(kind.columns, (item.data for item in items), include, time.time(), metadata, head=True)
        return _json(data)
    if form is Form.METADATA:
        head = {"kind": "PartialObjectMetadataList", "apiVersion": TABLE, "metadata": metadata}
        return _json(head | {"items": [partial(item.data) for item in items]})
    head = {"kind": f"{kind.resource.kind}List", "apiVersion": kind.resource.api_version, "metadata": metadata}
    return _json(head)[:-1] + b',"items":[' + b",".join(item.json for item in items) + b"]}"


def _json(data: Any) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()


def _include(req: falcon.Request) -> str:
    include = req.get_param("includeObject") or "Metadata"
    if include not in ("None", "Metadata", "Object"):
        raise bad_request(f"includeObject: expected None, Metadata or Object, not {include!r}")
    return include


def _token(version: int, last: str) -> str:
    return base64.urlsafe_b64encode(json.dumps([version, last]).encode()).decode().rstrip("=")


def _read_token(token: str) -> tuple[int, str]:
    try:
        version, last = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    except (ValueError, TypeError, binascii.Error, RecursionError) as ex:
        raise bad_request("continue key is not valid") from ex
    if type(version) is not int or type(last) is not str:
        raise bad_request("continue key is not valid")
    return version, last


def _never() -> bool:
    return False
