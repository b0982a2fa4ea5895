"""The OpenAPI documents: they hold together, and everything that they allow is answered as they say."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance

from api.kube.openapi import document, second_version
from api.kube.resources import PLUGINS, RESOURCES
from tests.daemon import RunningDaemon
from tests.kube.manifests import ALL, plugin

# schemathesis leaves closing its connections to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("collected"),
]

CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]
DOCUMENTS = sorted({resource.base for resource in RESOURCES})


def references(data: Any) -> Iterator[str]:
    if isinstance(data, dict):
        if isinstance(data.get("$ref"), str):
            yield data["$ref"]
        for value in data.values():
            yield from references(value)
    elif isinstance(data, list):
        for value in data:
            yield from references(value)


@pytest.mark.parametrize("base", DOCUMENTS)
def test_every_reference_leads_somewhere(base: str) -> None:
    found = document(next(one for one in RESOURCES if one.base == base), "1")
    known = {f"#/components/schemas/{name}" for name in found["components"]["schemas"]}
    assert set(references(found)) <= known
    paths = found["paths"].values()
    operations = [one["operationId"] for path in paths for key, one in path.items() if key != "parameters"]
    assert len(operations) == len(set(operations))


def test_everything_in_the_schema_is_described() -> None:
    schema = document(PLUGINS, "1")["components"]["schemas"]["dev.wasm-reconciler.v1alpha1.WasmPlugin"]
    missing: list[str] = []

    def look(part: dict[str, Any], path: str) -> None:
        for name, below in part.get("properties", {}).items():
            if not below.get("description"):
                missing.append(f"{path}.{name}")
            look(below, f"{path}.{name}")
            look(below.get("items", {}), f"{path}.{name}[]")

    look(schema, "")
    assert missing == []


def test_version_two_has_the_same_schemas(node: RunningDaemon) -> None:
    second = second_version("1")
    assert "dev.wasm-reconciler.v1alpha1.WasmPlugin" in second["definitions"]
    assert set(references(second)) <= {f"#/definitions/{name}" for name in second["definitions"]}
    status, headers, body = node.ask("GET", "/openapi/v2")
    assert (status, json.loads(body)["swagger"]) == (200, "2.0")
    status, headers, body = node.ask(
        "GET", "/openapi/v2", headers={"Accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}
    )
    assert (status, body[:5]) == (200, b"\n\x032.0")
    assert re.fullmatch(r"application/[a-z0-9.+-]+", headers["content-type"])


def test_nothing_that_is_allowed_is_answered_in_another_way(node: RunningDaemon) -> None:
    """schemathesis asks every operation of every document: no 5xx, no answer that is not described."""
    node.ask("POST", ALL, plugin("one", instances=0), {"Content-Type": "application/json"})
    for path in node.json("/openapi/v3")["paths"]:
        schema = schemathesis.openapi.from_url(f"{node.url}/openapi/v3/{path}")
        for result in schema.get_all_operations():
            _ask(result.ok(), node.url)


def _ask(operation: Any, url: str) -> None:
    @settings(
        max_examples=15,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        database=None,
    )
    @given(case=operation.as_strategy())
    def check(case: Any) -> None:
        if case.query and str(case.query.get("watch")).lower() == "true":
            case.query["timeoutSeconds"] = 0
        case.call_and_validate(base_url=url, checks=CHECKS, timeout=20)

    check()
