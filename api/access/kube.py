"""The answer to `kubectl auth can-i`, from the same rights that the guard checks."""

import falcon

from api.access.access import Access, Principal
from api.access.guard import principal_of
from api.kube.access import Decision
from api.kube.resources import Resource


class RoleAuthorizer:
    """An `api.kube.access.Authorizer`."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def decide(self, req: falcon.Request, verb: str, resource: Resource, subresource: str) -> Decision:
        """Whether the caller's role covers the verb."""
        principal = principal_of(req)
        # Anybody who may ask may ask: the reviews change nothing.
        asks = resource.group == "authorization.k8s.io" and verb == "create"
        allowed = principal.role is not None if asks else self._access.may(principal, verb)
        return _decision(principal, allowed=allowed)

    def read(self, req: falcon.Request) -> Decision:
        """Whether the caller's role covers reading."""
        principal = principal_of(req)
        return _decision(principal, allowed=self._access.may(principal, "get"))


def _decision(principal: Principal, *, allowed: bool) -> Decision:
    return Decision(allowed, f"{principal.name} has the role {principal.role or 'none'}")
