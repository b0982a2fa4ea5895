"""Selectors, patches, ages, numbers, reviews in protocol buffers: the small pure parts."""

import re
from typing import Any

import pytest

from api.kube.errors import from_spec
from api.kube.numbers import HEADROOM, Numbers, first_number
from api.kube.patches import PatchInvalid, json_patch, merge_patch, strategic_patch
from api.kube.protobuf import NotProtobuf, openapi_frame, read_review
from api.kube.resources import PLUGINS
from api.kube.selectors import Selection, SelectorInvalid, parse_fields, parse_labels
from api.kube.table import human
from specs.errors import Problem, SpecConflict, SpecError, SpecInvalid, SpecNotFound, SpecReadOnly, SpecWriteFailed


def labelled(**labels: str) -> dict[str, Any]:
    return {"metadata": {"name": "n", "labels": labels}, "status": {"ready": 2, "ok": True}}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("", True),
        ("a=1", True),
        ("a==1", True),
        ("a = 1 , b = 2", True),
        ("a=2", False),
        ("a!=2", True),
        ("c!=2", True),
        ("a", True),
        ("c", False),
        ("!c", True),
        ("!a", False),
        ("a in (1, 3)", True),
        ("a in (3)", False),
        ("a notin (1)", False),
        ("c notin (1),b", True),
        ("a=", False),
    ],
)
def test_label_selectors(selector: str, matches: bool) -> None:
    assert Selection(parse_labels(selector)).matches(labelled(a="1", b="2")) is matches


@pytest.mark.parametrize("selector", ["a in 1", "=", "a=1,", "a=1 b=2", "a in (1", "!", "a=(x)"])
def test_label_selectors_that_cannot_be_read(selector: str) -> None:
    with pytest.raises(SelectorInvalid):
        parse_labels(selector)


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        ("metadata.name=n", True),
        ("metadata.name!=n", False),
        ("status.ready=2,status.ok=true", True),
        ("status.no=", True),
    ],
)
def test_field_selectors(selector: str, matches: bool) -> None:
    allowed = re.compile(r"metadata\.name|status\..+")
    tests = parse_fields(selector, lambda field: bool(allowed.fullmatch(field)))
    assert Selection(tests).matches(labelled()) is matches


def test_field_selectors_that_cannot_be_used() -> None:
    for selector in ("spec.x=1", "metadata.name"):
        with pytest.raises(SelectorInvalid):
            parse_fields(selector, lambda field: field == "metadata.name")


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"a": "foo"}, "bar", "bar"),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patches(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


def test_json_patches() -> None:
    data = {"a": [1, 2]}
    assert json_patch(
        data, [{"op": "add", "path": "/a/1", "value": 5}, {"op": "test", "path": "/a/0", "value": 1}]
    ) == {"a": [1, 5, 2]}
    assert data == {"a": [1, 2]}


@pytest.mark.parametrize(
    ("patch", "malformed"),
    [
        ({"op": "add"}, True),
        ([{"op": "dance", "path": "/a"}], True),
        ([{"op": "add", "path": "/a"}], True),
        ([1], True),
        ([{"op": "add", "path": 1, "value": 1}], True),
        ([{"op": "remove", "path": "/b"}], False),
        ([{"op": "test", "path": "/a", "value": 2}], False),
        ([{"op": "replace", "path": "/a/b/c", "value": 2}], False),
        ([{"op": "remove", "path": "/a"}] * 10_001, True),
    ],
)
def test_json_patches_that_cannot_be_used(patch: Any, malformed: bool) -> None:
    with pytest.raises(PatchInvalid) as caught:
        json_patch({"a": 1}, patch)
    assert caught.value.malformed is malformed


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (310, "5m10s"), (3600, "60m"), (3 * 3600, "3h"), (9 * 3600, "9h"),
     (50 * 3600, "2d2h"), (9 * 86400, "9d"), (800 * 86400, "2y")],
)  # fmt: skip
def test_ages(seconds: int, text: str) -> None:
    assert human(seconds) == text


def test_numbers_never_go_backwards_even_if_the_clock_does() -> None:
    first = first_number(1000.0, 0)
    again = first_number(500.0, first)
    assert again == first + HEADROOM
    assert first_number(2_000_000.0, first) == 2_000_000_000_000
    numbers = Numbers(first)
    assert [numbers.next(), numbers.next(), numbers.last] == [first + 1, first + 2, first + 2]


def field(number: int, value: bytes) -> bytes:
    return bytes((number << 3 | 2, len(value))) + value


def test_reviews_in_protocol_buffers() -> None:
    kind = field(1, b"authorization.k8s.io/v1") + field(2, b"SelfSubjectAccessReview")
    about = field(2, b"create") + field(3, b"wasm-reconciler.dev") + field(5, b"wasmplugins")
    unknown = b"\x28\x01" + b"\x31" + bytes(8) + b"\x3d" + bytes(4)  # a varint, 64 bits, 32 bits
    message = field(1, b"") + field(2, field(1, about) + unknown)
    assert read_review(b"k8s\x00" + field(1, kind) + field(2, message)) == {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "create", "group": "wasm-reconciler.dev", "resource": "wasmplugins"}},
    }


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"k8s\x00", b"k8s\x00\x0a\xff", b"k8s\x00\x0a", b"k8s\x00\xff\xff", b"k8s\x00\x0f",
     b"k8s\x00" + field(1, field(2, b"\xff")), b"k8s\x00" + field(1, field(2, b"Pod"))],
)  # fmt: skip
def test_what_is_no_review_is_refused(data: bytes) -> None:
    with pytest.raises(NotProtobuf):
        read_review(data)


def test_the_frame_of_openapi() -> None:
    assert openapi_frame("t", "1") == b"\n\x032.0\x12\x06\n\x01t\x12\x011B\x00"


@pytest.mark.parametrize(
    ("error", "code", "reason", "words"),
    [
        (SpecReadOnly("/etc/a.yaml", "a mount"), 403, "Forbidden", '"n" is forbidden: /etc/a.yaml cannot be written'),
        (SpecWriteFailed("a.yaml", "the disk is full"), 507, "InsufficientStorage", "a.yaml was not changed"),
        (SpecConflict("a.yaml is no longer there"), 409, "Conflict", "a.yaml is no longer there"),
        (SpecNotFound("n is not registered"), 404, "NotFound", 'wasmplugins.wasm-reconciler.dev "n" not found'),
        (SpecInvalid((Problem("is broken", "a.yaml", 3, 1),)), 422, "Invalid", "a.yaml:3:1: is broken"),
    ],
)
def test_what_files_refuse_names_the_file(error: SpecError, code: int, reason: str, words: str) -> None:
    answer = from_spec(PLUGINS, "n", error).answer()
    assert (answer["code"], answer["reason"], answer["kind"]) == (code, reason, "Status")
    assert words in answer["message"]


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ({"a": 2, "m": {"y": None, "z": 3}}, {"a": 2, "m": {"x": 1, "z": 3}, "l": [1, 2, 2]}),
        ({"l": [3], "m": None}, {"a": 1, "l": [3]}),
        ({"m": {"$patch": "replace", "z": 3}}, {"a": 1, "m": {"z": 3}, "l": [1, 2, 2]}),
        ({"m": {"$patch": "delete"}}, {"a": 1, "m": {}, "l": [1, 2, 2]}),
        ({"$patch": "replace", "b": {"c": None}}, {"b": {}}),
        ({"$retainKeys": ["a", "b"], "b": 1}, {"a": 1, "b": 1}),
        ({"$deleteFromPrimitiveList/l": [2]}, {"a": 1, "m": {"x": 1, "y": 2}, "l": [1]}),
        (
            {"n": {"$patch": "replace", "o": 1}, "a": {"b": 1}},
            {"a": {"b": 1}, "m": {"x": 1, "y": 2}, "l": [1, 2, 2], "n": {"o": 1}},
        ),
    ],
)
def test_strategic_merge_patches(patch: dict[str, Any], result: Any) -> None:
    target = {"a": 1, "m": {"x": 1, "y": 2}, "l": [1, 2, 2]}
    assert strategic_patch(target, patch) == result
    assert target == {"a": 1, "m": {"x": 1, "y": 2}, "l": [1, 2, 2]}


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        ([], "is an object"),
        ({"m": {"$patch": "merge"}}, "expected replace or delete"),
        ({"$setElementOrder/l": [1]}, "replaced as a whole"),
        ({"l": [{"$patch": "delete", "name": "x"}]}, "no merge key"),
        ({"$retainKeys": ["a"], "b": 1}, "does not name b"),
        ({"$retainKeys": "a"}, "expected a list of keys"),
        ({"$deleteFromPrimitiveList/m": [1]}, "list of plain values"),
    ],
)
def test_strategic_merge_patches_that_mean_nothing_here(patch: Any, why: str) -> None:
    with pytest.raises(PatchInvalid, match=why):
        strategic_patch({"a": 1, "m": {"x": 1}, "l": [1, 2]}, patch)
