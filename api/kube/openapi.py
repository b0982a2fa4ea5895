"""The OpenAPI documents: version 3 for each group, version 2 for clients that want one document."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import falcon

from api.kube.protobuf import openapi_frame
from api.kube.requests import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, wanted_form
from api.kube.resources import PLUGINS, RESOURCES, Resource
from api.kube.schemas import (
    PLUGIN,
    PLUGIN_LIST,
    SCALE,
    STATUS,
    common_schemas,
    free_schema,
    gvk,
    list_schema,
    plugin_schema,
)

Document = dict[str, Any]

_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_JSON: Final = "application/json"
_PATCHES: Final = (JSON_PATCH, MERGE_PATCH)
"""As for custom resources. A strategic merge patch is taken as well, but not named: with it in the document some
versions of `kubectl apply` would send one and others a merge patch, although here the two mean the same."""

_VERBS: Final = {"list": "get", "create": "post", "deletecollection": "delete"}
_VERBS_ONE: Final = {"get": "get", "update": "put", "patch": "patch", "delete": "delete"}
_REFUSALS: Final = {
    "list": (400, 406, 410, 429, 504),
    "get": (400, 404, 406, 410, 429, 504),
    "create": (400, 403, 406, 409, 413, 415, 422, 507),
    "deletecollection": (400, 403, 409, 415, 507),
    "update": (400, 403, 404, 406, 409, 412, 413, 415, 422, 507),
    "patch": (400, 403, 404, 406, 409, 412, 413, 415, 422, 507),
    "delete": (400, 403, 404, 409, 412, 415, 507),
}


class OpenApi:
    """`/openapi/v3`, `/openapi/v3/...`, `/openapi/v2`.

    The documents are made once, when first asked for: a tenth of a second that a start does not have.
    """

    def __init__(self, version: str) -> None:
        self._version = version

    @cached_property
    def _documents(self) -> dict[str, bytes]:
        """Third version, by group and version."""
        versions = {resource.base.lstrip("/"): resource for resource in RESOURCES}
        return {name: json.dumps(document(one, self._version)).encode() for name, one in versions.items()}

    @cached_property
    def _hashes(self) -> dict[str, str]:
        return {name: hashlib.sha256(text).hexdigest().upper() for name, text in self._documents.items()}

    @cached_property
    def _second(self) -> bytes:
        return json.dumps(second_version(self._version)).encode()

    def on_get_index(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The documents that there are."""
        resp.media = {
            "paths": {
                name: {"serverRelativeURL": f"/openapi/v3/{name}?hash={digest}"}
                for name, digest in self._hashes.items()
            }
        }

    def on_get_v3(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """The document of one group and version."""
        if name not in self._documents:
            raise falcon.HTTPRouteNotFound
        resp.set_header("ETag", f'"{self._hashes[name]}"')
        resp.content_type = falcon.MEDIA_JSON
        resp.data = self._documents[name]

    def on_get_v2(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Our objects in one document, in JSON; or, in protocol buffers, a document that describes nothing."""
        accept = req.get_header("Accept") or "*/*"
        if _PROTOBUF in accept:
            resp.content_type = _PROTOBUF.replace("@", ".")  # which is no token of a media type
            resp.data = openapi_frame("wasm-reconciler", self._version)
            return
        wanted_form(req)
        resp.content_type = falcon.MEDIA_JSON
        resp.data = self._second


def document(resource: Resource, version: str) -> Document:
    """The OpenAPI 3.0 document of a resource's group and version."""
    found = [one for one in RESOURCES if one.base == resource.base]
    schemas = common_schemas()
    for one in found:
        schemas |= _schemas(one)
    return {
        "openapi": "3.0.0",
        "info": {"title": "wasm-reconciler", "version": version},
        "paths": {path: item for one in found for path, item in _paths(one).items()},
        "components": {"schemas": schemas},
    }


def second_version(version: str) -> Document:
    """The Swagger 2.0 document: the schemas, and the paths without their details."""
    schemas = json.loads(json.dumps({PLUGIN: plugin_schema(), **common_schemas()}))
    return {
        "swagger": "2.0",
        "info": {"title": "wasm-reconciler", "version": version},
        "paths": {},
        "definitions": {name: _downgraded(schema) for name, schema in schemas.items()},
    }


def _downgraded(schema: Any) -> Any:
    """A schema without what Swagger 2.0 does not have."""
    if isinstance(schema, dict):
        found = {key: _downgraded(value) for key, value in schema.items() if key not in ("anyOf", "nullable")}
        if "$ref" in found:
            found["$ref"] = found["$ref"].replace("#/components/schemas/", "#/definitions/")
        return found
    return [_downgraded(entry) for entry in schema] if isinstance(schema, list) else schema


def _name(resource: Resource) -> str:
    if resource is PLUGINS:
        return PLUGIN
    group = resource.group.removesuffix(".k8s.io") or "core"
    return f"io.k8s.api.{group}.{resource.version}.{resource.kind}"


def _schemas(resource: Resource) -> dict[str, Any]:
    name = _name(resource)
    group, version, kind = resource.group, resource.version, resource.kind
    one = plugin_schema() if resource is PLUGINS else free_schema(kind, group, version)
    many = PLUGIN_LIST if resource is PLUGINS else f"{name}List"
    return {name: one} | ({many: list_schema(kind, name, group, version)} if "list" in resource.verbs else {})


def _paths(resource: Resource) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in resource.paths():
        inside = [_in_path("namespace")] if "{namespace}" in path else []
        many = _operations(resource, _VERBS, path, inside)
        if many:
            found[path] = many | ({"parameters": inside} if inside else {})
        one = _operations(resource, _VERBS_ONE, f"{path}/{{name}}", [*inside, _in_path("name")])
        if one:
            found[f"{path}/{{name}}"] = one | {"parameters": [*inside, _in_path("name")]}
        for part in resource.subresources:
            below = f"{path}/{{name}}/{part.name}"
            kind = gvk(part.group, part.version, part.kind)
            schema = SCALE if part.kind == "Scale" else _name(resource)
            verbs = {verb: _VERBS_ONE[verb] for verb in part.verbs}
            patches = (APPLY_PATCH,) if part.name == "status" else _PATCHES
            operations = {
                method: _operation(verb, below, kind, schema, patches=patches) for verb, method in verbs.items()
            }
            found[below] = operations | {"parameters": [*inside, _in_path("name")]}
    return found


def _operations(resource: Resource, methods: Mapping[str, str], path: str, inside: Sequence[Any]) -> dict[str, Any]:
    kind = gvk(resource.group, resource.version, resource.kind)
    return {
        method: _operation(verb, path, kind, _name(resource), patches=(*_PATCHES, APPLY_PATCH))
        for verb, method in methods.items()
        if verb in resource.verbs
    }


def _operation(verb: str, path: str, kind: Mapping[str, str], schema: str, *, patches: Sequence[str]) -> Document:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    answer: Any = reference
    if verb in ("list", "deletecollection"):
        answer = {"$ref": f"#/components/schemas/{PLUGIN_LIST if schema == PLUGIN else schema + 'List'}"}
    elif verb == "delete":
        answer = {"$ref": f"#/components/schemas/{STATUS}"}
    refusal = {"$ref": f"#/components/schemas/{STATUS}"}
    codes = {"create": (201,), "patch": (200, 201), "get": (200, 304)}.get(verb, (200,))
    operation: Document = {
        "operationId": verb + "".join(part.strip("{}").title() for part in path.split("/")[1:]).replace(".", ""),
        "parameters": _parameters(verb),
        "responses": {str(code): _answer("It is done.", None if code == 304 else answer) for code in codes}
        | {str(code): _answer("It is refused.", refusal) for code in _REFUSALS[verb]},
        "x-kubernetes-action": {"create": "post", "update": "put"}.get(verb, verb),
        "x-kubernetes-group-version-kind": kind,
    }
    if verb == "patch":
        free = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        listed = {"type": "array", "items": {"type": "object"}}
        content = {kind: {"schema": listed if kind == JSON_PATCH else free} for kind in patches}
        operation["requestBody"] = {"content": content, "required": True}
    elif verb in ("create", "update"):
        operation["requestBody"] = {"content": {_JSON: {"schema": reference}}, "required": True}
    return operation


def _answer(description: str, schema: Any) -> Document:
    found: Document = {"description": description}
    return found | ({"content": {_JSON: {"schema": schema}}} if schema else {})


def _in_path(name: str) -> Document:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query(name: str, schema: Mapping[str, Any], description: str) -> Document:
    return {"name": name, "in": "query", "description": description, "schema": dict(schema)}


def _parameters(verb: str) -> list[Document]:
    text, number, flag = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
    dry = _query("dryRun", {"type": "string", "enum": ["All"]}, "Do everything but write.")
    select = [
        _query("labelSelector", text, "Only objects whose labels match."),
        _query("fieldSelector", text, "Only objects whose fields match."),
    ]
    if verb == "list":
        return [
            *select,
            _query("limit", number, "Most objects in one answer."),
            _query("continue", text, "Where the last answer ended."),
            _query("resourceVersion", text, "How fresh the answer has to be, or where a watch begins."),
            _query("resourceVersionMatch", {"type": "string", "enum": ["Exact", "NotOlderThan"]}, "How it is meant."),
            _query("watch", flag, "Stream the changes instead of listing."),
            _query("allowWatchBookmarks", flag, "Send bookmarks in a watch."),
            _query("sendInitialEvents", flag, "Begin a watch with all there is."),
            _query("timeoutSeconds", number, "How long a watch lasts."),
        ]
    if verb == "deletecollection":
        return [*select, dry]
    if verb == "delete":
        return [dry]
    if verb == "get":
        return []
    validation = {"type": "string", "enum": ["Ignore", "Warn", "Strict"]}
    writing = [
        dry,
        _query("fieldManager", text, "Who owns what this changes."),
        _query("fieldValidation", validation, "What happens to fields that are not known."),
    ]
    force = _query("force", flag, "Take fields over from other managers; for server-side apply alone.")
    return [*writing, force] if verb == "patch" else writing
