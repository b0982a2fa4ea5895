"""Modules of Layotto's own kind run unmodified: every shape of proxy_get_id, both entries, `malloc` alone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.daemon import Daemon, serve

HERE = Path(__file__).parent / "layotto_kind"
NAMES = ("call_data", "status", "pointer", "result", "rust")


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("layotto_kind")
    config, stores = folder / "config.json", folder / "stores.yaml"
    entries = {
        name: {"name": name, "instance_num": 2, "vm_config": {"engine": "wasmtime", "path": f"{name}.wasm"}}
        for name in NAMES
    }
    config.write_text(json.dumps(entries))
    stores.write_text('state_demo: {type: memory, values: {book1: "100"}}\n')
    with serve(folder / "state", "--config", config, "--stores", stores, "--module-root", HERE) as daemon:
        yield daemon


def test_all_of_them_become_ready(daemon: Daemon) -> None:
    plugins = daemon.wait_until_ready(set(NAMES))
    assert {name: plugins[name]["status"]["instances"]["ready"] for name in NAMES} == dict.fromkeys(NAMES, 2)


@pytest.mark.parametrize("name", ["call_data", "status", "pointer", "result"])
@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"state book1", b"100"),
        (b"state book2", b""),
        (b"invoke rust book1", b"100"),
        (b"header id", None),
        (b"foreign nothing", b"1"),
        (b"echo a b", b"a b"),
    ],
)
def test_each_answers_its_commands(daemon: Daemon, name: str, command: bytes, answer: bytes | None) -> None:
    found = daemon.call_by_header(name, method="POST", body=command)
    assert (found.status, found.body) == (200, name.encode() if answer is None else answer)


def test_the_query_string_stands_in_for_an_empty_body(daemon: Daemon) -> None:
    assert daemon.call_by_header("call_data", "/?echo").body == b""
    assert daemon.call_by_header("rust", "/?book1").body == b"100"


def test_a_pause_with_nothing_pending_is_the_guests_failure(daemon: Daemon) -> None:
    assert daemon.call_by_header("call_data", method="POST", body=b"nonsense").status == 502


def test_the_id_that_the_module_tells_reaches_it_too(daemon: Daemon) -> None:
    daemon.wait_until_ready(set(NAMES))
    assert daemon.call_by_header("id_rust", "/?book1").body == b"100"
    assert daemon.call_by_header("id_kind", method="POST", body=b"echo hello").body == b"hello"
