"""What is served, told to clients that look around: groups, versions, resources; plain and aggregated."""

import platform
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

import falcon

from api.kube.resources import RESOURCES, Resource, Subresource

_AGGREGATED: Final = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
MINOR: Final = "35"
"""The Kubernetes release whose protocol is spoken: the newest that all common clients call supported."""


class CoreVersions:
    """`/api`: the versions of the core group."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Plain or aggregated."""
        if _wants_aggregated(req):
            _send_aggregated(resp, [""])
            return
        resp.media = {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


class Groups:
    """`/apis`: all other groups."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Plain or aggregated."""
        names = group_names()
        if _wants_aggregated(req):
            _send_aggregated(resp, names)
            return
        resp.media = {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in names]}


class Group:
    """`/apis/GROUP`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Its versions."""
        resp.media = {"kind": "APIGroup", "apiVersion": "v1", **_group(self._name)}


class GroupVersion:
    """`/api/v1`, `/apis/GROUP/VERSION`."""

    def __init__(self, api_version: str) -> None:
        self._api_version = api_version

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Its resources."""
        found = [resource for resource in RESOURCES if resource.api_version == self._api_version]
        resp.media = {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": self._api_version,
            "resources": [entry for resource in found for entry in _entries(resource)],
        }


class Version:
    """`/version`."""

    def __init__(self, version: str) -> None:
        # Clients read it as a semantic version, whose build part has letters, digits and hyphens.
        self._version = re.sub(r"[^0-9A-Za-z.-]", "-", version)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The protocol's release, and the daemon's version."""
        resp.media = {
            "major": "1",
            "minor": MINOR,
            "gitVersion": f"v1.{MINOR}.0+wasm-reconciler-{self._version}",
            "gitCommit": "",
            "gitTreeState": "",
            "buildDate": "",
            "goVersion": "",
            "compiler": "",
            "platform": f"{platform.system().lower()}/{platform.machine()}",
        }


def group_names() -> list[str]:
    """All groups but the core group."""
    return list(dict.fromkeys(resource.group for resource in RESOURCES if resource.group))


def _group(name: str) -> dict[str, Any]:
    versions = dict.fromkeys(resource.version for resource in RESOURCES if resource.group == name)
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def _entries(resource: Resource) -> Iterable[dict[str, Any]]:
    yield {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
        **({"shortNames": list(resource.short_names)} if resource.short_names else {}),
        **({"categories": list(resource.categories)} if resource.categories else {}),
    }
    for part in resource.subresources:
        foreign = {"group": part.group, "version": part.version} if part.group != resource.group else {}
        yield {
            "name": f"{resource.plural}/{part.name}",
            "singularName": "",
            "namespaced": resource.namespaced,
            "kind": part.kind,
            "verbs": list(part.verbs),
            **foreign,
        }


def _wants_aggregated(req: falcon.Request) -> bool:
    """Whether the aggregated form is asked for. Its parameters come in any order."""
    wanted = set(_AGGREGATED.split(";"))
    return any(wanted <= {piece.strip() for piece in part.split(";")} for part in req.accept.split(","))


def _send_aggregated(resp: falcon.Response, groups: Sequence[str]) -> None:
    resp.media = {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [_aggregated_group(name) for name in groups],
    }
    resp.content_type = _AGGREGATED


def _aggregated_group(name: str) -> dict[str, Any]:
    resources = [resource for resource in RESOURCES if resource.group == name]
    versions = [
        {
            "version": version,
            "freshness": "Current",
            "resources": [_aggregated(one) for one in resources if one.version == version],
        }
        for version in dict.fromkeys(resource.version for resource in resources)
    ]
    return {"metadata": {"name": name} if name else {}, "versions": versions}


def _aggregated(resource: Resource) -> dict[str, Any]:
    parts = [_aggregated_part(part) for part in resource.subresources]
    return {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
        **({"shortNames": list(resource.short_names)} if resource.short_names else {}),
        **({"categories": list(resource.categories)} if resource.categories else {}),
        **({"subresources": parts} if parts else {}),
    }


def _aggregated_part(part: Subresource) -> dict[str, Any]:
    return {
        "subresource": part.name,
        "responseKind": {"group": part.group, "version": part.version, "kind": part.kind},
        "verbs": list(part.verbs),
    }
