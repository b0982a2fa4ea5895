"""The little of Kubernetes' protocol buffers that clients insist on: reading reviews, and a frame of OpenAPI 2.

A review is an envelope (four magic bytes, then runtime.Unknown) around a message, with the field numbers of k8s.io/api
`authorization/v1/generated.proto`; its answer is JSON, which these clients take. OpenAPI 2 has the field numbers of
gnostic's `OpenAPIv2.proto`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"

Fields = Mapping[int, "str | tuple[str, Fields]"]
"""What a message's fields are called, by number: a text, or a message with fields of its own."""

_MAGIC: Final = b"k8s\x00"
_TYPE_META: Final[Fields] = {1: "apiVersion", 2: "kind"}
_UNKNOWN: Final[Fields] = {1: ("typeMeta", _TYPE_META)}
_RAW: Final = 2
_RESOURCE: Final[Fields] = {
    1: "namespace",
    2: "verb",
    3: "group",
    4: "version",
    5: "resource",
    6: "subresource",
    7: "name",
}
_PATH: Final[Fields] = {1: "path", 2: "verb"}
_REVIEWS: Final[Mapping[str, Fields]] = {
    "SelfSubjectAccessReview": {
        2: ("spec", {1: ("resourceAttributes", _RESOURCE), 2: ("nonResourceAttributes", _PATH)})
    },
    "SelfSubjectRulesReview": {2: ("spec", {1: "namespace"})},
}


class NotProtobuf(ValueError):
    """The bytes are not a review in protocol buffers."""


def read_review(data: bytes) -> dict[str, Any]:
    """A review as plain data. Raises NotProtobuf."""
    if not data.startswith(_MAGIC):
        raise NotProtobuf("the envelope is missing")
    body = data[len(_MAGIC) :]
    meta = _decode(body, _UNKNOWN).get("typeMeta", {})
    raw = next((value for number, value in _fields(body) if number == _RAW), b"")
    fields = _REVIEWS.get(meta.get("kind", ""))
    if fields is None:
        raise NotProtobuf(f"the kind {meta.get('kind')!r} is read in JSON alone")
    return {**meta, **_decode(raw, fields)}


def openapi_frame(title: str, version: str) -> bytes:
    """An OpenAPI version 2 document that describes nothing.

    kubectl wants one before it sends a `kind: List`; it then leaves checking the items to the server.
    """
    info = _text(1, title) + _text(2, version)
    return _text(1, "2.0") + _field(2, info) + _field(8, b"")


def _text(number: int, value: str) -> bytes:
    return _field(number, value.encode())


def _field(number: int, value: bytes) -> bytes:
    """A length-delimited field of fewer than 128 bytes."""
    assert number < 16
    assert len(value) < 128
    return bytes((number << 3 | 2, len(value))) + value


def _decode(data: bytes, names: Fields) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, value in _fields(data):
        match names.get(number):
            case str(name):
                try:
                    found[name] = value.decode()
                except UnicodeDecodeError as ex:
                    raise NotProtobuf(f"{name} is not text") from ex
            case (str(name), below):
                found[name] = _decode(value, below)
    return found


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a message; others are passed over."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        match tag & 7:
            case 0:
                _, position = _varint(data, position)
            case 1:
                position += 8
            case 2:
                length, position = _varint(data, position)
                if position + length > len(data):
                    raise NotProtobuf("it ends in the middle of a field")
                yield tag >> 3, data[position : position + length]
                position += length
            case 5:
                position += 4
            case kind:
                raise NotProtobuf(f"there is no wire type {kind}")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise NotProtobuf("it ends in the middle of a number")
