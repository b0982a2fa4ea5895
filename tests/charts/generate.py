"""Writes what the chart has from elsewhere: the CRD and the schema of plugins from the models, the table of values.

`make charts` runs this; a test compares. Belongs here: how each file is made. Does not: what is in the models.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from api.kube.crd import definition
from specs.model import Spec
from tests.parts import ROOT

CHART: Final = ROOT / "charts" / "wasm-reconciler"
_BEGIN: Final = "<!-- values: begin (written by `make charts`) -->\n"
_END: Final = "<!-- values: end -->\n"
_HAND: Final = ("pullPolicy", "probe", "amounts", "volume", "containers")
"""The definitions in values.schema.json that are the chart's own."""


def files() -> dict[Path, str]:
    """Every file that is made, and what has to be in it."""
    readme, schema = CHART / "README.md", CHART / "values.schema.json"
    return {
        CHART / "crds" / "wasmplugins.yaml": crd_text(),
        schema: schema_text(schema.read_text()),
        readme: readme_text(readme.read_text(), (CHART / "values.yaml").read_text()),
    }


def crd_text() -> str:
    """The CRD."""
    return "# Made from specs/model.py by `make charts`.\n" + yaml.safe_dump(definition(), sort_keys=False, width=110)


def schema_text(text: str) -> str:
    """values.schema.json with the models' present definitions."""
    schema = json.loads(text)
    own = {name: schema["$defs"][name] for name in _HAND}
    plugin = Spec.model_json_schema(by_alias=True, mode="validation")
    defined = plugin.pop("$defs")
    schema["$defs"] = own | {"Spec": plugin} | defined
    return json.dumps(schema, indent=2) + "\n"


def readme_text(text: str, values: str) -> str:
    """README.md with the present table."""
    before, _, rest = text.partition(_BEGIN)
    _, _, after = rest.partition(_END)
    rows = [f"| `{name}` | `{default}` | {description} |\n" for name, default, description in described(values)]
    return f"{before}{_BEGIN}| Value | Default | |\n|---|---|---|\n{''.join(rows)}{_END}{after}"


def described(text: str) -> Iterator[tuple[str, str, str]]:
    """Name, default and description of every value. ValueError for one that has no description."""
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    yield from _entries(root, "", text.splitlines())


def _entries(node: yaml.MappingNode, above: str, lines: list[str]) -> Iterator[tuple[str, str, str]]:
    for key, value in node.value:
        name = f"{above}{key.value}"
        comment = _comment(lines, key.start_mark.line)
        if comment:
            yield name, _short(value), comment
        elif isinstance(value, yaml.MappingNode) and value.value:
            yield from _entries(value, f"{name}.", lines)
        else:
            raise ValueError(f"{name} (line {key.start_mark.line + 1}) has no comment `# -- ...`")


def _comment(lines: list[str], line: int) -> str:
    found: list[str] = []
    while line and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].lstrip().removeprefix("#").strip())
    text = " ".join(found)
    return text.removeprefix("-- ").replace("|", "\\|") if text.startswith("-- ") else ""


def _short(node: yaml.Node) -> str:
    value: Any = yaml.safe_load(yaml.serialize(node))
    return json.dumps(value)


def main() -> None:
    """Write what has changed."""
    for path, text in files().items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
