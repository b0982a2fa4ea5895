"""What each command does to a running daemon, what it prints, and how it ends."""

import json
import re
import time
from pathlib import Path

import pytest

from tests.api.cli.conftest import Desk, spec


def test_get_lists_plugins_for_people_and_for_programs(desk: Desk) -> None:
    table = desk.run("get").stdout
    assert re.search(r"^NAME +ROUTE +INSTANCES +STATE", table)
    assert re.search(r"^hello +hello +1/1 +Ready", table, re.MULTILINE)
    assert "hello" in desk.run("get -o name").stdout.split()
    one = json.loads(desk.run("get hello -o json").stdout)
    assert (one["kind"], one["metadata"]["name"]) == ("WasmPlugin", "hello")
    assert "managedFields" not in one["metadata"]
    assert "kind: WasmPlugin" in desk.run("get hello -o yaml").stdout
    assert json.loads(desk.run("get -o json").stdout)["kind"] == "WasmPluginList"


def test_a_plugin_that_is_not_there_ends_with_1_and_a_sentence(desk: Desk) -> None:
    answer = desk.run("get nobody")
    assert answer.exit_code == 1
    assert '"nobody" not found' in answer.stderr


def test_without_a_daemon_the_error_says_how_to_start_one(desk: Desk) -> None:
    answer = desk.run("get --server http://127.0.0.1:1")
    assert answer.exit_code == 1
    assert "wasm-reconciler serve" in answer.stderr
    assert desk.run("get --server ftp://x").exit_code == 1


def test_apply_creates_changes_and_leaves_alone(desk: Desk) -> None:
    assert desk.apply(spec("one"), "--wait").stdout.splitlines()[0] == "one created"
    assert desk.apply(spec("one")).stdout == "one unchanged\n"
    changed = desk.apply(spec("one", "instances: 2"), "--wait")
    assert changed.exit_code == 0
    assert changed.stdout.splitlines()[0] == "one changed"
    assert "2/2 ready" in changed.stdout
    assert desk.run("delete one").stdout == "one removed\n"


def test_apply_takes_files_and_directories_and_changes_nothing_when_one_is_wrong(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.yaml").write_text(spec("two"))
    (tmp_path / "deep" / "b.json").write_text(json.dumps({"three": {"name": "three", "vm_config": {"path": "x.wasm"}}}))
    (tmp_path / "wrong.yaml").write_text(spec("four", "instnces: 2"))
    refused = desk.run(f"apply -f {tmp_path}")
    assert refused.exit_code == 1
    assert f"{tmp_path / 'wrong.yaml'}:1:" in refused.stderr
    assert "did you mean instances?" in refused.stderr
    assert "two" not in desk.run("get -o name").stdout.split()
    (tmp_path / "wrong.yaml").unlink()
    applied = desk.run(f"apply -f {tmp_path}")
    assert applied.stdout == "two created\nthree created\n" or applied.stdout == "three created\ntwo created\n"
    desk.run("delete two three")


def test_apply_wait_ends_with_1_and_says_why_when_it_fails(desk: Desk) -> None:
    answer = desk.apply(spec("bad", module="nowhere.wasm"), "--wait")
    assert answer.exit_code == 1
    assert "there is no file" in answer.stderr
    assert "Next: put the module there" in answer.stderr
    explained = desk.run("explain bad")
    assert explained.exit_code == 1
    assert "bad is not ready" in explained.stdout
    desk.run("delete bad")


def test_plan_tells_what_apply_would_do_and_ends_with_2(desk: Desk) -> None:
    nothing = desk.run("plan -f -", stdin=spec("hello"))
    assert (nothing.exit_code, nothing.stdout) == (0, "no changes\n")
    text = spec("hello", "instances: 4, config: {a: b}") + "---\n" + spec("new")
    found = desk.run("plan -f -", stdin=text)
    assert found.exit_code == 2
    assert "+ create    new" in found.stdout
    assert "~ roll      hello" in found.stdout
    assert "spec.instances: 1 -> 4 (resize)" in found.stdout
    assert "1 to create, 1 to roll" in found.stdout
    data = json.loads(desk.run("plan -f - -o json --prune", stdin=spec("new")).stdout)
    assert {(change["name"], change["effect"]) for change in data["changes"]} == {
        ("hello", "remove"),
        ("new", "create"),
    }


def test_plan_compares_files_without_a_daemon(desk: Desk, tmp_path: Path) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    old.write_text(spec("a") + "---\n" + spec("b"))
    new.write_text(spec("a", "instances: 2"))
    answer = desk.run(f"plan -f {new} --against {old} --server http://127.0.0.1:1")
    assert answer.exit_code == 2
    assert "~ resize    a" in answer.stdout
    assert "- remove    b" in answer.stdout


def test_scale_is_waited_for(desk: Desk) -> None:
    desk.apply(spec("grow"), "--wait")
    answer = desk.run("scale grow 3 --wait")
    assert answer.exit_code == 0
    assert "grow scaled to 3" in answer.stdout
    assert json.loads(desk.run("get grow -o json").stdout)["status"]["instances"]["ready"] == 3
    desk.run("delete grow")


def test_rollback_wants_again_what_worked(desk: Desk) -> None:
    desk.apply(spec("back", "config: {a: first}"), "--wait")
    assert "names 0 of the remembered revisions" in desk.run("rollback back --to ffff").stderr
    refused = desk.run("rollback back")
    assert refused.exit_code == 1
    assert "no other revision of back ever served" in refused.stderr
    desk.apply(spec("back", "config: {a: second}, instances: 2"), "--wait")
    revisions = [
        item["revision"] for item in json.loads(desk.run("get back -o json").stdout)["status"]["revision"]["history"]
    ]
    answer = desk.run("rollback back --wait")
    assert answer.exit_code == 0, answer.output
    wanted = json.loads(desk.run("get back -o json").stdout)["spec"]
    assert (wanted["config"], wanted["instances"]) == ({"a": "first"}, 2)
    desk.run(f"rollback back --to {revisions[1]} --wait")
    assert json.loads(desk.run("get back -o json").stdout)["spec"]["config"] == {"a": "second"}
    desk.run("delete back")


def test_describe_shows_conditions_revisions_events_and_the_file(desk: Desk) -> None:
    text = desk.run("describe hello").stdout
    assert re.search(r"^Wanted in: +specs/hello.yaml:1$", text, re.MULTILINE)
    for word in ("Available", "MinimumInstancesReady", "Revisions", "Installed", "Enforced"):
        assert word in text


def test_explain_of_a_ready_plugin_ends_with_0(desk: Desk) -> None:
    answer = desk.run("explain hello")
    assert answer.exit_code == 0
    assert answer.stdout.startswith("hello is ready: 1 of 1 instances")


def test_invoke_shows_the_answer_and_what_the_guest_said(desk: Desk) -> None:
    answer = desk.run("invoke hello /some/path -H 'x-request-id: r-1'")
    assert answer.exit_code == 0
    assert re.match(r"200 in [0-9.]+ ms\n", answer.stdout)
    assert "Hello from WAT!" in answer.stdout
    assert re.search(r"log .* INFO hello r-1 somebody asks", answer.stdout)
    assert desk.run("invoke hello --body-only").stdout_bytes == b"Hello from WAT!\n"
    missing = desk.run("invoke nowhere")
    assert missing.exit_code == 1
    assert missing.stdout.startswith("404 in")


def test_logs_are_those_of_one_plugin_or_of_all(desk: Desk) -> None:
    desk.run("invoke hello -H 'x-request-id: r-2'")
    assert "somebody asks" in desk.run("logs").stdout
    lines = [json.loads(line) for line in desk.run("logs hello --request-id r-2 -o json").stdout.splitlines()]
    assert [(line["plugin"], line["request_id"], line["message"]) for line in lines] == [
        ("hello", "r-2", "somebody asks")
    ]
    assert desk.run("logs nobody").stdout == ""


def test_events_tell_what_happened(desk: Desk) -> None:
    assert re.search(r"Normal +Installed +hello", desk.run("events hello").stdout)
    assert json.loads(desk.run("events -o json").stdout)["items"]


def test_top_shows_rates_and_latency(desk: Desk) -> None:
    text = desk.run("top -n 1 --every 0.2").stdout
    assert "requests/s" in text
    assert re.search(r"^hello +Ready", text, re.MULTILINE)


def test_doctor_finds_a_broken_file_with_its_line(desk: Desk) -> None:
    good = desk.run("doctor")
    assert "✓ admin port" in good.stdout
    broken = desk.place / "specs" / "broken.yaml"
    broken.write_text("apiVersion: wasm-reconciler.dev/v1alpha1\nkind: Nonsense\n")
    deadline = time.monotonic() + 15
    while "broken.yaml:2:" not in (found := desk.run("doctor")).stdout:
        assert time.monotonic() < deadline, found.stdout
    assert found.exit_code == 1
    broken.unlink()
    assert desk.run("doctor --server http://127.0.0.1:1").exit_code == 1


def test_state_is_written_and_read(desk: Desk, tmp_path: Path) -> None:
    assert desk.run(f"state set books book1 100 --state {tmp_path}").exit_code == 0
    assert desk.run(f"state get books book1 --state {tmp_path}").stdout == "100\n"
    missing = desk.run(f"state get books book2 --state {tmp_path}")
    assert missing.exit_code == 1
    assert "state set books book2 VALUE" in missing.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(desk: Desk, shell: str) -> None:
    assert "_WASM_RECONCILER_COMPLETE" in desk.run(f"completion {shell}").stdout


def test_the_shell_completes_commands_and_plugins(desk: Desk) -> None:
    def complete(words: str) -> str:
        variables = {
            "_WASM_RECONCILER_COMPLETE": "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        return desk.run("", **variables).output

    assert "explain" in complete("wasm-reconciler exp")
    assert "hello" in complete("wasm-reconciler explain he")


def test_no_color_means_no_escape_codes_even_on_a_terminal(desk: Desk) -> None:
    coloured = desk.run("get", FORCE_COLOR="1")
    assert "\x1b[" in coloured.stdout
    assert "\x1b[3" not in desk.run("get", FORCE_COLOR="1", NO_COLOR="1").stdout
