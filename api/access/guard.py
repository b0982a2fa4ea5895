"""What every request to the admin port passes before an endpoint sees it, and the audit line after.

Host, origin, who it is, whether they may. A refusal is an ApiError, which is a `Status` on the Kubernetes paths.

Belongs here: refusing requests. Does not: knowing callers (access.py), which hosts are ours (hosts.py).
"""

import logging
import re
import uuid
from collections.abc import Mapping
from typing import Any, Final

import falcon

from api.access.access import ANONYMOUS, Access, Principal, Unknown
from api.access.hosts import HostRule, same_origin
from api.errors import ApiError
from api.tls import PEER_CERTIFICATE, PeerCertificate

OPEN_PATHS: Final = frozenset({"/livez", "/readyz"})
"""Probes ask these without credentials; they tell nothing but `ok`."""

METRICS_PATH: Final = "/metrics"

READ_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_REVIEWS: Final = "/apis/authorization.k8s.io/"
"""Below this, a POST asks what the caller may do; it changes nothing."""

_VERBS: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST: Final = 500
"""Characters of a path or a name in an audit line."""

audit = logging.getLogger("audit")


def verb_of(req: falcon.Request) -> str:
    """What a request wants to do, as one of Kubernetes' verbs; `get` for all that changes nothing."""
    if req.method in READ_METHODS or f"{req.path}/".startswith(_REVIEWS):
        return "get"
    return _VERBS.get(req.method, req.method.lower())


def principal_of(req: falcon.Request) -> Principal:
    """Who sent a request, as the guard found."""
    found = getattr(req.context, "principal", None)
    return found if isinstance(found, Principal) else Principal(ANONYMOUS, None, "open")


def name_object(req: falcon.Request, name: str) -> None:
    """Say which plugin a request is about, for the audit line, where its path does not."""
    req.context.object = name


class Guard:
    """Falcon middleware; it comes first. `open_paths` need no credentials."""

    def __init__(self, access: Access, hosts: HostRule, open_paths: frozenset[str] = OPEN_PATHS) -> None:
        self._access = access
        self._hosts = hosts
        self._open_paths = open_paths

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Let it pass, or raise ApiError 401 or 403."""
        given = req.get_header("X-Request-Id") or ""
        req.context.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        resp.set_header("X-Request-Id", req.context.request_id)
        self._check_page(req)
        if req.path in self._open_paths and req.method in READ_METHODS:
            return
        req.context.principal = principal = self._identify(req)
        verb = verb_of(req)
        if not self._access.may(principal, verb):
            raise ApiError(403, f"{principal.name} may not {verb} here: {_lack(principal)}")

    def process_resource(
        self, req: falcon.Request, resp: falcon.Response, resource: object, params: Mapping[str, Any]
    ) -> None:
        """Remember which object the path names."""
        if "name" in params:
            name_object(req, params["name"])

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, resource: object, req_succeeded: bool
    ) -> None:
        """The audit line of a write, whatever became of it."""
        verb = verb_of(req)
        if verb == "get":
            return
        principal = principal_of(req)
        audit.info(
            "write",
            extra={
                "who": principal.name,
                "via": principal.via,
                "remote": f"{req.remote_addr}:{req.env.get('REMOTE_PORT', '')}",
                "verb": verb,
                "path": req.path[:_LONGEST],
                "object": _object(req, resp)[:_LONGEST],
                "status": resp.status_code,
                "request_id": req.context.request_id,
            },
        )

    def _check_page(self, req: falcon.Request) -> None:
        """Refuse what a web page of somebody else made a browser send."""
        host = req.get_header("Host")
        if host is not None and not self._hosts.allows(host):
            raise ApiError(403, f"{host} is not a name of this server; start it with --admin-host to call it so")
        if verb_of(req) == "get":
            return
        origin, site = req.get_header("Origin"), req.get_header("Sec-Fetch-Site")
        if origin is not None and not same_origin(origin, host or ""):
            raise ApiError(403, f"a page from {origin} may not change anything here")
        if site not in (None, "same-origin", "none"):
            raise ApiError(403, "a page from elsewhere may not change anything here")

    def _identify(self, req: falcon.Request) -> Principal:
        certificate = req.env.get(PEER_CERTIFICATE)
        try:
            return self._access.identify(
                req.get_header("Authorization"), certificate if isinstance(certificate, PeerCertificate) else None
            )
        except Unknown as error:
            challenge = 'Bearer realm="wasm-reconciler"' + (', error="invalid_token"' if error.shown else "")
            raise ApiError(401, str(error), headers={"WWW-Authenticate": challenge}) from error


def _lack(principal: Principal) -> str:
    if principal.role is None:
        return "that certificate has no role; list its commonName in the tokens file"
    return f"the role {principal.role} only reads; ask for a token of the role write"


def _object(req: falcon.Request, resp: falcon.Response) -> str:
    """The plugin's name: from the path or the body, else from the answer."""
    known = getattr(req.context, "object", None)
    if isinstance(known, str):
        return known
    answer = resp.media if isinstance(resp.media, Mapping) else {}
    for part in (answer.get("metadata"), answer.get("details"), answer):
        if isinstance(part, Mapping) and isinstance(part.get("name"), str):
            return str(part["name"])
    return ""
