"""What pydantic says about data, in plain words and in the names that people write.

Belongs here: sentences, and "did you mean". Does not: positions in text (document.py).
"""

import difflib
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from specs.model import WasmPlugin
from specs.nodes import kind_of

Path = tuple[str | int, ...]
"""Steps into data: keys and indices."""

_EXPECTED: Final = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "string_type": "a string",
    "bool_type": "true or false",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
}
_BOUNDS: Final = {
    "greater_than_equal": ("small; at least", "ge"),
    "greater_than": ("small; more than", "gt"),
    "less_than_equal": ("large; at most", "le"),
    "string_too_short": ("short; characters, at least", "min_length"),
    "string_too_long": ("long; characters, at most", "max_length"),
}
_NOTHING: Final = object()
_PATTERNS: Final = {
    "digest": "expected sha256: and 64 hexadecimal digits (or md5: and 32), in lower case",
    "url": "expected an address that starts with http:// or https://",
}


def explain(error: ValidationError, data: Any) -> list[tuple[Path, str]]:
    """Every problem once: where in `data` (wire names), and what. In the order of the fields."""
    found: dict[tuple[Path, str], None] = {}
    for detail in error.errors(include_url=False):
        path = _clean(detail, data)
        if path == ("spec", "config"):  # a union: pydantic complains once for each of its types
            found[path, f"expected a mapping or a string, not {kind_of(detail['input'])}"] = None
        else:
            found[path, _sentence(detail, path)] = None
    return list(found)


def suggest(name: str, candidates: Iterable[str]) -> str:
    """The tail of a message about an unknown word: what was probably meant, or else what there is."""
    known = list(candidates)
    close = difflib.get_close_matches(name, known, 1, 0.6)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there is {', '.join(known)}" if known else ""


def dotted(path: Path) -> str:
    """A path as people write it: `spec.env[0].name`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _clean(detail: ErrorDetails, data: Any) -> Path:
    """The location without the names that pydantic puts in for the members of a union."""
    path: list[str | int] = []
    here = data
    location = detail["loc"]
    for position, step in enumerate(location):
        below = _below(here, step)
        last = position == len(location) - 1
        if below is _NOTHING and not (last and detail["type"] == "missing"):
            continue
        here = below
        path.append(step)
    return tuple(path)


def _below(data: Any, step: str | int) -> Any:
    inside = step in data if isinstance(data, Mapping) else isinstance(data, list) and step in range(len(data))
    return data[step] if inside else _NOTHING


def _sentence(detail: ErrorDetails, path: Path) -> str:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    if kind in _EXPECTED:
        hint = ""
        if kind == "string_type" and isinstance(given, (bool, int, float)):
            hint = "; put it in quotes"
        elif kind in ("int_type", "bool_type") and isinstance(given, str):
            hint = "; remove the quotes"
        found = _short(given) if isinstance(given, float) else kind_of(given)
        return f"expected {_EXPECTED[kind]}, not {found}{hint}"
    if kind in _BOUNDS:
        words, bound = _BOUNDS[kind]
        return f"{_short(given)} is too {words} {_short(context[bound])}"
    match kind:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return f"unknown field{suggest(str(path[-1]), _fields(path[:-1]))}"
        case "literal_error":
            known = [part.strip(" '") for part in context["expected"].replace(" or ", ", ").split(",")]
            return f"{_short(given)} is not known{suggest(str(given), known)}"
        case "string_pattern_mismatch":
            pattern = f"{_short(given)} does not match {context['pattern']}"
            return _PATTERNS.get(str(path[-1]), pattern) if path else pattern
        case "value_error":
            return str(context["error"])
    return detail["msg"]


def _short(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _fields(path: Path) -> list[str]:
    """The fields that the model has at a path."""
    model: type[BaseModel] | None = WasmPlugin
    for step in path:
        if isinstance(step, int) or model is None:
            continue
        info = next((info for info in model.model_fields.values() if info.alias == step), None)
        model = _model_in(info.annotation) if info is not None else None
    return [info.alias or name for name, info in model.model_fields.items()] if model is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in typing.get_args(annotation) if (found := _model_in(part)) is not None), None)
