"""The examples' files describe plugins whose modules are there."""

import json
from pathlib import Path

import pytest
import yaml

from specs.model import WasmPlugin

EXAMPLES = Path(__file__).parents[2] / "examples"
SPECS = sorted((EXAMPLES / "specs").glob("*.yaml"))


@pytest.mark.parametrize("path", [*SPECS, EXAMPLES / "wasi-go/plugin.yaml"], ids=lambda path: path.name)
def test_every_document_of_a_spec_file_is_a_plugin(path: Path) -> None:
    documents = list(yaml.safe_load_all(path.read_text()))
    assert documents
    for document in documents:
        plugin = WasmPlugin.model_validate(document)
        assert plugin.spec.module.path is not None
        assert (EXAMPLES / plugin.spec.module.path).exists() or path.parent.name == "wasi-go"


def test_the_config_file_has_the_three_entries_of_layottos_issue() -> None:
    entries = json.loads((EXAMPLES / "layotto/config.json").read_text())
    assert {key: (entry["name"], entry["instance_num"]) for key, entry in entries.items()} == {
        "id_1_1": ("id_1", 1),
        "id_1_2": ("id_1", 2),
        "id_2": ("id_2", 1),
    }
    for entry in entries.values():
        assert entry["vm_config"]["engine"] == "wasmtime"
        assert (EXAMPLES / entry["vm_config"]["path"]).exists()
