"""The CustomResourceDefinition of WasmPlugin, for clusters: made from the models, so that it cannot differ from them.

Belongs here: what a cluster's API server asks of a schema (structural, with rules in CEL) and of a definition. Does
not: the daemon's own OpenAPI documents (`schemas.py`).

A cluster's schema is narrower than the models in two places, as structural schemas cannot say more: durations and
sizes are strings or whole numbers, and a plugin has at most 1,000 variables (a bound keeps the rule on each cheap).
"""

from typing import Any, Final

from api.kube.resources import PLUGINS
from api.kube.schemas import status_schema
from specs.model import WasmPlugin

Schema = dict[str, Any]

MOST_VARIABLES: Final = 1000
_NULL: Final = {"type": "null"}
_DROPPED: Final = ("$defs", "anyOf", "title", "default", "const")
_COLUMNS: Final = (
    ("Route", "string", ".spec.route", 0),
    ("Ready", "integer", ".status.instances.ready", 0),
    ("Desired", "integer", ".status.instances.desired", 0),
    ("Status", "string", '.status.conditions[?(@.type=="Ready")].reason', 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Revision", "string", ".status.revision.serving", 1),
    ("Restarts", "integer", ".status.instances.restarts", 1),
)


def definition() -> dict[str, Any]:
    """The whole object, `apiextensions.k8s.io/v1`."""
    version = {
        "name": PLUGINS.version,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema()},
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.instances", "statusReplicasPath": ".status.instances.ready"},
        },
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path} | ({"priority": priority} if priority else {})
            for name, kind, path, priority in _COLUMNS
        ],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": PLUGINS.qualified},
        "spec": {
            "group": PLUGINS.group,
            "scope": "Namespaced",
            "names": {
                "kind": PLUGINS.kind,
                "listKind": f"{PLUGINS.kind}List",
                "plural": PLUGINS.plural,
                "singular": PLUGINS.singular,
                "shortNames": list(PLUGINS.short_names),
                "categories": list(PLUGINS.categories),
            },
            "conversion": {"strategy": "None"},
            "versions": [version],
        },
    }


def schema() -> Schema:
    """The structural schema, with the rules that it takes more than one field to check."""
    whole = WasmPlugin.model_json_schema(by_alias=True, mode="validation")
    found = _structural(whole, whole["$defs"])
    properties = found["properties"]
    properties["apiVersion"] = properties["kind"] = {"type": "string"}
    properties["metadata"] = {"type": "object"}
    properties["status"] = _structural(status_schema(), {})
    found["required"] = ["spec"]
    spec = properties["spec"]["properties"]
    spec["instances"]["default"] = 1
    spec["module"]["x-kubernetes-validations"] = [
        _rule(
            "(has(self.path) ? 1 : 0) + (has(self.url) ? 1 : 0) + (has(self.image) ? 1 : 0) == 1",
            "give exactly one of path, url, image",
        ),
        _rule("!has(self.url) || has(self.digest)", "url needs a digest (sha256:...)"),
    ]
    spec["env"]["maxItems"] = MOST_VARIABLES
    spec["env"]["items"]["x-kubernetes-validations"] = [
        _rule("has(self.value) != has(self.valueFrom)", "give exactly one of value, valueFrom")
    ]
    status = properties["status"]["properties"]
    status["conditions"] |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    status["conditions"]["items"]["required"] = ["type", "status"]
    return found


def _rule(rule: str, message: str) -> dict[str, str]:
    return {"rule": rule, "message": message}


def _structural(node: Schema, definitions: Schema) -> Schema:
    """A JSON Schema made structural: no references, no types below anyOf, nothing closed.

    What may be null is not nullable here: a cluster then drops nulls, which mean the same as absent fields.
    """
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        return _structural(target | {key: value for key, value in node.items() if key != "$ref"}, definitions)
    found = {key: value for key, value in node.items() if key not in _DROPPED and not isinstance(value, bool)}
    if "anyOf" in node:
        described = {key: value for key, value in node.items() if key == "description"}
        found |= _either([choice for choice in node["anyOf"] if choice != _NULL], definitions) | described
    if "exclusiveMinimum" in found:
        found |= {"minimum": found["exclusiveMinimum"], "exclusiveMinimum": True}
    if found.get("type") == "object" and "properties" not in found and "additionalProperties" not in found:
        found["x-kubernetes-preserve-unknown-fields"] = True
    return found | _parts(found, definitions)


def _parts(node: Schema, definitions: Schema) -> Schema:
    """What lies below a node."""
    found: Schema = {
        key: _structural(node[key], definitions) for key in ("items", "additionalProperties") if key in node
    }
    if "properties" in node:
        found["properties"] = {name: _structural(value, definitions) for name, value in node["properties"].items()}
    return found


def _either(choices: list[Schema], definitions: Schema) -> Schema:
    """What stands for several choices, null aside."""
    if len(choices) == 1:
        return _structural(choices[0], definitions)
    kinds = {choice.get("type") for choice in choices}
    if "string" not in kinds or not kinds & {"integer", "number"}:
        return {"x-kubernetes-preserve-unknown-fields": True}
    bounds = {key: choice[key] for choice in choices for key in ("pattern", "minimum") if key in choice}
    return {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]} | bounds
