"""Sources followed over time and merged: what is in force, who owns a name, what is remembered."""

import json
import os
from pathlib import Path

import pytest

from specs.config_file import ConfigFileSource
from specs.directory import DirectorySource
from specs.followed import COARSE_CLOCK, GONE, REST, FollowedFile, signature_of
from specs.identity import IdentityStore
from specs.store import DesiredStore
from tests.specs.conftest import Clock, document


class World:
    """A store whose time passes when told to, and files in two directories."""

    def __init__(self, root: Path) -> None:
        self.clock = Clock()
        self.root = root
        for name in ("one", "two"):
            (root / name).mkdir(exist_ok=True)
        self.state = root / "state" / "identity.sqlite"
        self.restart()

    def restart(self) -> None:
        sources = [DirectorySource(self.root / name, self.clock) for name in ("one", "two")]
        self.store = DesiredStore(sources, IdentityStore(self.state))
        self.told: list[frozenset[str]] = []
        self.store.subscribe(self.told.append)
        self.store.refresh()

    def put(self, file: str, text: str) -> None:
        """Put a file in place by a rename."""
        temporary = self.root / ".temporary"
        temporary.write_text(text)
        temporary.replace(self.root / file)

    def settle(self) -> None:
        self.store.refresh()
        self.clock.pass_by(1)
        self.store.refresh()

    def names(self) -> list[str]:
        return [desired.name for desired in self.store.list()]

    def instances(self, name: str = "a") -> int:
        desired = self.store.get(name)
        assert desired is not None
        return desired.plugin.spec.instances

    def owner(self, name: str = "a") -> str:
        desired = self.store.get(name)
        assert desired is not None
        return f"{Path(desired.owner.source).name}/{desired.owner.file}:{desired.owner.line}"

    def problems(self) -> list[str]:
        return [problem.message for one in self.store.sources() for file in one.files for problem in file.problems]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_only_spec_files_count_and_folders_are_searched(world: World) -> None:
    for name in ("a.yaml", "sub/b.yml", "sub/deep/c.json"):
        path = world.root / "one" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(
            document(path.stem) if path.suffix != ".json" else json.dumps({"c": {"vm_config": {"path": "c"}}})
        )
    for name in (
        ".x.yaml",
        "x.yaml~",
        ".x.yaml.swp",
        "4913",
        "x.tmp",
        "#x.yaml#",
        "~x.yaml",
        ".git/x.yaml",
        "x.txt",
        "x.yaml.bak",
    ):
        path = world.root / "one" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(document("ignored"))
    world.settle()
    assert world.names() == ["a", "b", "c"]
    assert world.owner("c") == "one/sub/deep/c.json:1"


def test_folders_that_lead_in_circles_end(world: World) -> None:
    world.put("one/a.yaml", document("a"))
    (world.root / "one" / "again").symlink_to(world.root / "one")
    world.settle()
    assert world.names() == ["a"]


def test_a_rename_is_read_at_once_and_a_write_in_place_when_it_rests(world: World) -> None:
    world.put("one/a.yaml", document("a", 1))
    world.store.refresh()
    world.put("one/a.yaml", document("a", 2))
    world.store.refresh()
    assert world.instances() == 2
    (world.root / "one/a.yaml").write_text(document("a", 33))
    assert world.store.refresh() == pytest.approx(REST)
    assert world.instances() == 2
    world.clock.pass_by(REST)
    world.store.refresh()
    assert world.instances() == 33


def test_a_change_that_leaves_the_same_time_stamp_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(document("a", 1))
    signature = signature_of(path.stat())
    followed = FollowedFile(path, "a.yaml")
    assert followed.look(signature, 0.0) == COARSE_CLOCK
    path.write_text(document("a", 2))
    path.touch()  # the look below is told that nothing changed, as a coarse clock would have it
    assert followed.look(signature, COARSE_CLOCK / 2) == pytest.approx(COARSE_CLOCK / 2)
    followed.look(signature, COARSE_CLOCK)
    followed.look(signature_of(path.stat()), 1.0)
    assert followed.state.documents[0].plugin.spec.instances == 2


def test_a_missing_file_is_gone_only_after_a_while(world: World) -> None:
    world.put("one/a.yaml", document("a"))
    world.store.refresh()
    (world.root / "one/a.yaml").unlink()
    assert world.store.refresh() == pytest.approx(GONE)
    assert world.names() == ["a"]
    world.clock.pass_by(GONE)
    world.store.refresh()
    assert world.names() == []
    assert world.told[-1] == {"a"}


def test_an_editor_that_moves_the_file_away_first_takes_nothing_down(world: World) -> None:
    world.put("one/a.yaml", document("a", 1))
    world.store.refresh()
    (world.root / "one/a.yaml").rename(world.root / "one/a.yaml~")
    world.store.refresh()
    world.put("one/a.yaml", document("a", 2))
    world.settle()
    assert world.instances() == 2
    assert world.told == [{"a"}, {"a"}]


@pytest.mark.parametrize(
    "broken", ["", "spec: [", document("a").replace("instances", "instanes"), "\xff", "x: *y", document("a/b")]
)
def test_a_broken_file_keeps_its_last_good_content_and_shows(world: World, broken: str) -> None:
    world.put("one/a.yaml", document("a", 7))
    world.store.refresh()
    (world.root / "one/a.yaml").write_bytes(broken.encode("latin-1"))
    world.settle()
    assert world.instances() == 7
    (status, _) = world.store.sources()
    assert status.files[0].last_good
    assert status.files[0].problems
    assert status.to_dict()["files"][0]["problems"][0]["file"].endswith("one/a.yaml")
    world.put("one/a.yaml", document("a", 8))
    world.settle()
    assert world.instances() == 8
    assert world.problems() == []


def test_a_broken_document_takes_no_other_down(world: World) -> None:
    world.put("one/a.yaml", document("a", 1) + "---\n" + document("b", 1) + "---\n" + document("c", 1))
    world.store.refresh()
    world.put("one/a.yaml", document("a", 2) + "---\n" + document("b", 2).replace("spec", "spek"))
    world.store.refresh()
    assert [(one.name, one.plugin.spec.instances) for one in world.store.list()] == [("a", 2), ("b", 1)]


def test_a_first_sight_of_a_broken_file_takes_its_good_documents(world: World) -> None:
    world.put("one/a.yaml", document("a") + "---\n" + document("b").replace("spec", "spek"))
    world.store.refresh()
    assert world.names() == ["a"]


def test_a_file_too_large_keeps_its_last_good_content(world: World) -> None:
    world.put("one/a.yaml", document("a"))
    world.store.refresh()
    with (world.root / "one/a.yaml").open("ab") as file:
        file.truncate(100 * 2**20)
    world.settle()
    assert world.names() == ["a"]
    assert "104857600 bytes" in world.problems()[0]


def test_a_file_that_cannot_be_opened_keeps_its_last_good_content(world: World) -> None:
    world.put("one/a.yaml", document("a"))
    world.store.refresh()
    path = world.root / "one/a.yaml"
    path.unlink()
    os.mkfifo(path)
    world.settle()
    assert world.names() == ["a"]
    assert world.problems() == ["this is not a regular file"]
    path.unlink()
    world.put("one/a.yaml", document("a"))
    world.settle()
    assert world.problems() == []


def test_a_directory_that_vanished_uninstalls_nothing_and_recovers(world: World) -> None:
    world.put("one/a.yaml", document("a", 1))
    world.store.refresh()
    (world.root / "one").rename(world.root / "away")
    world.settle()
    world.settle()
    assert world.names() == ["a"]
    assert "No such file or directory" in world.store.sources()[0].error
    (world.root / "one").mkdir()
    world.put("one/a.yaml", document("a", 2))
    world.settle()
    assert world.instances() == 2
    assert world.store.sources()[0].error == ""


def test_an_emptied_directory_uninstalls(world: World) -> None:
    world.put("one/a.yaml", document("a"))
    world.store.refresh()
    (world.root / "one/a.yaml").unlink()
    world.settle()
    assert world.names() == []


def test_a_folder_that_cannot_be_listed_changes_nothing(world: World) -> None:
    world.put("one/a.yaml", document("a"))
    world.store.refresh()
    (world.root / "one").rename(world.root / "away")
    (world.root / "one").write_text("a file where a directory was")
    world.settle()
    assert world.names() == ["a"]
    assert "Not a directory" in world.store.sources()[0].error


def test_a_config_map_mount_is_followed_through_its_swap(world: World) -> None:
    mount = world.root / "one"

    def publish(stamp: str, files: dict[str, str]) -> None:
        (mount / stamp).mkdir()
        for name, text in files.items():
            (mount / stamp / name).write_text(text)
        (mount / "..data_tmp").symlink_to(stamp)
        (mount / "..data_tmp").rename(mount / "..data")
        for name in files:
            if not (mount / name).is_symlink():
                (mount / name).symlink_to(f"..data/{name}")

    publish("..2024_1", {"a.yaml": document("a", 1), "b.yaml": document("b", 1)})
    world.settle()
    assert world.names() == ["a", "b"]
    publish("..2024_2", {"a.yaml": document("a", 2)})
    world.store.refresh()
    assert world.instances() == 2
    (mount / "b.yaml").unlink()
    world.settle()
    assert world.names() == ["a"]
    assert world.problems() == []


def test_the_owner_keeps_its_name_and_the_other_is_shadowed(world: World) -> None:
    world.put("two/z.yaml", document("a", 1))
    world.store.refresh()
    world.put("one/a.yaml", document("a", 2))
    world.store.refresh()
    desired = world.store.get("a")
    assert desired is not None
    assert world.owner() == "two/z.yaml:1"
    assert [owner.file for owner in desired.shadowed] == ["a.yaml"]
    assert world.instances() == 1
    world.restart()
    assert world.owner() == "two/z.yaml:1"
    (world.root / "two/z.yaml").unlink()
    world.settle()
    assert (world.owner(), world.instances()) == ("one/a.yaml:1", 2)


def test_at_first_sight_the_earlier_source_and_path_own_the_name(world: World) -> None:
    for file in ("two/a.yaml", "one/b.yaml", "one/c.yaml"):
        world.put(file, document("a") + "---\n" + document("a"))
    world.store.refresh()
    desired = world.store.get("a")
    assert desired is not None
    assert [f"{one.file}:{one.document}" for one in (desired.owner, *desired.shadowed)] == [
        "b.yaml:0", "b.yaml:1", "c.yaml:0", "c.yaml:1", "a.yaml:0", "a.yaml:1",
    ]  # fmt: skip


def test_a_generation_rises_with_the_spec_alone_and_survives_a_restart(world: World) -> None:
    world.put("one/a.yaml", document("a", 1))
    world.store.refresh()
    first = world.store.get("a")
    world.put("one/a.yaml", document("a", 1).replace("{name: a}", "{name: a, labels: {x: y}}"))
    world.store.refresh()
    second = world.store.get("a")
    world.put("one/a.yaml", document("a", 2))
    world.store.refresh()
    third = world.store.get("a")
    world.restart()
    fourth = world.store.get("a")
    assert first and second and third and fourth
    assert [one.generation for one in (first, second, third, fourth)] == [1, 1, 2, 2]
    assert first.resource_version < second.resource_version < third.resource_version
    assert len({one.uid for one in (first, second, third, fourth)}) == 1
    assert fourth.created == first.created


def test_a_plugin_that_was_removed_and_made_again_is_a_new_one(world: World) -> None:
    world.put("one/a.yaml", document("a"))
    world.store.refresh()
    first = world.store.get("a")
    (world.root / "one/a.yaml").unlink()
    world.settle()
    world.put("one/a.yaml", document("a"))
    world.store.refresh()
    second = world.store.get("a")
    assert first and second
    assert first.uid != second.uid


def test_a_change_while_the_daemon_was_down_is_a_new_generation(world: World) -> None:
    world.put("one/a.yaml", document("a", 1))
    world.put("one/b.yaml", document("b", 1))
    world.store.refresh()
    world.put("one/a.yaml", document("a", 2))
    (world.root / "one/b.yaml").unlink()
    world.restart()
    desired = world.store.get("a")
    assert desired is not None
    assert desired.generation == 2
    assert "b" not in IdentityStore(world.state).all


def test_a_damaged_identity_file_is_put_aside(world: World) -> None:
    world.put("one/a.yaml", document("a"))
    world.state.write_bytes(b"this is no database, whatever its name says" * 50)
    for tail in ("-wal", "-shm"):
        world.state.with_name(world.state.name + tail).unlink(missing_ok=True)
    world.restart()
    assert world.names() == ["a"]
    assert world.state.with_suffix(".corrupt").exists()


def test_a_refresh_without_changes_tells_nobody(world: World) -> None:
    world.put("one/a.yaml", document("a"))
    world.settle()
    version = world.store.list().resource_version
    world.settle()
    assert world.told == [{"a"}]
    assert world.store.list().resource_version == version


def test_a_source_given_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="twice"):
        DesiredStore([DirectorySource(tmp_path), DirectorySource(tmp_path)], IdentityStore(None))


def test_a_config_file_that_vanished_keeps_what_it_said(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"a": {"vm_config": {"path": "a.wasm"}}}')
    store = DesiredStore([ConfigFileSource(path)], IdentityStore(None))
    store.refresh()
    path.unlink()
    store.refresh()
    assert [one.name for one in store.list()] == ["a"]
    assert "No such file" in store.sources()[0].error
