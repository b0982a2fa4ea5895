"""The four calls of Layotto's quickstart, against a config.json, each visible in the file and after a restart."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from api.ports import AdminServices
from specs.config_file import ConfigFileSource
from specs.identity import IdentityStore
from specs.store import DesiredStore
from specs.sync import SyncLoop
from specs.writer import DesiredWriter
from tests.api.world import Client, MemoryEvents, MemoryReadiness, Statuses, serving


def flat(name: str, instance_num: int, path: str) -> dict[str, object]:
    return {"name": name, "instance_num": instance_num, "vm_config": {"engine": "wasmtime", "path": path}}


MAP = {
    "id_1_1": flat("id_1", 1, "function_1.wasm"),
    "id_1_2": flat("id_1", 2, "function_1.wasm"),
    "id_2": flat("id_2", 1, "function_2.wasm"),
}
INSTALL = flat("id_1", 1, "function_1.wasm")


@dataclass
class Daemon:
    client: Client
    store: DesiredStore

    @property
    def instances(self) -> dict[str, int]:
        return {entry.name: entry.plugin.spec.instances for entry in self.store.list()}


@contextmanager
def daemon(config: Path) -> Iterator[Daemon]:
    source = ConfigFileSource(config)
    store = DesiredStore([source], IdentityStore(None))
    sync = SyncLoop(store)
    sync.start()
    assert sync.flush(10)
    writer = DesiredWriter(store, sync, [source])
    with serving(AdminServices(store, writer, Statuses(), MemoryEvents(), MemoryReadiness())) as client:
        yield Daemon(client, store)
    sync.stop()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(MAP, indent=2))
    return file


def test_uninstall_install_update_uninstall_each_end_in_the_file(config: Path) -> None:
    def written() -> dict[str, int]:
        return {name: item["instance_num"] for name, item in json.loads(config.read_text()).items()}

    with daemon(config) as running:
        assert running.instances == {"id_1_1": 1, "id_1_2": 2, "id_2": 1}
        assert running.client.post("/wasm/uninstall", {"name": "id_1"}).status == 202
        assert running.instances == written() == {"id_2": 1}
        assert running.client.post("/wasm/install", INSTALL).json()["file"] == "config.json"
        assert running.instances == written() == {"id_2": 1, "id_1": 1}
        assert running.client.post("/wasm/update", {"name": "id_1", "instance_num": 2}).status == 202
        assert running.instances == written() == {"id_2": 1, "id_1": 2}
    with daemon(config) as restarted:
        assert restarted.instances == {"id_2": 1, "id_1": 2}
        assert restarted.client.post("/wasm/uninstall", {"name": "id_1"}).status == 202
        assert restarted.instances == written() == {"id_2": 1}


def test_an_install_into_a_whole_mosn_config_lands_in_its_wasm_map(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    mosn = {"servers": [{"listeners": [{"stream_filters": [{"type": "Layotto", "config": {"id_2": MAP["id_2"]}}]}]}]}
    config.write_text(json.dumps(mosn))
    with daemon(config) as running:
        assert running.client.post("/wasm/install", INSTALL).status == 202
        assert running.instances == {"id_1": 1, "id_2": 1}
    written = json.loads(config.read_text())
    assert set(written["servers"][0]["listeners"][0]["stream_filters"][0]["config"]) == {"id_1", "id_2"}


def test_an_install_without_a_number_gets_as_many_as_there_are_cpus_and_is_idempotent(config: Path) -> None:
    body = {"name": "id_3", "vm_config": {"path": "a.wasm"}}
    with daemon(config) as running:
        assert running.client.post("/wasm/install", body).status == 202
        assert running.instances["id_3"] >= 1
        assert running.client.post("/wasm/install", body).status == 200
