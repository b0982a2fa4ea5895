"""What a request says about itself: parameters, the form of the answer that is wanted, preconditions, the body.

Belongs here: reading and refusing. Does not: acting.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import falcon

from api.kube.errors import KubeError, bad_request
from api.kube.selectors import Selection, SelectorInvalid, parse_fields, parse_labels
from specs.nodes import unwritable
from specs.text import parse

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
DATA_PATCHES: Final = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)
"""The patches that say how data changes, whoever owns it."""
_YAML: Final = ("application/yaml", APPLY_PATCH)
MAX_LIMIT: Final = 2**31 - 1
MAX_VERSION: Final = 2**63 - 1
MAX_MANAGER: Final = 128


class Form(Enum):
    """In which form objects are sent."""

    OBJECT = "object"
    TABLE = "table"
    METADATA = "metadata"


class Validation(Enum):
    """What happens to a field that the schema does not know."""

    STRICT = "Strict"
    WARN = "Warn"
    IGNORE = "Ignore"


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """What a write says besides its body. `manager` owns what it changes."""

    dry_run: bool
    manager: str
    validation: Validation
    force: bool


@dataclass(frozen=True, slots=True)
class ListOptions:
    """What a list or watch says. Versions are 0 where none is given."""

    selection: Selection
    version: int
    version_match: str
    limit: int
    token: str
    watch: bool
    bookmarks: bool
    initial_events: bool
    timeout: float | None


def wanted_form(req: falcon.Request) -> Form:
    """From the Accept header. Raises KubeError 406."""
    accept = req.get_header("Accept") or "*/*"
    for part in accept.split(","):
        kind, *parameters = (piece.strip() for piece in part.split(";"))
        given = dict(parameter.split("=", 1) for parameter in parameters if "=" in parameter)
        if kind not in ("application/json", "application/*", "*/*"):
            continue
        match given.get("as"):
            case None:
                return Form.OBJECT
            case "Table" if given.get("v") == "v1":
                return Form.TABLE
            case "PartialObjectMetadata" | "PartialObjectMetadataList" if given.get("v") == "v1":
                return Form.METADATA
    raise KubeError(406, "only the following media types are accepted: application/json")


def flag(req: falcon.Request, name: str) -> bool:
    """A boolean parameter, false where it is absent. Raises KubeError 400."""
    text = req.get_param(name)
    if text in (None, "", "false", "False", "0", "f", "F"):
        return False
    if text in ("true", "True", "1", "t", "T"):
        return True
    raise bad_request(f"{name}: expected true or false, not {text!r}")


def _number(req: falcon.Request, name: str, largest: int) -> int:
    text = req.get_param(name) or "0"
    if not re.fullmatch(r"[0-9]{1,19}", text) or int(text) > largest:
        raise bad_request(f"{name}: expected a whole number between 0 and {largest}, not {text!r}")
    return int(text)


def list_options(req: falcon.Request, fields: re.Pattern[str], name: str | None = None) -> ListOptions:
    """The options of a list or watch. `fields` matches what can be selected by. Raises KubeError 400."""
    try:
        tests = parse_labels(req.get_param("labelSelector") or "")
        tests += parse_fields(req.get_param("fieldSelector") or "", lambda field: bool(fields.fullmatch(field)))
    except SelectorInvalid as ex:
        raise bad_request(str(ex)) from ex
    if name is not None:
        tests += (lambda item: item["metadata"]["name"] == name,)
    timeout = req.get_param("timeoutSeconds")
    watch, initial = flag(req, "watch"), flag(req, "sendInitialEvents")
    match = req.get_param("resourceVersionMatch") or ""
    version = _number(req, "resourceVersion", MAX_VERSION)
    if match not in ("", "Exact", "NotOlderThan"):
        raise bad_request(f"resourceVersionMatch: expected Exact or NotOlderThan, not {match!r}")
    if initial and match != "NotOlderThan":
        raise bad_request('sendInitialEvents is forbidden unless resourceVersionMatch is "NotOlderThan"')
    if not watch and match and req.get_param("resourceVersion") is None:
        raise bad_request("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match == "Exact" and version == 0:
        raise bad_request('resourceVersionMatch is forbidden to be "Exact" for resourceVersion "0"')
    return ListOptions(
        selection=Selection(tests),
        version=version,
        version_match=match,
        limit=_number(req, "limit", MAX_LIMIT),
        token=req.get_param("continue") or "",
        watch=watch,
        bookmarks=flag(req, "allowWatchBookmarks"),
        initial_events=initial,
        timeout=None if timeout is None else float(_number(req, "timeoutSeconds", MAX_LIMIT)),
    )


def write_options(req: falcon.Request) -> WriteOptions:
    """The options of a write. Raises KubeError 400."""
    validation = req.get_param("fieldValidation") or Validation.WARN.value
    if validation not in [entry.value for entry in Validation]:
        raise bad_request(f"fieldValidation: expected Ignore, Warn or Strict, not {validation!r}")
    manager = req.get_param("fieldManager")
    if manager is None:
        manager = (req.user_agent or "unknown").split("/")[0][:MAX_MANAGER] or "unknown"
    if len(manager) > MAX_MANAGER or not manager.isprintable():
        raise bad_request(f"fieldManager: expected at most {MAX_MANAGER} printable characters")
    return WriteOptions(dry_run(req.get_param_as_list("dryRun")), manager, Validation(validation), flag(req, "force"))


def dry_run(given: Any) -> bool:
    """Whether nothing is to be written. Raises KubeError 400."""
    if not given:
        return False
    if given != ["All"]:
        raise bad_request(f"dryRun: expected All, not {given!r}")
    return True


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body as data. `duplicates` says which keys are given twice, if they can be read past that."""

    data: Any
    duplicates: tuple[str, ...] = ()


def read_body(req: falcon.Request) -> Body:
    """The body, in JSON or YAML as its type says. Raises KubeError 400, 415."""
    kind = (req.content_type or "application/json").split(";")[0].strip().lower()
    raw = req.bounded_stream.read()
    if not raw.strip():
        raise bad_request("the body is empty; send an object")
    try:
        text = raw.decode()
    except UnicodeDecodeError as ex:
        raise bad_request(f"the body is not text in UTF-8: {ex.reason}") from ex
    if kind in _YAML:
        return _from_yaml(text)
    if kind in ("application/json", *DATA_PATCHES):
        return _from_json(text)
    raise unsupported_type(("application/json", "application/yaml"))


def patch_type(req: falcon.Request) -> str:
    """The kind of patch. Raises KubeError 415."""
    kind = (req.content_type or "").split(";")[0].strip().lower()
    if kind not in (*DATA_PATCHES, APPLY_PATCH):
        raise unsupported_type((*DATA_PATCHES, APPLY_PATCH))
    return kind


def unsupported_type(accepted: tuple[str, ...]) -> KubeError:
    """415."""
    message = "the body of the request was in an unknown format - accepted media types include: "
    return KubeError(415, message + ", ".join(accepted))


def _from_json(text: str) -> Body:
    duplicates: list[str] = []

    def pairs(entries: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(entries)
        if len(found) < len(entries):
            keys = [key for key, _ in entries]
            duplicates.extend(key for key in found if keys.count(key) > 1)
        return found

    def constant(name: str) -> Any:
        raise ValueError(f"{name} is not a number in JSON")

    try:
        data = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except (ValueError, RecursionError) as ex:
        raise bad_request(f"the body is not JSON: {ex}") from ex
    trouble = unwritable(data)
    if trouble:
        raise bad_request(f"the body cannot be taken: {trouble}")
    return Body(data, tuple(duplicates))


def _from_yaml(text: str) -> Body:
    tree = parse(text, is_json=False)
    if tree.flaws:
        flaw = tree.flaws[0]
        raise bad_request(f"the body cannot be read: line {flaw.line}, column {flaw.column}: {flaw.message}")
    if len(tree.roots) != 1:
        raise bad_request(f"expected one document, found {len(tree.roots)}")
    return Body(tree.roots[0].node.data)


def etag(version: str) -> str:
    """The entity tag of a resource version."""
    return f'"{version}"'


def unchanged(req: falcon.Request, version: str) -> bool:
    """Whether If-None-Match says that the client has that version already."""
    return _matches(req.get_header("If-None-Match"), version)


def check_match(req: falcon.Request, metadata: Mapping[str, Any] | None) -> None:
    """Refuse a write whose If-Match or If-None-Match does not hold. Raises KubeError 412."""
    version = metadata["resourceVersion"] if metadata else None
    wanted, unwanted = req.get_header("If-Match"), req.get_header("If-None-Match")
    if wanted is not None and not (version and _matches(wanted, version)):
        raise KubeError(412, f"If-Match: {wanted} does not hold; the object is at version {version}")
    if unwanted is not None and version and _matches(unwanted, version):
        raise KubeError(412, f"If-None-Match: {unwanted} does not hold; the object is at version {version}")


def _matches(header: str | None, version: str) -> bool:
    if header is None:
        return False
    return header.strip() == "*" or etag(version) in [part.strip().removeprefix("W/") for part in header.split(",")]
