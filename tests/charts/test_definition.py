"""The CRD's rules, evaluated by Google's CEL; and what an API server asks of a structural schema."""

from collections.abc import Iterator
from typing import Any

import pytest
from cel_expr_python import cel

from api.kube.crd import definition, schema
from specs.document import decode

Schema = dict[str, Any]
_LOGICAL = ("allOf", "anyOf", "oneOf", "not")
_OUTSIDE = {"type", "description", "title", "default", "nullable", "items", "properties", "additionalProperties"}
"""What must not stand below a logical junctor, but beside it."""
_UNKNOWN = {"$ref", "$defs", "definitions", "patternProperties", "dependencies", "const", "exclusiveMinimum"}


def nodes(node: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema in a schema, and where it is."""
    yield path, node
    for name, below in node.get("properties", {}).items():
        yield from nodes(below, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in node:
            yield from nodes(node[key], path + mark)


def rules() -> dict[str, list[Schema]]:
    """The rules, by the path of what they are about."""
    return {
        path: node["x-kubernetes-validations"] for path, node in nodes(schema()) if "x-kubernetes-validations" in node
    }


def said(path: str, value: Schema) -> list[str]:
    """The messages of the rules at a path that a value breaks."""
    environment = cel.NewEnv(variables={"self": cel.Type.Map(cel.Type.STRING, cel.Type.DYN)})
    compiled = [(environment.compile(rule["rule"]), rule["message"]) for rule in rules()[path]]
    assert all(expression.return_type() == cel.Type.BOOL for expression, _ in compiled)
    return [message for expression, message in compiled if not expression.eval(data={"self": value}).value()]


def problems(spec: Schema) -> bool:
    """Whether the models refuse a spec."""
    whole = {
        "apiVersion": "wasm-reconciler.dev/v1alpha1",
        "kind": "WasmPlugin",
        "metadata": {"name": "a"},
        "spec": spec,
    }
    return bool(decode(whole).problems)


_ONE = "give exactly one of path, url, image"
_SHA = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("module", "messages"),
    [
        ({"path": "a.wasm"}, []),
        ({"path": "a.wasm", "digest": _SHA}, []),
        ({"image": "registry.example/a:1"}, []),
        ({"url": "https://example.org/a.wasm", "digest": _SHA}, []),
        ({"url": "https://example.org/a.wasm"}, ["url needs a digest (sha256:...)"]),
        ({}, [_ONE]),
        ({"digest": _SHA}, [_ONE]),
        ({"path": "a.wasm", "image": "b:1"}, [_ONE]),
        ({"path": "a.wasm", "url": "https://example.org/a", "image": "b:1", "digest": _SHA}, [_ONE]),
    ],
)
def test_the_rules_on_a_module_refuse_what_the_models_refuse(module: Schema, messages: list[str]) -> None:
    assert said(".spec.module", module) == messages
    assert problems({"module": module}) == bool(messages)


@pytest.mark.parametrize(
    ("variable", "good"),
    [
        ({"name": "A", "value": "b"}, True),
        ({"name": "A", "value": ""}, True),
        ({"name": "A", "valueFrom": {"file": "/run/secrets/a"}}, True),
        ({"name": "A"}, False),
        ({"name": "A", "value": "b", "valueFrom": {"file": "/run/secrets/a"}}, False),
    ],
)
def test_the_rule_on_a_variable_refuses_what_the_models_refuse(variable: Schema, good: bool) -> None:
    assert said(".spec.env[]", variable) == ([] if good else ["give exactly one of value, valueFrom"])
    assert problems({"module": {"path": "a.wasm"}, "env": [variable]}) != good


def test_every_rule_is_evaluated_here() -> None:
    assert set(rules()) == {".spec.module", ".spec.env[]"}


def test_the_schema_is_structural() -> None:
    for path, node in nodes(schema()):
        open_or_either = node.get("x-kubernetes-int-or-string") or node.get("x-kubernetes-preserve-unknown-fields")
        assert "type" in node or open_or_either, path
        assert not ("properties" in node and "additionalProperties" in node), path
        assert not _UNKNOWN.difference({"exclusiveMinimum"}) & node.keys(), path
        assert isinstance(node.get("exclusiveMinimum", False), bool), path
        assert node.get("additionalProperties") is not False, path
        for junctor in _LOGICAL:
            for below in node.get(junctor, ()):
                allowed = {"type"} if node.get("x-kubernetes-int-or-string") else set()
                assert not (_OUTSIDE - allowed) & below.keys(), path
        if node.get("x-kubernetes-list-type") == "map":
            keys = node["x-kubernetes-list-map-keys"]
            assert set(keys) <= set(node["items"]["required"]), path
        if "x-kubernetes-validations" in node:  # what a rule is about has a bound, or its cost is refused
            assert node["type"] == "object", path


def test_what_the_subresources_and_columns_name_is_in_the_schema() -> None:
    found = dict(nodes(schema()))
    version = definition()["spec"]["versions"][0]
    scale = version["subresources"]["scale"]
    for path in (scale["specReplicasPath"], scale["statusReplicasPath"]):
        assert found[path]["type"] == "integer"
    for column in version["additionalPrinterColumns"]:
        path = column["jsonPath"].replace('[?(@.type=="Ready")]', "[]")
        assert path in found or path.startswith(".metadata."), path
