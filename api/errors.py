"""How the admin port says no: always JSON, always `{"error": "..."}`, and the sentence ends with what to do.

    ApiError (a falcon.HTTPError)      an endpoint refuses; status, message, further fields
    SpecError and below                desired state refuses; mapped here, once, to a status
    anything else                      a bug of ours: logged with its stack, answered 500 without it

Belongs here: turning errors into answers. Does not: deciding that something is an error.
"""

import logging
from typing import Any, Final

import falcon

from specs.errors import Problem, SpecConflict, SpecError, SpecInvalid, SpecNotFound, SpecReadOnly, SpecWriteFailed

logger = logging.getLogger(__name__)

ENDPOINTS: Final = (
    "POST /wasm/install, /wasm/update, /wasm/uninstall; "
    "GET / (a page), /apis/wasm-reconciler.dev/v1alpha1/wasmplugins, /sources, /events, /logs, /node, "
    "/revisions/NAME, /metrics, "
    "/actuator/health/liveness, /actuator/health/readiness, /actuator/info, /livez, /readyz"
)
"""What a 404 offers instead."""


class ApiError(falcon.HTTPError):
    """A refusal with a status code, a sentence, and whatever else helps a program to act on it."""

    def __init__(self, status: int, message: str, /, *, headers: dict[str, str] | None = None, **details: Any) -> None:
        super().__init__(status, description=message, headers=headers)
        self.message = message
        self.details = details


def install_error_handlers(app: "falcon.App[Any, Any]") -> None:
    """Make an app answer every error as this module says."""
    app.set_error_serializer(serialize)
    # Falcon takes the handler of the nearest base class; its own HTTPError handler stays, and uses the serializer.
    app.add_error_handler(Exception, _unexpected)
    app.add_error_handler(SpecError, _refused)


def problem_fields(problem: Problem) -> dict[str, Any]:
    """A problem as JSON-able data, without the parts that are not known."""
    known = {
        "message": problem.message,
        "field": problem.field,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
    }
    return {key: value for key, value in known.items() if value}


def serialize(req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError) -> None:
    """Falcon's error serializer: the answer's body for an error."""
    resp.content_type = falcon.MEDIA_JSON
    if isinstance(error, ApiError):
        resp.media = {"error": error.message} | error.details
    elif isinstance(error, falcon.HTTPMethodNotAllowed):
        allowed = (error.headers or {}).get("Allow", "") if isinstance(error.headers, dict) else ""
        resp.media = {"error": f"{req.method} is not allowed on {req.path}; use {allowed or 'another method'}"}
    elif isinstance(error, falcon.HTTPRouteNotFound):
        resp.media = {"error": f"{req.path} is not an endpoint; there are {ENDPOINTS}"}
    else:
        resp.media = {"error": error.description or error.title}


def _refused(req: falcon.Request, resp: falcon.Response, error: SpecError, params: dict[str, Any]) -> None:
    if isinstance(error, SpecInvalid):
        raise ApiError(400, str(error), problems=[problem_fields(problem) for problem in error.problems])
    if isinstance(error, SpecReadOnly):
        raise ApiError(409, str(error), file=error.file)
    if isinstance(error, SpecConflict):
        raise ApiError(409, str(error))
    if isinstance(error, SpecNotFound):
        raise ApiError(404, str(error))
    if isinstance(error, SpecWriteFailed):
        raise ApiError(507, str(error))
    raise ApiError(500, str(error))


def _unexpected(req: falcon.Request, resp: falcon.Response, error: Exception, params: dict[str, Any]) -> None:
    logger.error("a request failed", extra={"method": req.method, "path": req.path}, exc_info=error)
    raise ApiError(500, "this is a fault of the daemon, not of the request; its log has the details")
