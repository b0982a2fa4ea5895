"""May I? The reviews behind `kubectl auth can-i`, answered by what is served and by whoever decides about access.

Belongs here: the two review kinds. Does not: knowing callers (an `Authorizer` does).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import falcon

from api.kube.errors import bad_request
from api.kube.protobuf import MEDIA_TYPE, NotProtobuf, read_review
from api.kube.requests import read_body
from api.kube.resources import ACCESS_REVIEWS, RESOURCES, RULES_REVIEWS, Resource

PATHS: Final = ("/api", "/api/*", "/apis", "/apis/*", "/livez", "/openapi", "/openapi/*", "/readyz", "/version")
"""What can be read that is no resource."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether it is allowed, and why (or why not)."""

    allowed: bool
    reason: str


class Authorizer(Protocol):
    """Decides about what is served."""

    def decide(self, req: falcon.Request, verb: str, resource: Resource, subresource: str) -> Decision:
        """Whether the caller of `req` may do that."""

    def read(self, req: falcon.Request) -> Decision:
        """Whether the caller of `req` may read what is no resource, such as `/version`."""


class AllowServed:
    """An authorizer for a port that asks nobody who they are: all that is served is allowed."""

    def decide(self, req: falcon.Request, verb: str, resource: Resource, subresource: str) -> Decision:
        """Yes."""
        return Decision(True, "this port asks for no credentials")

    def read(self, req: falcon.Request) -> Decision:
        """Yes."""
        return Decision(True, "this port asks for no credentials")


class AccessReview:
    """`selfsubjectaccessreviews`: whether the caller may do this."""

    def __init__(self, authorizer: Authorizer, namespace: str) -> None:
        self._authorizer = authorizer
        self._namespace = namespace

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer it."""
        data = _review(req, ACCESS_REVIEWS)
        spec = data["spec"]
        about, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if isinstance(about, Mapping):
            decision = self._resource(req, about)
        elif isinstance(path, Mapping):
            decision = self._path(req, path)
        else:
            raise bad_request("spec: expected resourceAttributes or nonResourceAttributes")
        status: dict[str, Any] = {"allowed": decision.allowed, "reason": decision.reason}
        resp.status = falcon.HTTP_201
        resp.media = {**data, "metadata": {}, "status": status}

    def _resource(self, req: falcon.Request, about: Mapping[str, Any]) -> Decision:
        verb, plural = about.get("verb", ""), about.get("resource", "")
        group, part = about.get("group", ""), about.get("subresource", "")
        found = [one for one in RESOURCES if group in ("*", one.group) and plural in ("*", one.plural)]
        if not found:
            return Decision(False, f"this server has no resource {plural} in the group {group or 'of the core'}")
        if about.get("namespace", "") not in ("", self._namespace):
            return Decision(False, f"this server's only namespace is {self._namespace}")
        for resource in found:
            if verb != "*" and verb not in _verbs(resource, part):
                return Decision(False, f"{verb} is not served for {plural}{'/' if part else ''}{part}")
            if verb == "*" and resource.verbs != found[0].verbs:
                return Decision(False, f"not every verb is served for {plural}")
            decision = self._authorizer.decide(req, verb, resource, part)
            if not decision.allowed:
                return decision
        return decision

    def _path(self, req: falcon.Request, about: Mapping[str, Any]) -> Decision:
        path, verb = str(about.get("path", "")), about.get("verb")
        known = any(path == one or (one.endswith("*") and path.startswith(one[:-1])) for one in PATHS)
        if known and verb == "get":
            return self._authorizer.read(req)
        return Decision(False, f"{verb} is not served on {path}")


class RulesReview:
    """`selfsubjectrulesreviews`: what the caller may do."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Answer it."""
        data = _review(req, RULES_REVIEWS)
        rules = [
            {"verbs": verbs, "apiGroups": [resource.group], "resources": [name]}
            for resource in RESOURCES
            for name, part, served in _addresses(resource)
            if (verbs := [verb for verb in served if self._authorizer.decide(req, verb, resource, part).allowed])
        ]
        status = {
            "resourceRules": rules,
            "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": list(PATHS)}],
            "incomplete": False,
        }
        resp.status = falcon.HTTP_201
        resp.media = {**data, "metadata": {}, "status": status}


def _addresses(resource: Resource) -> list[tuple[str, str, tuple[str, ...]]]:
    parts = [(f"{resource.plural}/{part.name}", part.name, part.verbs) for part in resource.subresources]
    return [(resource.plural, "", resource.verbs), *parts]


def _verbs(resource: Resource, subresource: str) -> tuple[str, ...]:
    return next((verbs for _, part, verbs in _addresses(resource) if part == subresource), ())


def _review_data(req: falcon.Request) -> Any:
    if req.content_type != MEDIA_TYPE:
        return read_body(req).data
    try:
        return read_review(req.bounded_stream.read())
    except NotProtobuf as ex:
        raise bad_request(f"the body cannot be read: {ex}") from ex


def _review(req: falcon.Request, resource: Resource) -> dict[str, Any]:
    data = _review_data(req)
    if not isinstance(data, dict) or not isinstance(data.get("spec"), dict):
        raise bad_request(f"expected a {resource.kind} with a spec")
    for field, expected in (("apiVersion", resource.api_version), ("kind", resource.kind)):
        if data.get(field, expected) != expected:
            raise bad_request(f"{field}: expected {expected}, not {data[field]}")
    return {**data, "apiVersion": resource.api_version, "kind": resource.kind}
