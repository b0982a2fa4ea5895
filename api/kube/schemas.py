"""The schemas that OpenAPI documents are made of: our object's from the models, the rest of what is exchanged by hand.

OpenAPI 3.0, as Kubernetes has it: everything of an object in one schema, as a custom resource's is, so that clients
need to follow no references to print or check it.
"""

from collections.abc import Mapping
from typing import Any, Final

from api.kube.resources import PLUGINS
from specs.model import API_GROUP, WasmPlugin

Schema = dict[str, Any]

PLUGIN: Final = "dev.wasm-reconciler.v1alpha1.WasmPlugin"
PLUGIN_LIST: Final = "dev.wasm-reconciler.v1alpha1.WasmPluginList"
SIZE: Final = "dev.wasm-reconciler.v1alpha1.Size"
DURATION: Final = "dev.wasm-reconciler.v1alpha1.Duration"
STATUS: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.Status"
SCALE: Final = "io.k8s.api.autoscaling.v1.Scale"
_INTEGER: Final = {"type": "integer", "format": "int64"}


def gvk(group: str, version: str, kind: str) -> dict[str, str]:
    """As `x-kubernetes-group-version-kind` has it."""
    return {"group": group, "version": version, "kind": kind}


def plugin_schema() -> Schema:
    """WasmPlugin, all of it: what is written from the model, and the status."""
    whole = WasmPlugin.model_json_schema(by_alias=True, mode="validation")
    found = _inline(whole, whole.get("$defs", {}))
    properties = found["properties"]
    properties["apiVersion"] = {"type": "string", "description": "The version of the schema of this object."}
    properties["kind"] = {"type": "string", "description": "What this object is."}
    metadata = properties["metadata"]
    metadata["properties"] |= _metadata_properties()
    metadata.pop("additionalProperties", None)
    properties["status"] = status_schema()
    found["required"] = ["metadata", "spec"]
    found["x-kubernetes-group-version-kind"] = [gvk(API_GROUP, PLUGINS.version, PLUGINS.kind)]
    _never_required(metadata, "name")
    return found


def _never_required(schema: Schema, name: str) -> None:
    """A name may be generated, or stand on the URL."""
    required = [entry for entry in schema.pop("required", []) if entry != name]
    if required:
        schema["required"] = required


def _inline(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """A pydantic schema without references, and in the dialect of OpenAPI 3.0."""
    found: Schema = {key: value for key, value in schema.items() if key not in ("$defs", "title", "default")}
    if "$ref" in found:
        target = definitions[found.pop("$ref").rpartition("/")[2]]
        found = _inline(target, definitions) | found
    if "anyOf" in found:
        found = _any_of(found, definitions)
    if "const" in found:
        found["enum"] = [found.pop("const")]
    for bound, plain in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if bound in found:
            found[plain] = found.pop(bound)
            found[bound] = True
    if isinstance(found.get("properties"), dict):
        found["properties"] = {key: _inline(value, definitions) for key, value in found["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(found.get(key), dict):
            found[key] = _inline(found[key], definitions)
    return found


def _any_of(found: Schema, definitions: Mapping[str, Any]) -> Schema:
    choices = [_inline(choice, definitions) for choice in found.pop("anyOf") if choice.get("type") != "null"]
    if len(choices) == 1:
        return choices[0] | found
    kinds = {choice.get("type") for choice in choices}
    for name, kind in ((SIZE, "integer"), (DURATION, "number")):
        if kinds == {"string", kind}:
            return found | {"allOf": [{"$ref": f"#/components/schemas/{name}"}]}
    return found | {"anyOf": choices, "x-kubernetes-preserve-unknown-fields": True}


def _metadata_properties() -> Schema:
    return {
        "generateName": _text("A prefix, where the server shall choose the name."),
        "uid": _text("Tells this object from others of that name, before and after."),
        "resourceVersion": _text("Changes with the object; for conflicts and watches."),
        "generation": _count("Rises when the spec changes."),
        "creationTimestamp": _text("When it was first desired.") | {"format": "date-time", "nullable": True},
        "managedFields": {
            "type": "array",
            "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            "description": "Who owns which fields; kept by the daemon, not in the file.",
        },
    }


def _object(description: str, **properties: Any) -> Schema:
    return {"type": "object", "description": description, "properties": properties}


def _kind(description: str, kind: Mapping[str, str], **properties: Any) -> Schema:
    """An object that says what it is."""
    says = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    return _object(description, **says, **properties) | {"x-kubernetes-group-version-kind": [dict(kind)]}


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


def _count(description: str) -> Schema:
    return _INTEGER | {"description": description}


def status_schema() -> Schema:
    """What is observed of a plugin."""
    owner = _object(
        "Where it is written.",
        source=_text("The source."),
        file=_text("The file in it."),
        line=_count("The line, from 1."),
    )
    condition = _object(
        "One aspect of where the plugin stands.",
        type=_text("Accepted, ModuleReady, Available, Progressing, Ready; and Stalled, Drifted, RolledBack when true."),
        status=_text("True, False or Unknown."),
        reason=_text("Why, in one word."),
        message=_text("Why, in a sentence: often the compiler's or the guest's own."),
        lastTransitionTime=_text("When the status changed last.") | {"format": "date-time"},
    )
    revision = _object(
        "Hashes of all that a running instance is made of.",
        desired=_text("What should serve."),
        serving=_text("What serves."),
        lastGood=_text("What served well last."),
        history={"type": "array", "items": {"type": "object"}, "description": "How the last revisions went."},
    )
    instances = _object(
        "How many there are.",
        desired=_count("Wanted."),
        ready=_count("Started and answering."),
        busy=_count("Answering a request at the moment of the last pass."),
        draining=_count("Finishing requests before they close."),
        restarts=_count("Replaced after a failure."),
    )
    node = _object(
        "What one of the nodes that follow the object says of it.",
        node=_text("Which node; the key of the entry."),
        workload=_text("What it is a part of."),
        observedGeneration=_count("The generation that this is about."),
        desired=_count("Instances wanted there."),
        ready=_count("Instances started and answering there."),
        revision=_text("What serves there."),
        status=_text("Whether it is Ready there: True, False or Unknown."),
        reason=_text("Why, in one word."),
        message=_text("Why, in a sentence."),
        lastTransitionTime=_text("When that changed last."),
    ) | {"required": ["node"]}
    nodes = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["node"], "type": "array", "items": node}
    return _object(
        "What is observed. Written by the daemon alone, but for the entries of `nodes`.",
        observedGeneration=_count("The generation that this is about."),
        owner=owner,
        revision=revision,
        instances=instances,
        enforced={"type": "object", "description": "The limits that are enforced."},
        conditions={"type": "array", "items": condition, "description": "Where the plugin stands."},
        nodes=nodes | {"description": "What the nodes that follow it say, each by an entry of its own."},
        shadowed={"type": "array", "items": owner, "description": "Other documents that claim the name."},
    )


def list_schema(kind: str, item: str, group: str, version: str) -> Schema:
    """A list of objects."""
    metadata = _object(
        "About the list.",
        resourceVersion=_text("Where a watch goes on."),
        **{"continue": _text("Where the next page begins; absent on the last.")},
        remainingItemCount=_count("How many more there are, where nothing is selected."),
    )
    items = {"type": "array", "items": {"$ref": f"#/components/schemas/{item}"}}
    found = _kind(f"A list of {kind}.", gvk(group, version, f"{kind}List"), metadata=metadata, items=items)
    return found | {"required": ["items"]}


def common_schemas() -> dict[str, Schema]:
    """What several documents use: sizes and times, Status, Scale."""
    metadata = {"type": "object", "description": "About the object."}
    return {
        SIZE: _string_or("integer", "A number of bytes: 64Mi, 512Ki, 1G or a plain number."),
        DURATION: _string_or("number", "A time: 1s, 250ms, 1m30s or a number of seconds."),
        STATUS: _kind(
            "How a request ended.",
            gvk("", "v1", "Status"),
            metadata=metadata,
            status=_text("Success or Failure."),
            message=_text("What went wrong."),
            reason=_text("Why, in one word that clients act on."),
            details={"type": "object", "description": "Further facts."},
            code=_count("The HTTP status."),
        ),
        SCALE: _kind(
            "How many instances there shall be.",
            gvk("autoscaling", "v1", "Scale"),
            metadata=metadata,
            spec=_object("What is wanted.", replicas={"type": "integer", "format": "int32", "minimum": 0}),
            status=_object("What is there.", replicas={"type": "integer", "format": "int32"}),
        ),
    }


def _string_or(kind: str, description: str) -> Schema:
    return {"anyOf": [{"type": "string"}, {"type": kind}], "description": description}


def free_schema(kind: str, group: str, version: str) -> Schema:
    """An object whose fields are Kubernetes' own and are not described again here."""
    found = _kind(f"{kind}, as Kubernetes has it.", gvk(group, version, kind), metadata={"type": "object"})
    return found | {"x-kubernetes-preserve-unknown-fields": True}
