"""JSON patch (RFC 6902) and JSON merge patch (RFC 7386) on plain data. Pure."""

import copy
from typing import Any, Final

import jsonpatch
import jsonpointer

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
