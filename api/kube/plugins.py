"""`wasmplugins` over HTTP: the collection, one of them, its status, its scale."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import falcon

from api.kube.errors import KubeError, bad_request, forbidden, invalid, not_found, success
from api.kube.nodes import NodeStatuses
from api.kube.patches import PatchInvalid, json_patch, merge_patch, strategic_patch
from api.kube.reads import Kind, Reader, send
from api.kube.requests import (
    APPLY_PATCH,
    DATA_PATCHES,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    Body,
    WriteOptions,
    check_match,
    dry_run,
    etag,
    list_options,
    patch_type,
    read_body,
    unsupported_type,
    wanted_form,
    write_options,
)
from api.kube.resources import PLUGINS
from api.kube.writes import PluginWrites, Written
from specs.model import MAX_INSTANCES

PLUGIN_FIELDS: Final = re.compile(r"metadata\.(name|namespace)|(spec|status)(\.[A-Za-z0-9]+)+")
"""The fields that plugins can be selected by."""

Object = Mapping[str, Any]


class Plugins:
    """The collection."""

    def __init__(self, kind: Kind, reader: Reader, writes: PluginWrites) -> None:
        self._kind = kind
        self._reader = reader
        self._writes = writes

    def on_get(self, req: falcon.Request, resp: falcon.Response, namespace: str = "") -> None:
        """List or watch."""
        self._reader.many(self._kind, req, resp, namespace)

    def on_post(self, req: falcon.Request, resp: falcon.Response, namespace: str = "") -> None:
        """Create."""
        _check_namespace(self._reader, namespace)
        options = write_options(req)
        _answer(self._kind, self._writes.create(read_body(req), options), req, resp)

    def on_delete(self, req: falcon.Request, resp: falcon.Response, namespace: str = "") -> None:
        """Delete what is selected; the answer lists it."""
        selection = list_options(req, PLUGIN_FIELDS).selection
        given = _delete_options(req)
        dry = dry_run(req.get_param_as_list("dryRun") or given.get("dryRun"))
        items = self._kind.cache.view().items if self._reader.is_ours(namespace) else ()
        gone = []
        for item in items:
            if selection.matches(item.data):
                try:
                    gone.append(self._writes.delete(item.name, given, dry_run=dry, check=_no_check).data)
                except KubeError as ex:
                    if ex.status_code != 404:
                        raise
        metadata = {"resourceVersion": str(self._kind.cache.view().version)}
        resp.media = {
            "kind": f"{PLUGINS.kind}List",
            "apiVersion": PLUGINS.api_version,
            "metadata": metadata,
            "items": gone,
        }


class Plugin:
    """One plugin."""

    def __init__(self, kind: Kind, reader: Reader, writes: PluginWrites) -> None:
        self._kind = kind
        self._reader = reader
        self._writes = writes

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str, namespace: str = "") -> None:
        """Get."""
        self._reader.one(self._kind, req, resp, namespace, name)

    def on_put(self, req: falcon.Request, resp: falcon.Response, name: str, namespace: str = "") -> None:
        """Replace."""
        _check_namespace(self._reader, namespace)
        options, body = write_options(req), read_body(req)

        def change(live: Object) -> Any:
            check_match(req, live["metadata"])
            return body.data

        written = self._writes.update(name, change, options, duplicates=body.duplicates)
        _answer(self._kind, written, req, resp)

    def on_patch(self, req: falcon.Request, resp: falcon.Response, name: str, namespace: str = "") -> None:
        """Change by a JSON patch, a merge patch, a strategic merge patch, or server-side apply."""
        _check_namespace(self._reader, namespace)
        kind, options = patch_type(req), write_options(req)
        body = read_body(req)
        if kind == APPLY_PATCH:
            if req.get_param("fieldManager") is None:
                raise bad_request("fieldManager: Required value: is required for apply patch")
            current = self._kind.cache.get(name)
            check_match(req, current.data["metadata"] if current else None)
            written = self._writes.apply(name, body, options)
        else:
            if options.force:
                raise invalid(PLUGINS, name, [("force", "Forbidden: may not be specified for non-apply patch")])
            written = self._writes.update(
                name, _patched(req, name, kind, body, check=True), options, duplicates=body.duplicates
            )
        _answer(self._kind, written, req, resp)

    def on_delete(self, req: falcon.Request, resp: falcon.Response, name: str, namespace: str = "") -> None:
        """Delete. It is gone when this is answered; its requests under way finish."""
        _check_namespace(self._reader, namespace)
        given = _delete_options(req)
        dry = dry_run(req.get_param_as_list("dryRun") or given.get("dryRun"))
        item = self._writes.delete(name, given, dry_run=dry, check=lambda metadata: check_match(req, metadata))
        resp.media = success(PLUGINS, name, item.data["metadata"]["uid"])


class Status:
    """The status of one plugin, by an address of its own. Of it, other nodes may apply what they say; see nodes.py."""

    def __init__(self, kind: Kind, reader: Reader, nodes: NodeStatuses) -> None:
        self._kind = kind
        self._reader = reader
        self._nodes = nodes

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str, namespace: str = "") -> None:
        """Get the whole plugin."""
        self._reader.one(self._kind, req, resp, namespace, name)

    def on_patch(self, req: falcon.Request, resp: falcon.Response, name: str, namespace: str = "") -> None:
        """Server-side apply of a node's own entry."""
        _check_namespace(self._reader, namespace)
        kind, options = patch_type(req), write_options(req)
        body = read_body(req)
        if kind != APPLY_PATCH:
            raise unsupported_type((APPLY_PATCH,))
        manager = req.get_param("fieldManager")
        if manager is None:
            raise bad_request("fieldManager: Required value: is required for apply patch")
        current = self._kind.cache.get(name)
        if current is None:
            raise not_found(PLUGINS, name)
        check_match(req, current.data["metadata"])
        if not options.dry_run:
            self._nodes.apply(name, current.data["metadata"]["uid"], body.data, manager, force=options.force)
        self._reader.one(self._kind, req, resp, namespace, name)


class Scale:
    """The number of instances, as `autoscaling/v1` Scale: what `kubectl scale` and autoscalers use."""

    def __init__(self, kind: Kind, reader: Reader, writes: PluginWrites) -> None:
        self._kind = kind
        self._reader = reader
        self._writes = writes

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str, namespace: str = "") -> None:
        """Get."""
        item = self._kind.cache.get(name) if self._reader.is_ours(namespace) else None
        if item is None:
            raise not_found(PLUGINS, name)
        _send_scale(resp, item.data)

    def on_put(self, req: falcon.Request, resp: falcon.Response, name: str, namespace: str = "") -> None:
        """Replace."""
        _check_namespace(self._reader, namespace)
        options, body = write_options(req), read_body(req)
        self._change(req, resp, name, options, lambda scale: body.data)

    def on_patch(self, req: falcon.Request, resp: falcon.Response, name: str, namespace: str = "") -> None:
        """Change by any patch but server-side apply."""
        _check_namespace(self._reader, namespace)
        kind, options = patch_type(req), write_options(req)
        if kind == APPLY_PATCH:
            raise unsupported_type(DATA_PATCHES)
        self._change(req, resp, name, options, _patched(req, name, kind, read_body(req), check=False))

    def _change(
        self,
        req: falcon.Request,
        resp: falcon.Response,
        name: str,
        options: WriteOptions,
        change: Callable[[Object], Any],
    ) -> None:
        def changed(live: Object) -> Any:
            check_match(req, live["metadata"])
            scale = change(_scale(live))
            metadata = {**live["metadata"], "resourceVersion": _scale_version(scale, name)}
            return {**live, "metadata": metadata, "spec": {**live["spec"], "instances": _replicas(scale, name)}}

        written = self._writes.update(name, changed, options, subresource="scale")
        _send_scale(resp, written.item.data)


def _answer(kind: Kind, written: Written, req: falcon.Request, resp: falcon.Response) -> None:
    form = wanted_form(req)
    for warning in written.warnings:
        text = warning.replace("\\", "\\\\").replace('"', '\\"')
        resp.append_header("Warning", f'299 - "{text}"')
    resp.status = falcon.HTTP_201 if written.created else falcon.HTTP_200
    send(kind, form, written.item, req, resp)


def _patched(req: falcon.Request, name: str, kind: str, body: Body, *, check: bool) -> Callable[[Object], Any]:
    def change(live: Object) -> Any:
        if check:
            check_match(req, live["metadata"])
        if kind == MERGE_PATCH:
            return merge_patch(live, body.data)
        try:
            return (strategic_patch if kind == STRATEGIC_PATCH else json_patch)(live, body.data)
        except PatchInvalid as ex:
            if ex.malformed:
                raise bad_request(str(ex)) from ex
            raise invalid(PLUGINS, name, [("patch", str(ex))]) from ex

    return change


def _check_namespace(reader: Reader, namespace: str) -> None:
    """Refuse a write to a namespace that is not the daemon's. Raises KubeError 403."""
    if not reader.is_ours(namespace):
        raise forbidden(PLUGINS, "", f"this daemon's namespace is {reader.namespace}, not {namespace}")


def _delete_options(req: falcon.Request) -> dict[str, Any]:
    """The DeleteOptions in the body, if there is one."""
    if not req.content_length and req.get_header("Transfer-Encoding") is None:
        return {}
    data = read_body(req).data
    if not isinstance(data, dict) or data.get("kind") not in (None, "DeleteOptions"):
        raise bad_request("expected DeleteOptions")
    return data


def _no_check(metadata: Object) -> None:
    """A deletion of many has no precondition on each."""


def _scale(item: Object) -> dict[str, Any]:
    metadata = item["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    status = item.get("status", {})
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: metadata[key] for key in kept if key in metadata},
        "spec": {"replicas": item["spec"].get("instances", 1)},
        "status": {"replicas": status.get("instances", {}).get("ready", 0)},
    }


def _send_scale(resp: falcon.Response, item: Object) -> None:
    scale = _scale(item)
    resp.set_header("ETag", etag(scale["metadata"].get("resourceVersion", "")))
    resp.media = scale


def _scale_version(scale: Any, name: str) -> Any:
    metadata = scale.get("metadata", {}) if isinstance(scale, dict) else None
    if not isinstance(metadata, dict):
        raise bad_request("expected a Scale")
    if metadata.get("name") not in (None, "", name):
        raise bad_request(f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
    return metadata.get("resourceVersion")


def _replicas(scale: Any, name: str) -> int:
    spec = scale.get("spec") or {}
    replicas = spec.get("replicas", 0) if isinstance(spec, dict) else None
    if type(replicas) is not int or not 0 <= replicas <= MAX_INSTANCES:
        message = f"{replicas} is not a whole number between 0 and {MAX_INSTANCES}"
        raise invalid(PLUGINS, name, [("spec.replicas", message)])
    return replicas
