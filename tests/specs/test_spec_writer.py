"""What the endpoints do to files, through a running store."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from specs.config_file import ConfigFileSource
from specs.directory import DirectorySource
from specs.errors import SpecConflict, SpecError, SpecInvalid, SpecNotFound, SpecReadOnly, SpecWriteFailed
from specs.files import put_file
from specs.model import WasmPlugin
from specs.writer import DesiredWriter
from tests.specs.conftest import Node, NodeMaker, document, until


def plugin(name: str, **spec: Any) -> WasmPlugin:
    data = {"apiVersion": "wasm-reconciler.dev/v1alpha1", "kind": "WasmPlugin", "metadata": {"name": name}}
    return WasmPlugin.model_validate(data | {"spec": {"module": {"path": "a.wasm"}} | spec})


def test_the_walk_through_of_install_update_uninstall(config_node: Node, tmp_path: Path) -> None:
    writer, path = config_node.writer, tmp_path / "config.json"
    stores = {"capabilities": {"stores": ["*"]}}
    assert writer.create(plugin("id_1", **stores)).changed
    assert json.loads(path.read_text())["id_1"]["vm_config"] == {"path": "a.wasm"}
    assert writer.set_instances("id_1", 2).desired == config_node.store.get("id_1")
    assert json.loads(path.read_text())["id_1"]["instance_num"] == 2
    assert config_node.instances("id_1") == 2
    assert writer.delete("id_1").changed
    assert json.loads(path.read_text()) == {}
    assert config_node.names() == []
    with pytest.raises(SpecNotFound, match="id_1 is not registered"):
        writer.delete("id_1")


def test_a_new_plugin_in_a_directory_has_a_file_of_its_own(node: Node, folder: Path) -> None:
    desired = node.writer.create(plugin("new", instances=3)).desired
    assert desired is not None
    assert desired.owner.file == "new.yaml"
    assert desired.plugin == plugin("new", instances=3)
    node.writer.delete("new")
    assert os.listdir(folder) == []


def test_a_file_name_that_is_taken_or_too_long_is_avoided(node: Node, folder: Path) -> None:
    (folder / "new.yaml").write_text(document("other"))
    until(lambda: node.names() == ["other"])
    name = "n" * 253
    node.writer.create(plugin("new"))
    node.writer.create(plugin(name))
    assert node.names() == ["new", name, "other"]


def test_an_equal_plugin_is_no_change_and_a_different_one_a_conflict(node: Node, folder: Path) -> None:
    first = node.writer.create(plugin("a"))
    again = node.writer.create(plugin("a", instances=1))
    assert (again.changed, again.desired) == (False, first.desired)
    with pytest.raises(SpecConflict, match=r"^a is already registered$"):
        node.writer.create(plugin("a", instances=2))
    assert not node.writer.replace(plugin("a")).changed
    assert not node.writer.set_instances("a", 1).changed


def test_a_replacement_is_a_new_generation(node: Node) -> None:
    first = node.writer.create(plugin("a")).desired
    second = node.writer.replace(plugin("a", route="r")).desired
    assert first and second
    assert (second.generation, second.uid, second.plugin.route) == (2, first.uid, "r")
    with pytest.raises(SpecNotFound):
        node.writer.replace(plugin("b"))


def test_a_stale_version_is_a_conflict(node: Node) -> None:
    first = node.writer.create(plugin("a")).desired
    assert first is not None
    node.writer.set_instances("a", 2, first.resource_version)
    for call in (
        lambda: node.writer.set_instances("a", 3, first.resource_version),
        lambda: node.writer.replace(plugin("a"), first.resource_version),
        lambda: node.writer.delete("a", first.resource_version),
    ):
        with pytest.raises(SpecConflict, match="it is at version"):
            call()
    assert node.instances("a") == 2


@pytest.mark.parametrize("number", [-1, 10**9])
def test_an_impossible_number_of_instances_is_refused(node: Node, number: int) -> None:
    node.writer.create(plugin("a"))
    with pytest.raises(SpecInvalid, match="is not between 0 and 100000"):
        node.writer.set_instances("a", number)


def test_an_edit_keeps_what_an_editor_wrote_a_moment_before(node: Node, folder: Path) -> None:
    node.writer.create(plugin("a"))
    path = folder / "a.yaml"
    path.write_text("# mine\n" + path.read_text() + "  config: {x: y}\n")
    desired = node.writer.set_instances("a", 4).desired
    assert desired is not None
    assert desired.plugin.spec.config == {"x": "y"}
    assert path.read_text().startswith("# mine\n")


def test_mode_and_byte_order_mark_are_kept(node: Node, folder: Path) -> None:
    path = folder / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + document("a").encode())
    path.chmod(0o640)
    until(lambda: node.names() == ["a"])
    node.writer.set_instances("a", 4)
    assert path.read_bytes() == b"\xef\xbb\xbf" + document("a", 4).encode()
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_broken_file_is_not_edited(node: Node, folder: Path) -> None:
    path = folder / "a.yaml"
    path.write_text(document("a") + "---\n" + document("b"))
    until(lambda: node.names() == ["a", "b"])
    path.write_text(document("a") + "---\nb: [")
    with pytest.raises(SpecInvalid, match="not YAML"):
        node.writer.set_instances("a", 4)


def test_removing_a_plugin_removes_what_it_shadows(node: Node, folder: Path) -> None:
    (folder / "a.yaml").write_text(document("a", 1) + "---\n" + document("b") + "---\n" + document("a", 2))
    (folder / "c.yaml").write_text(document("a", 3))
    until(lambda: node.names() == ["a", "b"] and len(getattr(node.store.get("a"), "shadowed", ())) == 2)
    node.writer.delete("a")
    assert node.names() == ["b"]
    assert os.listdir(folder) == ["a.yaml"]


def test_a_config_map_mount_is_read_only_and_named(node: Node, folder: Path) -> None:
    (folder / "..v1").mkdir()
    (folder / "..v1" / "a.yaml").write_text(document("a"))
    (folder / "..data").symlink_to("..v1")
    (folder / "a.yaml").symlink_to("..data/a.yaml")
    until(lambda: node.names() == ["a"])
    for call in (
        lambda: node.writer.set_instances("a", 2),
        lambda: node.writer.replace(plugin("a", instances=5)),
        lambda: node.writer.delete("a"),
    ):
        with pytest.raises(SpecReadOnly, match=f"{folder}/a.yaml cannot be written"):
            call()
    assert node.instances("a") == 1


def test_without_a_place_to_write_to_nothing_can_be_created(start: NodeMaker) -> None:
    with pytest.raises(SpecReadOnly):
        start().writer.create(plugin("a"))


def test_the_config_file_is_where_new_plugins_go(start: NodeMaker, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text("{}")
    node = start(DirectorySource(folder), ConfigFileSource(path))
    desired = node.writer.create(plugin("a", instances=0)).desired
    assert desired is not None
    assert desired.owner.source == f"config:{path}"
    assert json.loads(path.read_text())["a"]["kind"] == "WasmPlugin"


def test_many_callers_at_once_lose_nothing(config_node: Node, tmp_path: Path) -> None:
    failures: list[SpecError] = []

    def work(number: int) -> None:
        try:
            config_node.writer.create(plugin(f"p{number}"))
            config_node.writer.set_instances(f"p{number}", number + 2)
            if number % 2:
                config_node.writer.delete(f"p{number}")
        except SpecError as ex:
            failures.append(ex)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    assert [(one.name, one.plugin.spec.instances) for one in config_node.store.list()] == [
        ("p0", 2), ("p2", 4), ("p4", 6), ("p6", 8),
    ]  # fmt: skip
    assert [name for name in os.listdir(tmp_path) if name.endswith(".tmp")] == []


def test_a_full_disk_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("old")
    # A limit on the size of files fails a write half-way, as a full disk does.
    script = (
        "import resource, signal, sys; from pathlib import Path; from specs.files import put_file\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "put_file(Path(sys.argv[1]), b'x' * 100000)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert f"SpecWriteFailed: {path} was not changed: File too large" in done.stderr
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.yaml"]


def test_a_folder_that_is_gone_is_a_failed_write(tmp_path: Path) -> None:
    with pytest.raises(SpecWriteFailed, match="No such file"):
        put_file(tmp_path / "none" / "a.yaml", b"")


def test_a_sync_that_does_not_answer_is_said(node: Node, folder: Path) -> None:
    node.sync.stop()

    class Silent:
        def flush(self, timeout: float) -> bool:
            return False

        def look(self, source: str, file: str, timeout: float) -> bool:
            return False

    writer = DesiredWriter(node.store, Silent(), [DirectorySource(folder)])
    with pytest.raises(SpecConflict, match="could not be looked at in time"):
        writer.create(plugin("a"))
