"""Edits of text: exactly the change that was meant, everything else byte for byte."""

import json
import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from specs.document import parse_text
from specs.edit import Editor, holds_nothing, new_file
from specs.errors import SpecWriteFailed
from specs.model import WasmPlugin
from tests.specs.conftest import document

BLOCK = """\
# a license
---
# about one
apiVersion: wasm-reconciler.dev/v1alpha1
kind: WasmPlugin
metadata:
  name: one  # the first
spec:
  # how many
  instances: 2   # not three

  module: {path: a.wasm}
  # the end of one
---
apiVersion: wasm-reconciler.dev/v1alpha1
kind: WasmPlugin
metadata: {name: two}
spec:
  module:
    path: b.wasm
# the end of two
"""

ITEM = {"name": "r", "instance_num": 1, "vm_config": {"path": "a.wasm"}}


def plugin(name: str, **spec: Any) -> WasmPlugin:
    data = {"apiVersion": "wasm-reconciler.dev/v1alpha1", "kind": "WasmPlugin", "metadata": {"name": name}}
    return WasmPlugin.model_validate(data | {"spec": {"module": {"path": "a.wasm"}} | spec})


def plugins(text: str, file: str) -> dict[str, WasmPlugin]:
    parsed = parse_text(text, file)
    assert parsed.problems == ()
    return {one.plugin.name: one.plugin for one in parsed.documents}


def set_instances(text: str, name: str, instances: int, file: str = "a.yaml") -> str:
    editor = Editor(text, file)
    element = editor.find(name, 0)
    assert element is not None
    return editor.set_instances(element, plugins(text, file)[name], instances)


def replace(text: str, new: WasmPlugin, file: str = "a.yaml") -> str:
    editor = Editor(text, file)
    element = editor.find(new.name, 0)
    assert element is not None
    return editor.replace(element, new)


def remove(text: str, name: str, file: str = "a.yaml") -> str:
    editor = Editor(text, file)
    element = editor.find(name, 0)
    assert element is not None
    return editor.remove(element)


def append(text: str, new: WasmPlugin, file: str) -> str:
    return Editor(text, file).append(new)


def test_instances_are_spliced_in_place() -> None:
    assert set_instances(BLOCK, "one", 5) == BLOCK.replace("instances: 2 ", "instances: 5 ")


def test_instances_that_are_absent_are_added_to_the_spec() -> None:
    assert set_instances(BLOCK, "two", 5) == BLOCK.replace("    path: b.wasm\n", "    path: b.wasm\n  instances: 5\n")


def test_a_removed_document_takes_its_comments_and_no_others() -> None:
    assert remove(BLOCK, "two") == BLOCK[: BLOCK.index("---\napi")]
    assert remove(BLOCK, "one") == "# a license\n" + BLOCK[BLOCK.index("---\napi") :]


def test_a_replaced_document_keeps_the_comments_of_what_stays() -> None:
    new = plugin("one", instances=3, route="r")
    edited = replace(BLOCK, new)
    assert plugins(edited, "a.yaml")["one"] == new
    assert edited == BLOCK.replace("instances: 2 ", "instances: 3 ").replace(
        "{path: a.wasm}\n", "{path: a.wasm}\n  route: r\n"
    )


@pytest.mark.parametrize(
    ("text", "file", "expected"),
    [
        pytest.param("{a: 1, spec: {x: 1}}", "a.yaml", None, id="unknown"),
        pytest.param(document("one"), "a.yaml", document("one", 7), id="flow"),
        pytest.param(
            document("one").replace("\n", "\r\n"), "a.yaml", document("one", 7).replace("\n", "\r\n"), id="crlf"
        ),
        pytest.param(
            document("one").replace("{instances: 1, ", "{"), "a.yaml", "path: a.wasm}, instances: 7}\n", id="add"
        ),
        pytest.param(
            "name: one\nvm_config: {path: a}\n", "a.yaml", "vm_config: {path: a}\ninstance_num: 7\n", id="flat"
        ),
        pytest.param(json.dumps({"one": ITEM}), "a.json", json.dumps({"one": ITEM | {"instance_num": 7}}), id="map"),
        pytest.param(
            json.dumps({"one": ITEM, "x": ITEM}, indent="\t"),
            "a.json",
            json.dumps({"one": ITEM | {"instance_num": 7}, "x": ITEM}, indent="\t"),
            id="tabs",
        ),
        pytest.param("# ü€😀\n" + document("one"), "a.yaml", "# ü€😀\n" + document("one", 7), id="wide characters"),
        pytest.param("spec: {instances: !!int '1', module: {path: a}}", "a.yaml", "{instances: 7, module", id="tagged"),
        pytest.param("spec: {instances: &n 1, module: {path: a}}", "a.yaml", "instances: 7", id="anchored"),
        pytest.param("spec:\n  instances:\n    1\n  module: {path: a}\n", "a.yaml", "    7\n", id="own line"),
    ],
)
def test_instances_in_every_form(text: str, file: str, expected: str | None) -> None:
    if expected is None:
        assert Editor(text, file).find("one", 0) is None
        return
    if text.startswith("spec"):
        text = f"apiVersion: wasm-reconciler.dev/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: one}}\n{text}"
    edited = set_instances(text, "one", 7, file)
    assert edited.endswith(expected) or expected in edited
    assert plugins(edited, file)["one"].spec.instances == 7


def test_what_is_added_to_a_block_is_a_block() -> None:
    before = plugins(BLOCK, "a.yaml")["one"]

    def labelled(text: str, **labels: str) -> str:
        metadata = before.metadata.model_copy(update={"labels": labels})
        return replace(text, before.model_copy(update={"metadata": metadata}))

    first = labelled(BLOCK, team="x", app="1")
    head, tail = BLOCK.split("  # the first\n")
    assert first == f'{head}  # the first\n  labels:\n    team: x\n    app: "1"\n{tail}'
    second = labelled(first, other="y")
    assert second == f"{head}  # the first\n  labels:\n    other: y\n{tail}"


def test_a_list_in_a_new_file_has_its_dashes_beside_its_values() -> None:
    made = new_file(plugin("a", env=[{"name": "A", "value": "x"}, {"name": "B", "value": "y"}]))
    assert "  env:\n    - name: A\n      value: x\n    - name: B\n      value: y\n" in made


def test_an_alias_is_not_written_through() -> None:
    text = document("one").replace("instances: 1, module", "pool: {maxInvocations: &n 3}, instances: *n, module")
    edited = set_instances(text, "one", 7)
    assert "maxInvocations: &n 3" in edited
    assert "instances: 7" in edited


def test_zero_instances_of_a_flat_object_are_written_in_full() -> None:
    edited = set_instances(json.dumps({"one": ITEM, "two": ITEM}), "one", 0, "a.json")
    assert plugins(edited, "a.json")["one"].spec.instances == 0
    assert plugins(edited, "a.json")["one"].route == "r"
    assert json.loads(edited)["two"] == ITEM


@pytest.mark.parametrize(
    ("text", "file", "name", "expected"),
    [
        ('{"a": 1, "b": 2, "c": 3}', "c.json", "a", '{"b": 2, "c": 3}'),
        ('{"a": 1, "b": 2, "c": 3}', "c.json", "b", '{"a": 1, "c": 3}'),
        ('{"a": 1, "b": 2, "c": 3}', "c.json", "c", '{"a": 1, "b": 2}'),
        ('{\n  "a": 1\n}\n', "c.json", "a", "{}\n"),
        ('{\n  "a": 1,\n  "b": 2\n}\n', "c.json", "b", '{\n  "a": 1\n}\n'),
        ("# x\na: 1 # y\n# z\nb: 2\n", "c.yaml", "a", "# x\n# z\nb: 2\n"),
        ("# x\na: 1 # y\n# z\nb: 2\n", "c.yaml", "b", "# x\na: 1 # y\n# z\n"),
        ("a: 1\n", "c.yaml", "a", "{}\n"),
    ],
)
def test_an_entry_is_cut_from_a_map(text: str, file: str, name: str, expected: str) -> None:
    item = '{"vm_config": {"path": "a.wasm"}}'
    written = re.sub(r"\b[123]\b", item, text)
    assert remove(written, name, file) == re.sub(r"\b[123]\b", item, expected)


@pytest.mark.parametrize(
    ("head", "tail", "file"),
    [("kind: List\nitems:\n", "# end\n", "a.yaml"), ("", "", "b.yaml"), ("- {}\n", "", "c.yaml")],
)
def test_an_element_is_cut_from_a_list(head: str, tail: str, file: str) -> None:
    one, two = (f"- {document(name).strip()}".replace("\n", "\n  ") + "\n" for name in ("one", "two"))
    if file == "c.yaml":
        head = f"- {document('zero').strip()}".replace("\n", "\n  ") + "\n"
    assert remove(head + one + two + tail, "one", file) == head + two + tail
    assert remove(head + one + two + tail, "two", file) == head + one + tail


def test_a_first_entry_beside_a_dash_can_go() -> None:
    text = "- spec: {instances: 1, module: {path: a.wasm}}\n" + "".join(
        f"  {line}\n" for line in document("one").splitlines()[:3]
    )
    assert plugins(set_instances(text, "one", 3), "a.yaml")["one"].spec.instances == 3
    assert holds_nothing(remove(text, "one"), "a.yaml")


def test_the_last_document_leaves_nothing() -> None:
    assert holds_nothing(remove("# only me\n" + document("one"), "one"), "a.yaml")
    assert holds_nothing(
        remove(json.dumps([json.loads(json.dumps(plugin("one").to_dict()))]), "one", "a.json"), "a.json"
    )
    assert not holds_nothing(remove(BLOCK, "one"), "a.yaml")


FLAT = {"capabilities": {"stores": ["*"]}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", '{\n  "new": {\n    "name": "new",\n'),
        ("{}", '"new": {'),
        (json.dumps({"a": ITEM}, indent=2), '  },\n  "new": {\n    "name": "new",\n'),
        (json.dumps({"a": ITEM}), '}}, "new": {"name": "new", "instance_num": 1, "vm_config": {"path": "a.wasm"}}}'),
        ("[]", '"apiVersion"'),
    ],
)
def test_a_plugin_is_added_to_a_json_configuration(text: str, expected: str) -> None:
    edited = append(text, plugin("new", **FLAT), "config.json")
    assert expected in edited
    assert plugins(edited, "config.json")["new"] == plugin("new", **FLAT)


def test_a_plugin_is_added_to_the_map_inside_a_mosn_configuration() -> None:
    config = {
        "servers": [{"listeners": [{"stream_filters": [{"type": "Layotto", "config": {"a": ITEM}}]}]}],
        "x": [1.50],
    }
    text = json.dumps(config, indent=4).replace("1.5", "1.50")
    edited = append(text, plugin("new"), "config.json")
    assert plugins(edited, "config.json").keys() == {"a", "new"}
    assert edited.startswith(text[: text.index('"vm_config"')])
    assert edited.endswith(text[text.rindex('"x"') :])


def test_a_plugin_is_added_to_a_yaml_configuration() -> None:
    edited = append("# c\na: {vm_config: {path: a.wasm}} # d\n# e\n", plugin("new"), "config.yaml")
    assert edited.startswith("# c\na: {vm_config: {path: a.wasm}} # d\nnew:\n  apiVersion: ")
    assert edited.endswith("\n# e\n")
    assert append(BLOCK, plugin("new"), "config.yaml").startswith(BLOCK + "---\n")


def test_nothing_can_be_added_to_a_single_json_object() -> None:
    with pytest.raises(SpecWriteFailed, match="nothing can be added"):
        append(json.dumps(plugin("one").to_dict()), plugin("new"), "config.json")


def test_of_two_documents_with_one_name_the_one_at_the_place_is_edited() -> None:
    text = document("one", 1) + "---\n" + document("one", 2)
    editor = Editor(text, "a.yaml")
    element = editor.find("one", 1)
    assert element is not None
    edited = editor.set_instances(element, plugin("one"), 9)
    assert [one.plugin.spec.instances for one in parse_text(edited, "a.yaml").documents] == [1, 9]


# --- properties ------------------------------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats(-1e9, 1e9) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=6
)
names = st.sampled_from(["a", "b-1", "null", "on", "1", "1e3", "0x1", "x.y"])
specs = st.fixed_dictionaries(
    {"module": st.fixed_dictionaries({"path": texts.filter(lambda text: text and "\0" not in text)})},
    optional={
        "instances": st.integers(0, 100),
        "route": names,
        "suspend": st.booleans(),
        "config": st.dictionaries(texts, values, max_size=4) | texts,
        "env": st.lists(st.fixed_dictionaries({"name": st.just("A"), "value": texts}), max_size=2),
        "limits": st.fixed_dictionaries({}, optional={"timeout": st.just("2s"), "memory": st.just("1Mi")}),
    },
)
objects = st.builds(
    lambda name, spec, labels: {
        "apiVersion": "wasm-reconciler.dev/v1alpha1",
        "kind": "WasmPlugin",
        "metadata": {"name": name} | ({"labels": labels} if labels else {}),
        "spec": spec,
    },
    names,
    specs,
    st.dictionaries(texts, texts, max_size=2),
)
layouts = st.sampled_from(["block", "flow", "json", "pretty", "list", "array", "crlf"])


def lay_out(documents: list[dict[str, Any]], layout: str) -> tuple[str, str]:
    if layout in ("json", "pretty"):
        data = {one["metadata"]["name"]: one for one in documents}
        return json.dumps(data, indent=2 if layout == "pretty" else None), "f.json"
    if layout == "array":
        return json.dumps(documents, ensure_ascii=False, indent=1), "f.json"
    if layout == "list":
        return yaml.safe_dump({"kind": "List", "items": documents}, sort_keys=False), "f.yaml"
    dumped = [
        yaml.safe_dump(one, sort_keys=False, default_flow_style=layout == "flow", allow_unicode=layout == "block")
        for one in documents
    ]
    text = "# head\n" + "---\n# between\n".join(dumped) + "# tail\n"
    return (text.replace("\n", "\r\n") if layout == "crlf" else text), "f.yaml"


@settings(max_examples=150, deadline=None)
@given(
    documents=st.lists(objects, min_size=1, max_size=4, unique_by=lambda one: one["metadata"]["name"]),
    layout=layouts,
    data=st.data(),
)
def test_any_edit_changes_what_it_should_and_nothing_else(
    documents: list[dict[str, Any]], layout: str, data: st.DataObject
) -> None:
    text, file = lay_out(documents, layout)
    before = parse_text(text, file)
    if before.problems:  # yaml writes a few characters that it does not read
        return
    expected = {one.plugin.name: one.plugin for one in before.documents}
    name = data.draw(st.sampled_from(sorted(expected)))
    action = data.draw(st.sampled_from(["instances", "replace", "remove", "append"]))
    if action == "instances":
        number = data.draw(st.integers(0, 1000))
        edited = set_instances(text, name, number, file)
        spec = expected[name].spec.model_copy(update={"instances": number})
        expected[name] = expected[name].model_copy(update={"spec": spec})
    elif action == "remove":
        edited = remove(text, name, file)
        del expected[name]
    else:
        new = data.draw(objects)
        new["metadata"]["name"] = name if action == "replace" else "new"
        one = WasmPlugin.model_validate(new)
        expected[one.name] = one
        edited = replace(text, one, file) if action == "replace" else append(text, one, file)
    assert plugins(edited, file) == expected
    comments = re.findall(r"# (?:head|between|tail)\r?\n", text)
    if action != "remove":
        assert [line for line in comments if line not in edited] == []


@settings(max_examples=100, deadline=None)
@given(objects)
def test_a_new_file_says_what_was_given(data: dict[str, Any]) -> None:
    one = WasmPlugin.model_validate(data)
    assert plugins(new_file(one), "a.yaml") == {one.name: one}
