"""The exported schema."""

import json

from specs.schema import SCHEMA_ID, json_schema


def test_the_schema_names_itself_and_every_field_is_camel_case() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == SCHEMA_ID
    assert schema["required"] == ["apiVersion", "kind", "metadata", "spec"]
    text = json.dumps(schema)
    assert '"startTimeout"' in text
    assert "start_timeout" not in text


def test_the_schema_forbids_unknown_fields_everywhere() -> None:
    schema = json_schema()
    objects = [schema, *schema["$defs"].values()]
    assert all(one["additionalProperties"] is False for one in objects)
