"""Layotto's walk-through with its own calls, each visible in the file, in status and in answers; nothing is lost."""

import json
import shutil
from pathlib import Path

from tests.e2e.conftest import post, until
from tests.examples.daemon import Daemon, serve

EXAMPLES = Path(__file__).parents[2] / "examples"
FUNCTION_1 = {"engine": "wasmtime", "path": "layotto/function_1.wasm"}
ANSWER = b"There are 100 inventories for book1."


def flags(config: Path) -> tuple[str | Path, ...]:
    return ("--config", config, "--stores", EXAMPLES / "stores.yaml", "--module-root", EXAMPLES)


def book(daemon: Daemon) -> tuple[int, bytes]:
    answer = daemon.call_by_header("id_1", "/?name=book1")
    return answer.status, answer.body


def test_uninstall_install_update_uninstall_with_a_restart_between_each(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    shutil.copy(EXAMPLES / "layotto" / "config.json", config)
    state = tmp_path / "state"

    with serve(state, *flags(config)) as daemon:
        daemon.wait_until_ready({"id_1_1", "id_1_2", "id_2"})
        assert book(daemon) == (200, ANSWER)
        status, said = post(daemon, "/wasm/uninstall?wait=10s", {"name": "id_1"})
        assert (status, [gone["name"] for gone in said["uninstalled"]]) == (200, ["id_1_1", "id_1_2"])
        assert json.loads(config.read_text()).keys() == {"id_2"}
        assert daemon.plugins().keys() == {"id_2"}
        assert book(daemon)[0] == 404

    with serve(state, *flags(config)) as daemon:
        assert book(daemon)[0] == 404
        body = {"name": "id_1", "instance_num": 1, "vm_config": FUNCTION_1}
        assert post(daemon, "/wasm/install", body)[0] == 202
        assert book(daemon) == (200, ANSWER), "a call right after an install is answered"
        assert json.loads(config.read_text())["id_1"] == body
        assert post(daemon, "/wasm/install", body)[0] == 200, "an equal spec again changes nothing"
        other = body | {"instance_num": 3}
        assert post(daemon, "/wasm/install", other) == (
            409,
            {
                "error": "id_1 is already registered",
                "hint": "its spec differs: update its instances, change its file, or uninstall it first",
                "file": config.name,
            },
        )

    with serve(state, *flags(config)) as daemon:
        daemon.wait_until_ready({"id_1", "id_2"})
        assert book(daemon) == (200, ANSWER)
        assert post(daemon, "/wasm/update?wait=10s", {"name": "id_1", "instance_num": 2})[0] == 200
        assert json.loads(config.read_text())["id_1"]["instance_num"] == 2
        assert daemon.plugins()["id_1"]["status"]["instances"]["ready"] == 2

    with serve(state, *flags(config)) as daemon:
        plugin = daemon.wait_until_ready({"id_1", "id_2"})["id_1"]
        assert plugin["metadata"]["generation"] == 2
        assert plugin["status"]["instances"]["ready"] == 2
        assert post(daemon, "/wasm/uninstall", {"name": "id_1"})[0] == 202
        until(lambda: "id_1" not in daemon.plugins())
        assert json.loads(config.read_text()).keys() == {"id_2"}
        assert book(daemon)[0] == 404
