"""Layotto's flat object, its map, and the MOSN configuration around it."""

import json
from typing import Any

import pytest

from specs.document import parse_text, plugin_from
from specs.errors import SpecInvalid
from specs.layotto import cpus, flatten
from specs.model import WasmPlugin

VM = {"engine": "wasmtime", "path": "function_1.wasm"}


FLAT_SPEC = {"module": {"path": "a"}, "capabilities": {"stores": ["*"]}}


def mosn(config: dict[str, Any], **more: Any) -> str:
    filters = [{"type": "other"}, {"type": "Layotto", "config": config}]
    return json.dumps({"servers": [{"listeners": [{"name": "grpc"}, {"stream_filters": filters}]}]} | more)


def flat_problems(item: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(SpecInvalid) as caught:
        plugin_from(item)
    return {problem.field: problem.message for problem in caught.value.problems}


def test_the_key_is_the_identity_and_the_name_is_the_route() -> None:
    text = json.dumps({"id_1_1": {"name": "id_1", "instance_num": 1, "vm_config": VM}, "id_2": {"vm_config": VM}})
    first, second = (one.plugin for one in parse_text(text, "config.json").documents)
    assert (first.name, first.route) == ("id_1_1", "id_1")
    assert (second.name, second.route) == ("id_2", "id_2")


def test_an_install_body_has_its_name_for_both() -> None:
    plugin, _ = plugin_from({"name": "id_1", "instance_num": 2, "vm_config": VM, "greeting": "hello"})
    assert (plugin.name, plugin.route, plugin.spec.instances) == ("id_1", "id_1", 2)
    assert plugin.spec.config == {"greeting": "hello"}


@pytest.mark.parametrize("number", [None, 0, -3])
def test_no_positive_number_of_instances_means_one_for_each_cpu(number: int | None) -> None:
    item = {"name": "a", "vm_config": VM} | ({} if number is None else {"instance_num": number})
    assert plugin_from(item)[0].spec.instances == cpus()


def test_md5_is_a_digest_and_path_wins_over_url() -> None:
    plugin, notices = plugin_from({"name": "a", "vm_config": VM | {"md5": "A" * 32, "url": "http://x", "mem": 3}})
    assert plugin.spec.module.digest == "md5:" + "a" * 32
    assert plugin.spec.module.url is None
    assert len(notices) == 2


@pytest.mark.parametrize(
    ("item", "field", "message"),
    [
        ({"vm_config": VM}, "name", "can't get name property"),
        ({"name": "a"}, "vm_config", "nil vm config"),
        ({"name": "a", "vm_config": 3}, "vm_config", "expected a mapping, not 3"),
        ({"name": "a", "vm_config": {}}, "vm_config", "give path or url"),
        ({"name": "a", "vm_config": VM | {"pth": "x"}}, "vm_config.pth", "unknown field; did you mean path?"),
        ({"name": "a", "vm_config": VM | {"path": 1}}, "vm_config.path", "expected a string, not 1"),
        ({"name": "a", "vm_config": VM | {"engine": "x"}}, "vm_config.engine", "'x' is not known"),
        ({"name": "a", "vm_config": VM | {"md5": "x"}}, "vm_config.md5", "hexadecimal digits"),
        ({"name": "a", "vm_config": VM, "instance_num": "2"}, "instance_num", "expected a whole number, not '2'"),
        ({"name": "a", "vm_config": VM, "instance_num": True}, "instance_num", "expected a whole number, not True"),
        ({"name": "a", "vm_config": VM, "instance_num": 10**9}, "instance_num", "is too large; at most 100000"),
        ({"name": "a", "vm_config": VM, "extra": 3}, "extra", "holds a string"),
        ({"name": "a/b", "vm_config": VM}, "name", "a name has letters"),
        ({"name": 3, "vm_config": VM}, "name", "expected a string, not 3"),
        ({"name": "a", "from_wasm_plugin": "p"}, "from_wasm_plugin", "plugin not found"),
    ],
)
def test_a_bad_flat_object_is_explained_in_its_own_words(item: dict[str, Any], field: str, message: str) -> None:
    assert message in flat_problems(item)[field]


def test_the_map_is_found_inside_a_mosn_configuration() -> None:
    parsed = parse_text(mosn({"f": {"name": "f", "vm_config": VM}}), "config.json")
    assert [one.plugin.name for one in parsed.documents] == ["f"]


def test_a_problem_in_a_mosn_configuration_names_its_path() -> None:
    (problem,) = parse_text(mosn({"f": {"vm_config": {"path": 1}}}), "config.json").problems[:1]
    assert problem.field == "servers[0].listeners[1].stream_filters[1].config.f.vm_config.path"


def test_a_global_plugin_lends_its_machine() -> None:
    shared = [{"plugin_name": "p", "instance_num": 3, "vm_config": VM}]
    text = mosn({"f": {"from_wasm_plugin": "p", "instance_num": 9}}, wasm_global_plugins=shared)
    (one,) = parse_text(text, "config.json").documents
    assert (one.plugin.spec.instances, one.plugin.spec.module.path) == (3, "function_1.wasm")


def test_what_fits_the_flat_form_comes_back_the_same() -> None:
    item = {"name": "r", "instance_num": 2, "vm_config": VM | {"md5": "a" * 32}, "greeting": "hello"}
    (one,) = parse_text(json.dumps({"k": item}), "c.json").documents
    assert flatten(one.plugin, keyed=True) == item


@pytest.mark.parametrize(
    "spec",
    [
        {"capabilities": {}},
        {"instances": 0},
        {"limits": {"timeout": "5s"}},
        {"config": {"a": 1}},
        {"config": "text"},
        {"config": {"name": "x"}},
        {"env": [{"name": "A", "value": "b"}]},
        {"module": {"path": "a", "digest": "sha256:" + "0" * 64}},
        {"module": {"image": "a", "digest": "sha256:" + "0" * 64}},
    ],
)
def test_what_the_flat_form_cannot_say_is_not_written_flat(spec: dict[str, Any]) -> None:
    plugin = WasmPlugin.model_validate({"metadata": {"name": "a"}, "spec": FLAT_SPEC | spec})
    assert flatten(plugin, keyed=True) is None


def test_what_has_just_a_module_and_all_stores_is_written_flat() -> None:
    plugin = WasmPlugin.model_validate({"metadata": {"name": "a"}, "spec": FLAT_SPEC})
    assert flatten(plugin, keyed=True) == {"name": "a", "instance_num": 1, "vm_config": {"path": "a"}}
