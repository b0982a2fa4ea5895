"""What a client sent as a plugin: checked against the model, with Kubernetes' three ways of treating unknown fields."""

import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from api.kube.errors import KubeError, bad_request, invalid
from api.kube.requests import Validation
from api.kube.resources import PLUGINS
from specs.document import without_server_fields
from specs.explain import dotted, explain
from specs.model import API_VERSION, KIND, WasmPlugin
from specs.nodes import unwritable

_IGNORED_METADATA: Final = ("deletionTimestamp", "deletionGracePeriodSeconds", "generateName")
_REFUSED_METADATA: Final = ("finalizers", "ownerReferences")
_SUFFIX: Final = 5
_ALPHABET: Final = string.digits + string.ascii_lowercase


@dataclass(frozen=True, slots=True)
class Decoded:
    """A plugin, and what is to be said in Warning headers."""

    plugin: WasmPlugin
    warnings: tuple[str, ...]


def identify(data: Any, namespace: str, *, name: str | None = None) -> dict[str, Any]:
    """`data` as an object of ours, with `metadata.name` given or generated. Raises KubeError 400.

    `name` is the name on the URL, if there is one.
    """
    if not isinstance(data, dict):
        raise bad_request("expected an object")
    if data.get("apiVersion") != API_VERSION:
        given = data.get("apiVersion", "")
        raise bad_request(
            f"the API version in the data ({given}) does not match the expected API version ({API_VERSION})"
        )
    if data.get("kind") != KIND:
        raise bad_request(f"the kind in the data ({data.get('kind', '')}) does not match the expected kind ({KIND})")
    metadata = data.get("metadata")
    if metadata is None and name is not None:
        metadata = {"name": name}
    if not isinstance(metadata, dict):
        raise bad_request("metadata: expected a mapping with a name")
    found = metadata.get("name")
    if name is not None and found not in (None, "", name):
        raise bad_request(f"the name of the object ({found}) does not match the name on the URL ({name})")
    if name is None and not found:
        prefix = metadata.get("generateName")
        if not isinstance(prefix, str) or not prefix:
            raise invalid(PLUGINS, "", [("metadata.name", "is required")])
        found = prefix + "".join(secrets.choice(_ALPHABET) for _ in range(_SUFFIX))
    if metadata.get("namespace") not in (None, "", namespace):
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request; "
            f"this daemon's is {namespace}"
        )
    return {**data, "metadata": {**metadata, "name": name or found}}


def decode(
    data: Mapping[str, Any], validation: Validation, duplicates: tuple[str, ...] = (), *, keep_namespace: bool = False
) -> Decoded:
    """The plugin that an object describes. Raises KubeError 400 (unknown fields under Strict), 422."""
    cleaned = _cleaned(data, keep_namespace)
    name = str(cleaned["metadata"].get("name"))
    trouble = unwritable(cleaned)  # a patch may have put together what is too much as a whole
    if trouble:
        raise invalid(PLUGINS, name, [("spec", trouble)])
    unknown = [f'duplicate field "{key}"' for key in duplicates]
    try:
        plugin = WasmPlugin.model_validate(cleaned)
    except ValidationError as ex:
        extra = [detail["loc"] for detail in ex.errors(include_url=False) if detail["type"] == "extra_forbidden"]
        unknown += [f'unknown field "{dotted(path)}"' for path in extra]
        problems = [(dotted(path), text) for path, text in explain(ex, cleaned) if path not in extra]
        if unknown and validation is Validation.STRICT:
            raise _strict(unknown) from ex
        if problems:
            raise invalid(PLUGINS, name, problems) from ex
        plugin = WasmPlugin.model_validate(_without(cleaned, extra))
    if unknown and validation is Validation.STRICT:
        raise _strict(unknown)
    return Decoded(plugin, tuple(unknown) if validation is Validation.WARN else ())


def _strict(unknown: list[str]) -> KubeError:
    return bad_request(
        f'{KIND} in version "{PLUGINS.version}" cannot be handled as a {KIND}: strict decoding error: '
        + ", ".join(unknown)
    )


def _cleaned(data: Mapping[str, Any], keep_namespace: bool) -> dict[str, Any]:
    """Without what only the server writes, and without nulls, which say the same as nothing."""
    cleaned, _ = without_server_fields(data)
    metadata = cleaned.get("metadata")
    if not isinstance(metadata, Mapping):
        raise bad_request("metadata: expected a mapping")
    name = str(metadata.get("name", ""))
    refused = [key for key in _REFUSED_METADATA if metadata.get(key)]
    if refused:
        raise invalid(PLUGINS, name, [(f"metadata.{key}", "Forbidden: this server has none") for key in refused])
    dropped = {*_IGNORED_METADATA, *_REFUSED_METADATA, *(() if keep_namespace else ("namespace",))}
    cleaned["metadata"] = {key: value for key, value in metadata.items() if key not in dropped}
    for part in ("metadata", "spec"):
        if part in cleaned:
            cleaned[part] = without_nulls(cleaned[part])
    for part in ("labels", "annotations"):
        if cleaned["metadata"].get(part) == {}:
            del cleaned["metadata"][part]
    return cleaned


def without_nulls(data: Any) -> Any:
    """Data whose mappings have no null values, at any depth but inside `config`, which is the guest's own."""
    if isinstance(data, dict):
        return {
            key: value if key == "config" else without_nulls(value) for key, value in data.items() if value is not None
        }
    if isinstance(data, list):
        return [without_nulls(value) for value in data]
    return data


def _without(data: dict[str, Any], paths: list[tuple[str | int, ...]]) -> dict[str, Any]:
    found = without_nulls(data)  # a copy of all mappings that a path can lead through
    for path in paths:
        here: Any = found
        for step in path[:-1]:
            here = here[step]
        here.pop(path[-1], None)
    return dict(found)
