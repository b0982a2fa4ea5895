"""Layotto's calls over real HTTP. Tests that begin with `difference` are where we do other than Layotto on purpose."""

import threading
from dataclasses import dataclass, replace
from typing import Any

import pytest

from api.admin import WAITERS
from specs.errors import Problem, SpecError, SpecInvalid, SpecWriteFailed
from specs.model import WasmPlugin
from specs.writer import Change
from tests.api.world import READY, Answer, Client, World, plugin, says, serving

INSTALL = {"name": "id_1", "instance_num": 1, "vm_config": {"engine": "wasmtime", "path": "function_1.wasm"}}


def test_difference_an_install_is_202_and_says_where_it_went(client: Client, world: World) -> None:
    answer = client.post("/wasm/install", INSTALL)
    assert answer.status == 202
    assert answer.json() == {"name": "id_1", "generation": 1, "file": "id_1.yaml"}
    installed = world.entry("id_1").plugin
    assert (installed.route, installed.spec.instances, installed.spec.module.path) == ("id_1", 1, "function_1.wasm")


def test_an_install_of_another_engine_or_with_idle_fields_says_what_has_no_effect(client: Client) -> None:
    vm = {"engine": "wasmer", "path": "function_1.wasm", "cpu": 1}
    notices = client.post("/wasm/install", INSTALL | {"vm_config": vm}).json()["notices"]
    assert any("wasmer" in notice for notice in notices)
    assert any("vm_config.cpu" in notice for notice in notices)


def test_difference_equal_installs_at_once_are_all_accepted(client: Client, world: World) -> None:
    answers: list[int] = []
    installing = [
        threading.Thread(target=lambda: answers.append(client.post("/wasm/install", INSTALL).status)) for _ in range(8)
    ]
    for thread in installing:
        thread.start()
    for thread in installing:
        thread.join()
    assert sorted(answers) == [200] * 7 + [202]
    assert world.files.names == ["id_1"]


def test_difference_an_equal_install_is_200(client: Client) -> None:
    client.post("/wasm/install", INSTALL)
    assert client.post("/wasm/install", INSTALL).status == 200


def test_an_install_equal_but_for_a_route_written_out_is_equal(client: Client, world: World) -> None:
    client.post("/wasm/install", INSTALL)
    written = world.entry("id_1").plugin
    world.files.add(written.model_copy(update={"spec": written.spec.model_copy(update={"route": "id_1"})}))
    assert client.post("/wasm/install", INSTALL).status == 200


def test_difference_a_different_install_under_the_same_name_is_409(client: Client, world: World) -> None:
    client.post("/wasm/install", INSTALL)
    answer = client.post("/wasm/install", INSTALL | {"instance_num": 2})
    assert (answer.status, answer.error) == (409, "id_1 is already registered")
    assert answer.json()["file"] == "id_1.yaml"
    assert world.entry("id_1").plugin.spec.instances == 1


def test_an_install_under_the_route_of_others_is_409_and_names_them(client: Client, world: World) -> None:
    world.files.add(plugin("id_1_2", route="id_1"))
    world.files.add(plugin("id_1_1", route="id_1"))
    answer = client.post("/wasm/install", INSTALL)
    assert (answer.status, answer.error) == (409, "id_1 is already registered")
    assert answer.json()["plugins"] == ["id_1_1", "id_1_2"]


@pytest.mark.parametrize("endpoint", ["install", "update", "uninstall"])
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "invalid request body"),
        (b"  \n", "invalid request body"),
        (b"invalid", "invalid request body: not JSON: "),
        (b'{"name": "a"', "invalid request body: not JSON: "),
        (b"\xff\xfe\x00", "invalid request body: not JSON: "),
        (b"[" * 100_000, "invalid request body: not JSON: "),
        (b'["a"]', "invalid request body: expected a JSON object, not a list"),
        (b"null", "invalid request body: expected a JSON object, not nothing"),
        (b"{}", "can't get name property"),
        (b'{"name": null}', "can't get name property"),
        (b'{"name": ""}', "can't get name property"),
        (b'{"name": 1}', "name: expected a string, not a number"),
        (b'{"name": ["a"]}', "name: expected a string, not a list"),
        (b'{"name": true}', "name: expected a string, not a boolean"),
    ],
)
def test_difference_a_bad_body_is_400_and_changes_nothing(
    client: Client, world: World, endpoint: str, body: bytes, error: str
) -> None:
    answer = client.post(f"/wasm/{endpoint}", body)
    assert answer.status == 400
    assert answer.error.startswith(error)
    assert world.files.names == []


def test_an_install_without_vm_config_is_400(client: Client) -> None:
    for body in ({"name": "a"}, {"name": "a", "vm_config": None}):
        answer = client.post("/wasm/install", body)
        assert (answer.status, answer.error) == (400, "nil vm config")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"instance_num": "2"}, "instance_num"),
        ({"instance_num": 1.5}, "instance_num"),
        ({"instance_num": True}, "instance_num"),
        ({"vm_config": "a.wasm"}, "vm_config"),
        ({"vm_config": {"engine": "wasmtime", "path": 7}}, "vm_config.path"),
        ({"vm_config": {"engine": "lua", "path": "a.wasm"}}, "vm_config.engine"),
    ],
)
def test_difference_a_wrong_type_is_400_with_the_path_of_the_field(
    client: Client, world: World, change: dict[str, Any], field: str
) -> None:
    answer = client.post("/wasm/install", INSTALL | change)
    assert answer.status == 400
    assert field in [problem.get("field") for problem in answer.json()["problems"]], answer
    assert field in answer.error
    assert world.files.names == []


def test_an_update_is_202_and_the_same_number_again_200(client: Client, world: World) -> None:
    world.files.add(plugin("id_1"))
    answer = client.post("/wasm/update", {"name": "id_1", "instance_num": 2})
    assert (answer.status, answer.json()) == (202, {"name": "id_1", "generation": 2, "file": "id_1.yaml"})
    assert world.entry("id_1").plugin.spec.instances == 2
    assert client.post("/wasm/update", {"name": "id_1", "instance_num": 2.0}).status == 200
    assert world.entry("id_1").generation == 2


@pytest.mark.parametrize(
    ("instance_num", "error"),
    [
        (None, "can't get instance_num property"),
        (0, "instance_num should be greater than 0"),
        (-1, "instance_num should be greater than 0"),
        ("2", "instance_num: expected a whole number, not a string"),
        (True, "instance_num: expected a whole number, not a boolean"),
        (1.9, "instance_num: expected a whole number, not 1.9"),
        (0.5, "instance_num: expected a whole number, not 0.5"),
        ([], "instance_num: expected a whole number, not a list"),
        (10**9, "instance_num: give at most 100000"),
        (float("inf"), "instance_num: expected a whole number, not inf"),
    ],
)
def test_difference_an_update_to_a_bad_number_is_400(
    client: Client, world: World, instance_num: object, error: str
) -> None:
    world.files.add(plugin("id_1"))
    answer = client.post("/wasm/update", {"name": "id_1", "instance_num": instance_num})
    assert (answer.status, answer.error) == (400, error)
    assert answer.json()["field"] == "instance_num"
    assert world.entry("id_1").generation == 1


def test_an_update_complains_of_the_number_before_the_name(client: Client) -> None:
    assert client.post("/wasm/update", {"name": "nobody"}).error == "can't get instance_num property"


@pytest.mark.parametrize(
    ("endpoint", "body"), [("update", {"name": "id_1", "instance_num": 2}), ("uninstall", {"name": "id_1"})]
)
def test_difference_an_unknown_name_is_404(client: Client, endpoint: str, body: dict[str, Any]) -> None:
    answer = client.post(f"/wasm/{endpoint}", body)
    assert (answer.status, answer.error) == (404, "id_1 is not registered")


def test_difference_update_and_uninstall_take_an_identity_before_a_route(client: Client, world: World) -> None:
    world.files.add(plugin("id_1", route="other"))
    world.files.add(plugin("function1", route="id_1"))
    assert client.post("/wasm/update", {"name": "id_1", "instance_num": 3}).json()["name"] == "id_1"
    assert client.post("/wasm/uninstall", {"name": "id_1"}).status == 202
    assert world.files.names == ["function1"]


def test_difference_an_update_reaches_the_only_plugin_of_a_route(client: Client, world: World) -> None:
    world.files.add(plugin("function1", route="id_1"))
    assert client.post("/wasm/update", {"name": "id_1", "instance_num": 2}).json()["name"] == "function1"


def test_difference_an_update_of_a_group_of_several_is_409_and_lists_them(client: Client, world: World) -> None:
    world.files.add(plugin("id_1_1", route="id_1"))
    world.files.add(plugin("id_1_2", route="id_1"))
    answer = client.post("/wasm/update", {"name": "id_1", "instance_num": 2})
    assert answer.status == 409
    assert answer.json()["plugins"] == ["id_1_1", "id_1_2"]
    assert "id_1_1, id_1_2" in answer.error
    assert {entry.generation for entry in world.files.store.list()} == {1}


def test_difference_an_uninstall_takes_the_whole_group(client: Client, world: World) -> None:
    for name, route in (("id_1_1", "id_1"), ("id_1_2", "id_1"), ("id_2", "id_2")):
        world.files.add(plugin(name, route))
    answer = client.post("/wasm/uninstall", {"name": "id_1"})
    assert answer.status == 202
    assert answer.json() == {
        "name": "id_1",
        "uninstalled": [{"name": "id_1_1", "file": "id_1_1.yaml"}, {"name": "id_1_2", "file": "id_1_2.yaml"}],
    }
    assert world.files.names == ["id_2"]


def test_more_path_after_the_endpoint_and_other_parameters_are_ignored(client: Client) -> None:
    assert client.post("/wasm/install/x/y?z=1", INSTALL).status == 202
    assert client.post("/wasm/install/", INSTALL).status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_difference_only_post_is_taken(client: Client, method: str) -> None:
    answer = client.ask(method, "/wasm/uninstall", b'{"name": "id_1"}')
    assert answer.status == 405
    assert answer.headers["allow"] == "POST, OPTIONS"


def test_a_file_that_cannot_be_written_is_409_and_named(client: Client, world: World) -> None:
    world.files.add(plugin("id_2"))
    file = world.files.directory / "id_2.yaml"
    file.replace(world.files.directory / ".behind")
    file.symlink_to(".behind")
    for answer in (
        client.post("/wasm/update", {"name": "id_2", "instance_num": 2}),
        client.post("/wasm/uninstall", {"name": "id_2"}),
    ):
        assert answer.status == 409
        assert answer.json()["file"] == str(file)
        assert f"{file} cannot be written (it is a symlink" in answer.error


@dataclass(frozen=True)
class Refusing:
    """A writer whose disk is full, or that knows better."""

    error: SpecError

    def create(self, plugin: WasmPlugin) -> Change:
        raise self.error

    def set_instances(self, name: str, instances: int) -> Change:
        raise self.error

    def delete(self, name: str) -> Change:
        raise self.error


def refused_with(world: World, error: SpecError) -> list[Answer]:
    world.files.add(plugin("id_2"))
    with serving(replace(world.services(), writer=Refusing(error))) as client:
        return [
            client.post("/wasm/install", INSTALL),
            client.post("/wasm/update", {"name": "id_2", "instance_num": 2}),
            client.post("/wasm/uninstall", {"name": "id_2"}),
        ]


def test_a_full_disk_is_507(world: World) -> None:
    for answer in refused_with(world, SpecWriteFailed("/etc/specs/a.yaml", "No space left on device")):
        assert answer.status == 507
        assert answer.error == "/etc/specs/a.yaml was not changed: No space left on device"


def test_an_invalid_spec_is_400_with_all_its_problems(world: World) -> None:
    problems = (Problem("too small", field="spec.limits.memory"), Problem("unknown", file="a.yaml", line=3, column=5))
    for answer in refused_with(world, SpecInvalid(problems)):
        assert answer.status == 400
        assert answer.json()["problems"] == [
            {"message": "too small", "field": "spec.limits.memory"},
            {"message": "unknown", "file": "a.yaml", "line": 3, "column": 5},
        ]


def test_wait_holds_the_answer_until_ready(client: Client, world: World) -> None:
    answers: list[Answer] = []
    asking = threading.Thread(target=lambda: answers.append(client.post("/wasm/install?wait=30s", INSTALL)))
    asking.start()
    world.status.until_waiting(1)
    assert answers == []
    world.status.set("id_1", READY)
    asking.join()
    assert answers[0].status == 200
    assert answers[0].json()["reason"] == "ReconciliationSucceeded"


def test_wait_is_for_the_generation_that_was_written(client: Client, world: World) -> None:
    world.files.add(plugin("id_1"))
    world.status.set("id_1", READY, generation=1)
    answer = client.post("/wasm/update?wait=10ms", {"name": "id_1", "instance_num": 2})
    assert answer.status == 504
    world.status.set("id_1", READY, generation=2)
    assert client.post("/wasm/update?wait=30s", {"name": "id_1", "instance_num": 2}).status == 200


@pytest.mark.parametrize("summary", ["Stalled", "RolledBack", "Ready"])
def test_difference_a_failed_load_is_422_with_the_reason_and_the_message(
    client: Client, world: World, summary: str
) -> None:
    conditions = [says("Ready", "False", "CrashLoopBackOff", "failed 3 times")]
    if summary != "Ready":
        conditions.append(says(summary, "True", "MissingImport", "env.nothing is not there"))
    world.status.set("id_1", {"conditions": conditions})
    answer = client.post("/wasm/install?wait=30s", INSTALL)
    reason, message = ("CrashLoopBackOff", "failed 3 times")
    if summary != "Ready":
        reason, message = ("MissingImport", "env.nothing is not there")
    assert answer.status == 422
    assert answer.error.startswith(f"id_1 failed: {reason}: {message}")
    assert answer.json() | {"name": "id_1", "reason": reason, "message": message} == answer.json()


def test_a_wait_that_is_over_is_504_and_the_change_stays(client: Client, world: World) -> None:
    answer = client.post("/wasm/install?wait=1ms", INSTALL)
    assert answer.status == 504
    assert "id_1 is not Ready after 0.001s; the change was accepted" in answer.error
    assert "id_1" in world.files.names


def test_a_wait_that_is_over_while_the_plugin_starts_says_how_far_it_is(client: Client, world: World) -> None:
    starting = [says("Progressing", "True"), says("Ready", "False", "NewRevision", "1 of 2 ready")]
    world.status.set("id_1", {"conditions": starting})
    answer = client.post("/wasm/install?wait=1ms", INSTALL)
    assert answer.status == 504
    assert "(1 of 2 ready)" in answer.error


def test_wait_on_an_uninstall_is_until_nothing_is_left(client: Client, world: World) -> None:
    world.files.add(plugin("id_1"))
    world.status.set("id_1", READY)
    answers: list[Answer] = []
    body = {"name": "id_1"}
    asking = threading.Thread(target=lambda: answers.append(client.post("/wasm/uninstall?wait=30s", body)))
    asking.start()
    world.status.until_waiting(1)
    world.status.remove("id_1")
    asking.join()
    assert answers[0].status == 200


def test_an_uninstall_that_drains_too_long_is_504(client: Client, world: World) -> None:
    world.files.add(plugin("id_1"))
    world.status.set("id_1", READY)
    answer = client.post("/wasm/uninstall?wait=1ms", {"name": "id_1"})
    assert answer.status == 504
    assert answer.error.startswith("id_1 still drains after 0.001s")


@pytest.mark.parametrize("wait", ["soon", "-1", "601s", "2h", "1x"])
def test_a_bad_wait_is_400_and_changes_nothing(client: Client, world: World, wait: str) -> None:
    answer = client.post(f"/wasm/install?wait={wait}", INSTALL)
    assert (answer.status, answer.json()["field"]) == (400, "wait")
    assert world.files.names == []


def test_waiting_requests_never_use_up_the_threads(client: Client, world: World) -> None:
    world.files.add(plugin("a"))
    again = {"name": "a", "instance_num": 1}
    answers: list[Answer] = []
    waiting = [
        threading.Thread(target=lambda: answers.append(client.post("/wasm/update?wait=30s", again)))
        for _ in range(WAITERS)
    ]
    for thread in waiting:
        thread.start()
    world.status.until_waiting(WAITERS)
    refused = client.post("/wasm/install?wait=30s", INSTALL)
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert "nothing was changed" in refused.error
    assert world.files.names == ["a"]
    assert client.get("/livez").status == 200
    assert client.post("/wasm/update", {"name": "a", "instance_num": 2}).status == 202
    world.status.set("a", READY)
    for thread in waiting:
        thread.join()
    assert [answer.status for answer in answers] == [200] * WAITERS


def test_a_place_for_waiting_is_free_again_however_the_wait_ended(client: Client, world: World) -> None:
    world.files.add(plugin("a"))
    again = {"name": "a", "instance_num": 1}
    statuses = [client.post("/wasm/update?wait=1ms", again).status for _ in range(WAITERS + 1)]
    assert statuses == [504] * (WAITERS + 1)
    world.status.set("a", READY)
    assert client.post("/wasm/update?wait=30s", again).status == 200
