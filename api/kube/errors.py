"""How the Kubernetes API says no: a `Status` object with the reason that clients act on.

KubeError is a falcon.HTTPError; what else is raised below a Kubernetes path (a method that is not allowed, a body that
is too large) is turned into a `Status` by the serializer. Reasons and texts are those of k8s.io/apimachinery
`pkg/api/errors`, which clients compare.
"""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import falcon

from api.errors import ApiError
from api.kube.resources import Resource
from specs.errors import SpecConflict, SpecError, SpecInvalid, SpecNotFound, SpecReadOnly, SpecWriteFailed

PREFIXES: Final = ("/api/", "/apis/", "/openapi/", "/version/")
_REASONS: Final = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "NotAcceptable",
    409: "Conflict",
    410: "Gone",
    412: "PreconditionFailed",
    413: "RequestEntityTooLarge",
    415: "UnsupportedMediaType",
    422: "Invalid",
    429: "TooManyRequests",
    503: "ServiceUnavailable",
    504: "Timeout",
}

Serializer = Callable[[falcon.Request, falcon.Response, falcon.HTTPError], None]


class KubeError(falcon.HTTPError):
    """A refusal, as a `Status`. `details` are the fields of `Status.details`."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        reason: str = "",
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code, description=message, headers=dict(headers or {}))
        self.message = message
        self.reason = reason or _REASONS.get(code, "InternalError")
        self.details = dict(details or {})

    def answer(self) -> dict[str, Any]:
        """The `Status` object."""
        return _status(self.status_code, self.reason, self.message, self.details)


def _status(code: int, reason: str, message: str, details: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": dict(details),
        "code": code,
    }
    return {key: value for key, value in found.items() if key != "details" or value}


def success(resource: Resource, name: str, uid: str) -> dict[str, Any]:
    """The `Status` that answers a deletion."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": name, "group": resource.group, "kind": resource.plural, "uid": uid},
    }


def serializer(otherwise: Serializer) -> Serializer:
    """Falcon's error serializer: a `Status` below Kubernetes paths; elsewhere what `otherwise` makes of it."""

    def serialize(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError) -> None:
        if isinstance(error, KubeError):
            resp.content_type = falcon.MEDIA_JSON
            resp.media = error.answer()
        elif f"{req.path}/".startswith(PREFIXES):
            resp.content_type = falcon.MEDIA_JSON
            code = error.status_code
            resp.media = _status(code, _REASONS.get(code, "InternalError"), _sentence(req, error), {})
        else:
            otherwise(req, resp, error)

    return serialize


def _sentence(req: falcon.Request, error: falcon.HTTPError) -> str:
    if isinstance(error, ApiError):
        return error.message
    if isinstance(error, falcon.HTTPMethodNotAllowed):
        return f"the server does not allow {req.method} on {req.path}"
    if isinstance(error, falcon.HTTPRouteNotFound):
        return "the server could not find the requested resource"
    return error.description or error.title or HTTPStatus(error.status_code).phrase


def _about(resource: Resource, name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "group": resource.group, "kind": resource.plural, **more}


def not_found(resource: Resource, name: str) -> KubeError:
    """404: no object of that name."""
    return KubeError(404, f'{resource.qualified} "{name}" not found', details=_about(resource, name))


def already_exists(resource: Resource, name: str) -> KubeError:
    """409 on a create."""
    message = f'{resource.qualified} "{name}" already exists'
    return KubeError(409, message, reason="AlreadyExists", details=_about(resource, name))


def conflict(resource: Resource, name: str, why: str) -> KubeError:
    """409: the object is not what the caller thinks it is."""
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return KubeError(409, message, details=_about(resource, name))


def stale(resource: Resource, name: str) -> KubeError:
    """409: the object was changed since it was read."""
    why = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, why)


def forbidden(resource: Resource, name: str, why: str) -> KubeError:
    """403: it cannot be written."""
    return KubeError(403, f'{resource.qualified} "{name}" is forbidden: {why}', details=_about(resource, name))


def bad_request(message: str) -> KubeError:
    """400: the request itself is wrong."""
    return KubeError(400, message)


def invalid(resource: Resource, name: str, problems: Sequence[tuple[str, str]]) -> KubeError:
    """422: the object is wrong. `problems` are fields and what is wrong with them."""
    texts = [f"{field}: {message}" if field else message for field, message in problems]
    text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    causes = [
        {
            "reason": "FieldValueRequired" if message == "is required" else "FieldValueInvalid",
            "message": message,
            "field": field,
        }
        for field, message in problems
    ]
    details = {"name": name, "group": resource.group, "kind": resource.kind, "causes": causes}
    return KubeError(422, f'{resource.qualified_kind} "{name}" is invalid: {text}', details=details)


def expired(message: str) -> KubeError:
    """410: that version is no longer known; list again."""
    return KubeError(410, message, reason="Expired")


def from_spec(resource: Resource, name: str, error: SpecError) -> KubeError:
    """What desired state refused, as a Kubernetes client understands it."""
    if isinstance(error, SpecInvalid):
        return invalid(resource, name, [(problem.field, str(problem)) for problem in error.problems])
    if isinstance(error, SpecReadOnly):
        return forbidden(resource, name, str(error))
    if isinstance(error, SpecConflict):
        return conflict(resource, name, str(error))
    if isinstance(error, SpecNotFound):
        return not_found(resource, name)
    if isinstance(error, SpecWriteFailed):
        return KubeError(507, str(error), reason="InsufficientStorage", details=_about(resource, name))
    return KubeError(500, str(error))
