"""JSON patch (RFC 6902), JSON merge patch (RFC 7386) and Kubernetes' strategic merge patch on plain data. Pure."""

import copy
from typing import Any, Final

import jsonpatch
import jsonpointer

_PATCH: Final = "$patch"
_RETAIN: Final = "$retainKeys"
_DELETE: Final = "$deleteFromPrimitiveList/"
_ORDER: Final = "$setElementOrder/"

MAX_OPERATIONS: Final = 10_000
"""Operations of one JSON patch, as in Kubernetes."""


class PatchInvalid(ValueError):
    """The patch is not one, or cannot be applied to the object; `str()` says why. `malformed`: it never could."""

    def __init__(self, message: str, *, malformed: bool) -> None:
        super().__init__(message)
        self.malformed = malformed


def merge_patch(target: Any, patch: Any) -> Any:
    """`target` changed by a merge patch: null removes, mappings merge, all else replaces. New data."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = {key: copy.deepcopy(value) for key, value in target.items()} if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def json_patch(target: Any, operations: Any) -> Any:
    """`target` changed by a JSON patch. New data. Raises PatchInvalid."""
    if not isinstance(operations, list):
        raise PatchInvalid("a JSON patch is a list of operations", malformed=True)
    if len(operations) > MAX_OPERATIONS:
        raise PatchInvalid(f"a JSON patch has at most {MAX_OPERATIONS} operations", malformed=True)
    try:
        return jsonpatch.apply_patch(copy.deepcopy(target), operations)
    except (jsonpatch.InvalidJsonPatch, TypeError, KeyError, AttributeError) as ex:
        raise PatchInvalid(f"the JSON patch is not valid: {ex}", malformed=True) from ex
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as ex:
        message = str(ex) or "a test operation does not hold"
        raise PatchInvalid(f"the JSON patch cannot be applied: {message}", malformed=False) from ex


def strategic_patch(target: Any, patch: Any) -> Any:
    """`target` changed by a strategic merge patch. New data. Raises PatchInvalid.

    As Kubernetes applies it to a type whose lists have no merge keys: a merge patch, in which a mapping may also say
    `$patch: replace`, `$patch: delete` or `$retainKeys`, and name values that go from a list of plain ones. What needs
    a merge key is refused. The directives are those of k8s.io/apimachinery/pkg/util/strategicpatch.
    """
    if not isinstance(patch, dict):
        raise PatchInvalid("a strategic merge patch is an object", malformed=True)
    return _strategic(target if isinstance(target, dict) else {}, patch)


def _strategic(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    if _PATCH in patch:
        if patch[_PATCH] not in ("replace", "delete"):
            message = f"{_PATCH}: expected replace or delete in a mapping, not {patch[_PATCH]!r}"
            raise PatchInvalid(message, malformed=True)
        kept = {key: value for key, value in patch.items() if key != _PATCH}
        return _strategic({}, kept) if patch[_PATCH] == "replace" else {}
    said = {key: value for key, value in patch.items() if not key.startswith((_RETAIN, _DELETE, _ORDER))}
    result = {key: copy.deepcopy(value) for key, value in _retained(target, patch, said).items()}
    for key, value in patch.items():
        if key.startswith(_ORDER):
            raise PatchInvalid(f"{key}: lists are replaced as a whole here, not merged and ordered", malformed=True)
        if key.startswith(_DELETE):
            name = key.removeprefix(_DELETE)
            result[name] = _without(result.get(name, []), value, key)
    for key, value in said.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            below = result.get(key)
            result[key] = _strategic(below if isinstance(below, dict) else {}, value)
        else:
            result[key] = _whole(value)
    return result


def _retained(target: dict[str, Any], patch: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    """What `$retainKeys` leaves of a mapping."""
    if _RETAIN not in patch:
        return target
    keys = patch[_RETAIN]
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise PatchInvalid(f"{_RETAIN}: expected a list of keys", malformed=True)
    missing = sorted(key for key, value in said.items() if value is not None and key not in keys)
    if missing:
        raise PatchInvalid(f"{_RETAIN}: does not name {missing[0]}, which the patch sets", malformed=True)
    return {key: value for key, value in target.items() if key in keys}


def _without(values: Any, gone: Any, key: str) -> list[Any]:
    """A list of plain values without some."""
    plain = isinstance(values, list) and not any(isinstance(value, (dict, list)) for value in values)
    if not plain or not isinstance(gone, list):
        raise PatchInvalid(f"{key}: expected a list of values, to go from a list of plain values", malformed=True)
    return [value for value in values if value not in gone]


def _whole(value: Any) -> Any:
    """A value that is set as it is. Raises PatchInvalid where it says how it would be merged."""
    if isinstance(value, list):
        return [_whole(entry) for entry in value]
    if isinstance(value, dict):
        for key in value:
            if key in (_PATCH, _RETAIN) or key.startswith((_DELETE, _ORDER)):
                message = f"{key}: a list has no merge key here and is replaced as a whole; give all of it"
                raise PatchInvalid(message, malformed=True)
        return {key: _whole(entry) for key, entry in value.items()}
    return copy.deepcopy(value)
