"""What texts mean, and what is said about bad ones."""

import functools
import itertools
import json
import os
import time
from pathlib import Path

import pytest

from specs.document import parse_text, plugin_from, validate_file
from specs.errors import SpecInvalid
from specs.files import MAX_BYTES
from tests.specs.conftest import document


def names(text: str, file: str = "a.yaml") -> list[str]:
    parsed = parse_text(text, file)
    assert parsed.problems == ()
    return [one.plugin.name for one in parsed.documents]


def problems(text: str, file: str = "a.yaml") -> list[str]:
    return [str(problem) for problem in parse_text(text, file).problems]


OBJECT = {
    "apiVersion": "wasm-reconciler.dev/v1alpha1",
    "kind": "WasmPlugin",
    "metadata": {"name": "one"},
    "spec": {"module": {"path": "a.wasm"}},
}


@pytest.mark.parametrize(
    ("text", "file", "expected"),
    [
        pytest.param(document("a") + "---\n" + document("b"), "f.yaml", ["a", "b"], id="documents"),
        pytest.param("---\n---\n" + document("a") + "---\n# nothing\n", "f.yaml", ["a"], id="empty documents"),
        pytest.param("", "f.yaml", [], id="empty yaml"),
        pytest.param("", "f.json", [], id="empty json"),
        pytest.param(json.dumps(OBJECT), "f.json", ["one"], id="json object"),
        pytest.param(json.dumps([OBJECT]), "f.json", ["one"], id="json array"),
        pytest.param(json.dumps(OBJECT), "f.yaml", ["one"], id="json in a yaml file"),
        pytest.param(json.dumps({"apiVersion": "v1", "kind": "List", "items": [OBJECT]}), "f.json", ["one"], id="list"),
        pytest.param(json.dumps({"kind": "WasmPluginList", "items": [OBJECT]}), "f.yaml", ["one"], id="typed list"),
        pytest.param("kind: List\nitems:\n", "f.yaml", [], id="list of nothing"),
        pytest.param("name: f\nvm_config: {path: a.wasm}\n", "f.yaml", ["f"], id="flat"),
        pytest.param("{}", "f.json", [], id="empty map"),
        pytest.param('{"k": {"name": "r", "vm_config": {"path": "a.wasm"}}}', "f.json", ["k"], id="map"),
        pytest.param(json.dumps({"one": OBJECT}), "f.json", ["one"], id="full object in a map"),
        pytest.param(document("a").replace("\n", "\r\n"), "f.yaml", ["a"], id="windows line ends"),
        pytest.param(document("a") + "...\n---\n" + document("b"), "f.yaml", ["a", "b"], id="document end marks"),
        pytest.param(
            "metadata: &m {name: a}\nkind: WasmPlugin\napiVersion: wasm-reconciler.dev/v1alpha1\n"
            "spec: {module: &p {path: a.wasm}, config: {x: *p}}\n",
            "f.yaml",
            ["a"],
            id="aliases",
        ),
    ],
)
def test_the_accepted_forms(text: str, file: str, expected: list[str]) -> None:
    assert names(text, file) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("instanes: 1", "a.yaml:5:3: spec.instanes: unknown field; did you mean instances?"),
        ("instances: '2'", "a.yaml:5:3: spec.instances: expected a whole number, not a string; remove the quotes"),
        ("instances: true", "a.yaml:5:3: spec.instances: expected a whole number, not a boolean"),
        ("instances: 1.5", "a.yaml:5:3: spec.instances: expected a whole number, not 1.5"),
        ("instances: -1", "a.yaml:5:3: spec.instances: -1 is too small; at least 0"),
        (f"instances: 1{'0' * 20}", "a.yaml:5:3: spec.instances: 100000000000000000000 is too large; at most 100000"),
        ("suspend: 'no'", "a.yaml:5:3: spec.suspend: expected true or false, not a string; remove the quotes"),
        ("engine: wasmtme", "a.yaml:5:3: spec.engine: 'wasmtme' is not known; did you mean wasmtime?"),
        ("config: 3", "a.yaml:5:3: spec.config: expected a mapping or a string, not a number"),
        ("limits: {memory: 3Q}", "spec.limits.memory: expected a size such as 64Mi"),
        ("limits: {memory: 1}", "a.yaml:5:12: spec.limits.memory: 1 is too small; at least 65536"),
        ("limits: {timeout: 0}", "spec.limits.timeout: 0 is too small; more than 0"),
        ("limits: {timeot: 1s}", "a.yaml:5:12: spec.limits.timeot: unknown field; did you mean timeout?"),
        ("env: [{name: A, valu: b}]", "a.yaml:5:19: spec.env[0].valu: unknown field; did you mean value?"),
        ("env: [{name: A}]", "a.yaml:5:9: spec.env[0]: give exactly one of value, valueFrom"),
        ("filters: [a]", "a.yaml:1:1: spec.filters names the plugin itself ('a')"),
        ("filters: [b, b]", "a.yaml:4:1: spec: filters names 'b' twice; a request passes each filter once"),
        ("filters: [a/b]", "a.yaml:5:13: spec.filters[0]: a name has letters"),
        ("route: a/b", "a.yaml:5:3: spec.route: a name has letters"),
        ("instances: 1\n  instances: 2", "a.yaml:6:3: the key 'instances' is given twice"),
        ("config: {a: .nan}", "a.yaml:5:15: .nan is not a finite number"),
        ("config: {1: a}", "a.yaml:5:12: a key is a string, not a number; put it in quotes"),
        ("config: {a: !!binary aGk=}", "a.yaml:5:15: the tag tag:yaml.org,2002:binary is not known here"),
    ],
)
def test_a_bad_field_is_named_with_its_place(spec: str, expected: str) -> None:
    text = f"apiVersion: wasm-reconciler.dev/v1alpha1\nkind: WasmPlugin\nmetadata: {{name: a}}\nspec:\n  {spec}\n"
    text += "  module: {path: a.wasm}\n"
    found = problems(text)
    assert len(found) == 1
    assert expected in found[0]


@pytest.mark.parametrize(
    ("text", "file", "expected"),
    [
        ("a: [", "a.yaml", "a.yaml:2:1: this is not YAML"),
        ("a: \x00", "a.yaml", "a.yaml:1:4: this is not YAML: control characters are not allowed"),
        ("a: *b", "a.yaml", "a.yaml:1:4: the alias *b has no anchor before it"),
        ('{"a": }', "a.json", "a.json:1:7: this is not JSON: a value is expected here"),
        ('{"a": 1,}', "a.json", "a.json:1:9: this is not JSON: a comma before }"),
        ('{"a": ', "a.json", "a.json:1:7: this is not JSON: the text ends too early"),
        ("3", "a.yaml", "a.yaml:1:1: expected a WasmPlugin, not a number"),
        ("- 3", "a.yaml", "a.yaml:1:3: [0]: expected a WasmPlugin, not a number"),
        ("kind: ConfigMap", "a.yaml", "kind: 'ConfigMap' is not known; there is WasmPlugin"),
        ("spec: {}\nx: 1", "a.yaml", "there is no apiVersion; write apiVersion: wasm-reconciler.dev/v1alpha1"),
        ("metadata: {name: a}\nspec: {module: {path: b}}", "a.yaml", "apiVersion: is required"),
        ("[" * 100_000, "a.yaml", "maximum nesting depth"),
        ("[" * 100, "a.yaml", "nested deeper than 64"),
        ("[" * 100_000, "a.json", "nested deeper than 64"),
        ('{"a": "\\ud800"}', "a.json", "a.json:1:7: half of a surrogate pair"),
        ("9" * 5000, "a.json", "is too large a number"),
        ("1e999", "a.json", "is too large a number"),
        ("9" * 5000, "a.yaml", "is too large a number"),
        ("0x" + "f" * 5000, "a.yaml", "is too large a number"),
        ("1e999", "a.yaml", "is too large a number"),
        ('{"servers": []}', "a.json", "no stream filter of type Layotto"),
        ('{"a": {"metadata": {"name": "b"}, "kind": "WasmPlugin"}}', "a.json", "a.apiVersion: is required"),
    ],
)
def test_a_bad_text_is_refused_with_a_reason(text: str, file: str, expected: str) -> None:
    assert any(expected in problem for problem in problems(text, file)), problems(text, file)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(float("nan"), "nan is not a finite number", id="nan"),
        pytest.param(10**50, "too large", id="large"),
        pytest.param("\ud800", "half of a surrogate pair", id="surrogate"),
        pytest.param(functools.reduce(lambda inner, _: [inner], range(100), []), "nested deeper", id="deep"),
        pytest.param([0] * 300_000, "more than 200000 values", id="many"),
    ],
)
def test_data_that_no_file_can_hold_is_refused(value: object, expected: str) -> None:
    with pytest.raises(SpecInvalid, match=expected):
        plugin_from(OBJECT | {"spec": {"module": {"path": "a"}, "config": {"x": value}}})


def test_every_problem_of_every_document_is_reported_at_once() -> None:
    text = (
        document("good")
        + "---\n"
        + document("a/b").replace("instances", "instanes")
        + "---\n"
        + document("c").replace("a.wasm", "3")
    )
    parsed = parse_text(text, "a.yaml")
    assert [one.plugin.name for one in parsed.documents] == ["good"]
    assert [problem.field for problem in parsed.problems] == ["metadata.name", "spec.instanes", "spec.module.path"]
    assert [problem.line for problem in parsed.problems] == [8, 9, 14]


def test_what_precedes_a_syntax_error_is_still_told() -> None:
    parsed = parse_text(document("a") + "---\nb: [", "a.yaml")
    assert [one.plugin.name for one in parsed.documents] == ["a"]
    assert not parsed.complete


def test_an_alias_bomb_is_refused_at_once() -> None:
    letters = "abcdefghi"
    bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{here}: &{here} [{', '.join([f'*{before}'] * 10)}]\n" for before, here in itertools.pairwise(letters)
    )
    began = time.process_time()
    assert any("aliases counted" in problem for problem in problems(bomb))
    assert time.process_time() - began < 5


def test_an_alias_to_itself_is_refused() -> None:
    assert problems("a: &a [*a]") == ["a.yaml:1:8: the alias *a has no anchor before it"]


def test_a_100_mb_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "big.yaml"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    documents, found = validate_file(path)
    assert documents == ()
    assert str(found[0]) == f"{path}: the file has 104857600 bytes; at most {MAX_BYTES} are read"


def test_a_pipe_is_refused_and_does_not_block(tmp_path: Path) -> None:
    path = tmp_path / "pipe.yaml"
    os.mkfifo(path)
    assert [problem.message for problem in validate_file(path)[1]] == ["this is not a regular file"]


def test_bytes_that_are_not_utf8_are_refused_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"a: 1\nb: \xfc\n")
    assert str(validate_file(path)[1][0]) == f"{path}:2:4: this is not text in UTF-8"


def test_a_missing_and_an_empty_file_are_problems_for_validation(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").touch()
    assert validate_file(tmp_path / "empty.yaml")[1][0].message == "there is nothing in it"
    assert "No such file" in validate_file(tmp_path / "none.yaml")[1][0].message


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + document("a").encode())
    assert [one.plugin.name for one in validate_file(path)[0]] == ["a"]


def test_yaml_means_what_json_means() -> None:
    text = document("a").replace(
        "a.wasm}", "a.wasm}, config: {a: yes, b: 010, c: 1:30, d: 2024-01-01, e: 0x10, f: 1e3, g: ~}"
    )
    config = parse_text(text, "a.yaml").documents[0].plugin.spec.config
    assert config == {"a": "yes", "b": 10, "c": "1:30", "d": "2024-01-01", "e": 16, "f": 1000.0, "g": None}


def test_lines_count_over_all_documents() -> None:
    parsed = parse_text("# comment\n" + document("a") + "---\n# other\n" + document("b"), "a.yaml")
    assert [one.line for one in parsed.documents] == [2, 8]


def test_what_the_server_writes_is_ignored_with_a_notice() -> None:
    data = OBJECT | {"status": {"x": 1}, "metadata": {"name": "one", "uid": "u", "generation": 3}}
    plugin, notices = plugin_from(data)
    assert plugin.name == "one"
    assert notices == ("status, metadata.uid, metadata.generation is written by the server and ignored here",)


def test_another_engine_is_accepted_with_a_notice() -> None:
    data = OBJECT | {"spec": {"engine": "wasmer", "module": {"path": "a"}}}
    assert plugin_from(data)[1] == ("the engine wasmer is accepted and run by wasmtime",)


def test_data_from_elsewhere_lists_all_problems_in_one_error() -> None:
    with pytest.raises(SpecInvalid) as caught:
        plugin_from(OBJECT | {"spec": {"module": {"url": "http://x"}, "instances": -1}})
    assert [problem.field for problem in caught.value.problems] == ["spec.instances", "spec.module"]
