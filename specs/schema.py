"""The JSON Schema of WasmPlugin, for editors and other tools. It comes from the model."""

from typing import Any, Final

from specs.model import API_GROUP, WasmPlugin

SCHEMA_ID: Final = f"https://{API_GROUP}/schemas/v1alpha1/wasmplugin.json"


def json_schema() -> dict[str, Any]:
    """The schema, draft 2020-12."""
    schema = WasmPlugin.model_json_schema(by_alias=True, mode="validation")
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": SCHEMA_ID} | schema
