"""Whatever is wrong, the daemon says what and goes on: nothing that ran stops, nothing that was accepted is lost."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Place, answers, post, until
from tests.examples.daemon import Daemon, ask, serve

FLAT = {"name": "x", "instance_num": 1, "vm_config": {"engine": "wasmtime", "path": "one.wat"}}

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(9)
)


@pytest.fixture
def daemon(place: Place) -> Iterator[Daemon]:
    """A daemon with one plugin that must go on answering, whatever the test does."""
    (place.specs / "good.yaml").write_text(place.spec("good", "one"))
    with serve(place.state, *place.flags) as running:
        running.wait_until_ready({"good"})
        yield running
        assert answers(running, "good", "one")


def condition(daemon: Daemon, name: str) -> dict[str, Any]:
    """The plugin's Ready condition, once it is not about to change by itself."""
    found: dict[str, Any] = {}

    def settled() -> bool:
        status = daemon.plugins().get(name, {}).get("status", {})
        states = {state["type"]: state for state in status.get("conditions", [])}
        found.update(states.get("Ready", {}))
        return states.get("Progressing", {}).get("status") == "False"

    until(settled)
    return found


def problems(daemon: Daemon, file: str) -> list[dict[str, Any]]:
    """What /sources says is wrong with a file, once it says so."""
    found: list[dict[str, Any]] = []

    def told() -> bool:
        (source,) = json.loads(ask(daemon.admin, "/sources").body)["items"]
        found[:] = [problem for entry in source["files"] if entry["path"] == file for problem in entry["problems"]]
        return bool(found)

    until(told)
    return found


MODULES = {
    "no such module": ("nowhere.wat", b"", "NotFound", "there is no file"),
    "not wasm": ("bad.wasm", b"hello", "CompileFailed", "not wasm"),
    "cut short": ("bad.wasm", b"\0asm\1\0\0\0\1\x80", "CompileFailed", ""),
    "a missing import": (
        "bad.wat",
        b'(module (import "env" "proxy_fly" (func (param i32) (result i32))) (memory (export "memory") 1)'
        b' (func (export "proxy_abi_version_0_2_1")))',
        "MissingImport",
        "env.proxy_fly (i32) -> (i32)",
    ),
    "of no known kind": ("bad.wat", b"(module)", "UnsupportedABI", ""),
}


@pytest.mark.parametrize("case", MODULES)
def test_a_module_that_cannot_run_says_why(place: Place, daemon: Daemon, case: str) -> None:
    path, content, reason, words = MODULES[case]
    if content:
        (place.modules / path).write_bytes(content)
    (place.specs / "bad.yaml").write_text(place.spec("bad", "x").replace("x.wat", path))
    state = condition(daemon, "bad")
    assert state["reason"] == reason
    assert words in state["message"]


def test_a_wrong_digest_is_told_with_the_right_one(place: Place, daemon: Daemon) -> None:
    text = place.spec("bad", "one").replace("one.wat", f"one.wat, digest: 'sha256:{'0' * 64}'")
    (place.specs / "bad.yaml").write_text(text)
    state = condition(daemon, "bad")
    assert state["reason"] == "DigestMismatch"
    assert "has the digest sha256:" in state["message"]


SPECS = {
    "unknown engine": ("instances: 2", "engine: lucet", "spec.engine", ""),
    "unknown field": ("instances: 2", "instancse: 2", "spec.instancse", "instances"),
    "wrong type": ("instances: 2", "instances: many", "spec.instances", ""),
    "negative": ("instances: 2", "instances: -1", "spec.instances", ""),
    "huge": ("instances: 2", "instances: 99999999999999999999", "spec.instances", ""),
    "a name with a slash": ("name: bad", "name: a/b", "metadata.name", "letters"),
    "a number for a name": ("name: bad", "name: 12", "metadata.name", "string"),
}


@pytest.mark.parametrize("case", SPECS)
def test_a_wrong_spec_is_told_with_its_line_and_field(place: Place, daemon: Daemon, case: str) -> None:
    old, new, field, words = SPECS[case]
    (place.specs / "bad.yaml").write_text(place.spec("bad", "one").replace(old, new))
    (problem,) = problems(daemon, "bad.yaml")
    assert problem["field"] == field
    assert problem["line"] in (4, 6)
    assert words in problem["message"]


def test_an_alias_bomb_and_a_huge_file_are_refused_unread(place: Place, daemon: Daemon) -> None:
    (place.specs / "bomb.yaml").write_text(BOMB)
    assert "alias" in problems(daemon, "bomb.yaml")[0]["message"]
    with (place.specs / "huge.yaml").open("wb") as file:
        file.truncate(100 * 2**20)
    assert "bytes" in problems(daemon, "huge.yaml")[0]["message"]


def test_the_second_document_of_a_name_is_shadowed_and_both_are_named(place: Place, daemon: Daemon) -> None:
    (place.specs / "a-copy.yaml").write_text(place.spec("good", "two"))
    until(lambda: daemon.plugins()["good"]["status"]["shadowed"])
    status = daemon.plugins()["good"]["status"]
    assert status["owner"]["file"] == "good.yaml"
    assert [owner["file"] for owner in status["shadowed"]] == ["a-copy.yaml"]
    accepted = next(state for state in status["conditions"] if state["type"] == "Accepted")
    assert accepted["reason"] == "NameConflict"
    assert "a-copy.yaml" in accepted["message"]
    events = json.loads(ask(daemon.admin, "/events").body)["items"]
    assert any(event["reason"] == "NameConflict" and "a-copy.yaml" in event["note"] for event in events)


BODIES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "invalid request body"),
    "not JSON": (b"{", "invalid request body"),
    "not an object": (b"[]", "invalid request body"),
    "no name": (json.dumps({key: FLAT[key] for key in FLAT if key != "name"}).encode(), "can't get name property"),
    "no vm_config": (b'{"name": "x"}', "nil vm config"),
    "a name with a slash": (json.dumps(FLAT | {"name": "a/b"}).encode(), "letters"),
    "a number for a name": (json.dumps(FLAT | {"name": 1}).encode(), "name"),
    "text for a number": (json.dumps(FLAT | {"instance_num": "2"}).encode(), "instance_num"),
    "a huge number": (json.dumps(FLAT | {"instance_num": 10**30}).encode(), "instance_num"),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_bad_install_is_refused_and_changes_no_file(place: Place, daemon: Daemon, case: str) -> None:
    body, words = BODIES[case]
    before = sorted(place.specs.iterdir())
    status, said = post(daemon, "/wasm/install", body)
    assert status == 400
    assert words in json.dumps(said)
    assert sorted(place.specs.iterdir()) == before


def test_an_unknown_route_is_404_and_says_so(daemon: Daemon) -> None:
    answer = daemon.call("nobody")
    assert answer.status == 404
    assert "nobody" in json.loads(answer.body)["error"]
    assert ask(daemon.listen, "/").status == 404


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_directory_changes_nothing(place: Place, daemon: Daemon) -> None:
    place.specs.chmod(0)
    try:
        until(lambda: json.loads(ask(daemon.admin, "/sources").body)["items"][0]["error"])
        assert answers(daemon, "good", "one")
    finally:
        place.specs.chmod(0o755)


def test_a_file_that_cannot_be_written_is_409_and_named(place: Place, tmp_path: Path) -> None:
    data = place.specs / "..data"
    data.mkdir()
    (data / "good.yaml").write_text(place.spec("good", "one"))
    (place.specs / "good.yaml").symlink_to("..data/good.yaml")
    with serve(place.state, *place.flags) as daemon:
        daemon.wait_until_ready({"good"})
        status, said = post(daemon, "/wasm/update", {"name": "good", "instance_num": 5})
        assert status == 409
        assert "good.yaml" in said["error"]
        assert daemon.plugins()["good"]["spec"]["instances"] == 2


def test_a_port_in_use_is_told_and_ends_the_start(place: Place) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "api", "serve", "--listen", f"127.0.0.1:{port}", "--admin", "127.0.0.1:0"]
        ended = subprocess.run(
            [*command, "--state", place.state, *place.flags], capture_output=True, text=True, timeout=30, check=False
        )
    assert ended.returncode == 1
    assert f"127.0.0.1:{port} is in use" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_refuses_the_change_and_keeps_the_file(place: Place) -> None:
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place.specs], check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        (place.specs / "good.yaml").write_text(place.spec("good", "one"))
        with serve(place.state, *place.flags) as daemon:
            daemon.wait_until_ready({"good"})
            fill = place.specs / "fill"
            with pytest.raises(OSError), fill.open("wb") as file:
                while True:
                    file.write(b"\0" * 4096)
                    file.flush()
            before = (place.specs / "good.yaml").read_bytes()
            status, said = post(daemon, "/wasm/install", FLAT)
            assert status == 507
            assert "No space left" in said["error"]
            assert post(daemon, "/wasm/update", {"name": "good", "instance_num": 3})[0] == 507
            assert (place.specs / "good.yaml").read_bytes() == before
            assert answers(daemon, "good", "one")
            fill.unlink()
            assert post(daemon, "/wasm/update", {"name": "good", "instance_num": 3})[0] in (200, 202)
    finally:
        subprocess.run(["umount", "-l", place.specs], check=True)
