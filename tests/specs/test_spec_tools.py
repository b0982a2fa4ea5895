"""The tools that people use on files, and the events that follow; resync is an hour away."""

import errno
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from watchdog.observers.api import BaseObserver

from specs.config_file import ConfigFileSource
from specs.directory import DirectorySource
from specs.watch import Watcher
from tests.specs.conftest import Node, NodeMaker, document, tool, until


def run(*command: str | Path) -> None:
    subprocess.run([str(part) for part in command], check=True, capture_output=True, timeout=30)


def prepared(folder: Path, node: Node) -> Path:
    """A file with ten plugins that the node has seen."""
    path = folder / "many.yaml"
    path.write_text("---\n".join(document(f"p{number}") for number in range(10)))
    until(lambda: len(node.names()) == 10 and node.changes)
    node.changes.clear()
    return path


def never_fewer(node: Node) -> None:
    """No plugin was ever missing: each change told of the edited one alone."""
    until(lambda: node.changes)
    assert {name for changed in node.changes for name in changed} == {"p3"}
    assert len(node.names()) == 10


def edited(path: Path) -> str:
    return path.read_text().replace(document("p3"), document("p3", 7))


def test_cp_over_a_file(node: Node, folder: Path, tmp_path: Path) -> None:
    path = prepared(folder, node)
    (tmp_path / "new").write_text(edited(path))
    run(tool("cp"), tmp_path / "new", path)
    until(lambda: node.instances("p3") == 7)
    never_fewer(node)


def test_mv_over_a_file(node: Node, folder: Path, tmp_path: Path) -> None:
    path = prepared(folder, node)
    (tmp_path / "new").write_text(edited(path))
    run(tool("mv"), tmp_path / "new", path)
    until(lambda: node.instances("p3") == 7)
    never_fewer(node)


def test_sed_in_place(node: Node, folder: Path) -> None:
    path = prepared(folder, node)
    run(tool("sed"), "-i", "/name: p3}/{n;s/instances: 1/instances: 7/}", path)
    until(lambda: node.instances("p3") == 7)
    never_fewer(node)


@pytest.mark.parametrize("backup", ["yes", "no"])
def test_vim(node: Node, folder: Path, backup: str) -> None:
    path = prepared(folder, node)
    command = f"set backupcopy={backup} writebackup | /name: p3}}/+1s/instances: 1/instances: 7/ | wq"
    run(tool("vim"), "-u", "NONE", "-es", "-c", command, path)
    until(lambda: node.instances("p3") == 7)
    never_fewer(node)


@pytest.mark.parametrize("options", ["-a", "--inplace"])
def test_rsync(node: Node, folder: Path, tmp_path: Path, options: str) -> None:
    path = prepared(folder, node)
    source = tmp_path / "source"
    source.mkdir()
    (source / path.name).write_text(edited(path))
    run(tool("rsync"), options, "--checksum", f"{source}/{path.name}", f"{folder}/")
    until(lambda: node.instances("p3") == 7)
    never_fewer(node)


def test_a_file_moved_within_the_directory_changes_its_owner_and_nothing_else(node: Node, folder: Path) -> None:
    path = prepared(folder, node)
    uid = getattr(node.store.get("p3"), "uid", "")
    run(tool("mv"), path, folder / "renamed.yaml")
    until(lambda: all(one.owner.file == "renamed.yaml" for one in node.store.list()))
    until(lambda: not any(one.shadowed for one in node.store.list()))
    assert len(node.names()) == 10
    assert getattr(node.store.get("p3"), "uid", "") == uid
    assert getattr(node.store.get("p3"), "generation", 0) == 1


def test_rm_and_a_folder_that_comes_and_goes(node: Node, folder: Path) -> None:
    sub = folder / "sub"
    sub.mkdir()
    (sub / "a.yaml").write_text(document("a"))
    until(lambda: node.names() == ["a"])
    shutil.rmtree(sub)
    until(lambda: node.names() == [])


def test_a_directory_removed_and_made_again_is_watched_again(node: Node, folder: Path) -> None:
    path = prepared(folder, node)
    text = path.read_text()
    folder.rename(folder.with_name("away"))
    until(lambda: node.store.sources()[0].error)
    assert len(node.names()) == 10
    folder.mkdir()
    until(lambda: not node.store.sources()[0].error)
    path.write_text(text.replace(document("p3"), document("p3", 7)))
    until(lambda: node.instances("p3") == 7)
    (folder / "more.yaml").write_text(document("more"))
    until(lambda: "more" in node.names())


def test_a_directory_that_is_made_later_is_found(start: NodeMaker, tmp_path: Path) -> None:
    node = start(DirectorySource(tmp_path / "not" / "yet" / "specs"))
    (tmp_path / "not" / "yet" / "specs").mkdir(parents=True)
    (tmp_path / "not" / "yet" / "specs" / "a.yaml").write_text(document("a"))
    until(lambda: node.names() == ["a"])


def test_a_directory_behind_a_symlink_that_is_turned(start: NodeMaker, tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "a.yaml").write_text(document("a", int(version[1])))
    link = tmp_path / "specs"
    link.symlink_to("v1")
    node = start(DirectorySource(link))
    assert node.instances("a") == 1
    (tmp_path / "next").symlink_to("v2")
    (tmp_path / "next").rename(link)
    until(lambda: node.instances("a") == 2)
    (tmp_path / "v2" / "b.yaml").write_text(document("b"))
    until(lambda: node.names() == ["a", "b"])


def test_a_config_file_in_a_config_map_mount(start: NodeMaker, tmp_path: Path) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    for number in (1, 2):
        (mount / f"..v{number}").mkdir()
        text = f'{{"a": {{"instance_num": {number}, "vm_config": {{"path": "a.wasm"}}}}}}'
        (mount / f"..v{number}" / "config.json").write_text(text)
    (mount / "..data").symlink_to("..v1")
    (mount / "config.json").symlink_to("..data/config.json")
    node = start(ConfigFileSource(mount / "config.json"))
    assert node.instances("a") == 1
    (mount / "..data_tmp").symlink_to("..v2")
    (mount / "..data_tmp").rename(mount / "..data")
    until(lambda: node.instances("a") == 2)


def test_reading_a_file_is_no_reason_to_look_again(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(document("a"))
    pokes: list[str] = []
    with Watcher(lambda path, _: pokes.append(path)) as watcher:
        watcher.watch(tmp_path)
        for _ in range(20):
            (tmp_path / "a.yaml").read_text()
            os.listdir(tmp_path)
        (tmp_path / "b.yaml").touch()
        until(lambda: pokes)
    assert len(pokes) <= 3


def test_an_unwatched_path_pokes_no_more(tmp_path: Path) -> None:
    pokes: list[str] = []
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with Watcher(lambda path, _: pokes.append(path)) as watcher:
        watcher.watch(tmp_path / "one")
        watcher.watch(tmp_path / "two")
        watcher.unwatch(tmp_path / "one")
        (tmp_path / "one" / "a").touch()
        (tmp_path / "two" / "a").touch()
        until(lambda: str(tmp_path / "two") in pokes)
    assert str(tmp_path / "one") not in pokes


def test_without_inotify_directories_are_polled_and_it_says_so(tmp_path: Path) -> None:
    def exhausted() -> BaseObserver:
        raise OSError(errno.EMFILE, "inotify instance limit reached")

    poked = threading.Event()
    with Watcher(lambda *_: poked.set(), native=exhausted) as watcher:
        assert watcher.polling == "inotify instance limit reached; directories are looked at every 1s instead"
        watcher.watch(tmp_path)
        (tmp_path / "a").touch()
        assert poked.wait(20)


def test_no_thread_is_left_behind(start: NodeMaker, folder: Path) -> None:
    before = threading.active_count()
    node = start(DirectorySource(folder))
    assert threading.active_count() > before
    node.watcher.close()
    node.sync.stop()
    node.watcher.close()
    node.sync.stop()
    assert threading.active_count() == before


def test_a_watched_file_pokes_and_its_neighbours_do_not(tmp_path: Path) -> None:
    pokes: list[str] = []
    (tmp_path / "deep" / "er").mkdir(parents=True)
    module = tmp_path / "deep" / "a.wasm"
    module.touch()
    with Watcher(lambda path, _: pokes.append(path)) as watcher:
        watcher.watch(module)
        (tmp_path / "deep" / "b.wasm").touch()
        (tmp_path / "deep" / "er" / "a.wasm").touch()
        (tmp_path / "deep" / ".new").touch()
        (tmp_path / "deep" / ".new").rename(module)
        until(lambda: pokes)
        assert set(pokes) == {str(module)}
        pokes.clear()
        module.unlink()
        until(lambda: pokes)


def test_a_directory_swapped_for_another_is_the_one_that_is_watched(tmp_path: Path) -> None:
    pokes: list[str] = []
    folder = tmp_path / "specs"
    folder.mkdir()
    with Watcher(lambda path, _: pokes.append(path)) as watcher:
        watcher.watch(folder)
        for _ in range(5):
            folder.rename(tmp_path / "old")
            folder.mkdir()
            until(lambda: pokes)
            watcher.watch(folder)  # whatever events are still under way, from here on it is watched
            pokes.clear()
            (folder / "a").touch()
            until(lambda: pokes)
            (tmp_path / "old").rmdir()
            (folder / "a").unlink()
            pokes.clear()


def test_a_thousand_files_can_be_watched(tmp_path: Path) -> None:
    pokes: list[str] = []
    with Watcher(lambda path, _: pokes.append(path)) as watcher:
        for number in range(1000):
            watcher.watch(tmp_path / f"{number}.wasm")
        (tmp_path / "517.wasm").touch()
        until(lambda: pokes)
    assert set(pokes) == {str(tmp_path / "517.wasm")}


def test_a_directory_that_cannot_be_watched_is_no_failure(tmp_path: Path) -> None:
    with Watcher(lambda *_: None) as watcher:
        watcher.watch(tmp_path / ("n" * 300))
        watcher.watch(tmp_path / "a" / "b")
        watcher.watch("\udcff")
