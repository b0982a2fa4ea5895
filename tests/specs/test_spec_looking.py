"""Looking at single files is a shorter way to what a listing finds: never another one."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specs.directory import DirectorySource
from specs.errors import SpecConflict, SpecNotFound
from specs.identity import IdentityStore
from specs.model import WasmPlugin
from specs.store import DesiredStore
from specs.sync import MANY, SyncLoop
from specs.writer import DesiredWriter
from tests.specs.conftest import Clock, Node, document, until

FILES = ("a.yaml", "b.yaml", "sub/c.yaml", "sub/deep/d.json", ".hidden.yaml", "notes.txt")
TEXTS = (
    document("a"),
    document("a", 2),
    document("b"),
    f"{document('a', 3)}---\n{document('b')}",
    "metadata: [",
    "",
    "kind: x\n",
)


def rename_over(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    temporary.replace(path)


def in_place(path: Path, text: str) -> None:
    path.write_text(text)


def remove(path: Path, _text: str) -> None:
    path.unlink(missing_ok=True)


Step = tuple[Callable[[Path, str], None], str, str, float]
STEPS = st.lists(
    st.tuples(
        st.sampled_from((rename_over, in_place, remove)),
        st.sampled_from(FILES),
        st.sampled_from(TEXTS),
        st.sampled_from((0.0, 0.01, 0.06, 0.2)),
    ),
    max_size=12,
)


def shown(store: DesiredStore) -> object:
    plugins = [(one.plugin, one.generation, one.owner, one.shadowed) for one in store.list()]
    files = [(file.path, file.digest, file.last_good, file.problems) for one in store.sources() for file in one.files]
    return plugins, files, store.troubles()


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_a_look_at_what_changed_finds_what_a_listing_finds(steps: list[Step]) -> None:
    clock = Clock()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        one, other = (DesiredStore([DirectorySource(folder, clock)], IdentityStore(None)) for _ in range(2))
        for store in (one, other):
            store.refresh()
        for act, name, text, wait in steps:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            act(path, text)
            again, settles = one.look({str(folder): [name]}), other.refresh()
            assert shown(one) == shown(other)
            assert (again is None) == (settles is None)
            clock.pass_by(wait)
            one.look({})
            other.refresh()
            assert shown(one) == shown(other)


def test_a_folder_that_was_replaced_is_listed(tmp_path: Path) -> None:
    folder, away = tmp_path / "specs", tmp_path / "away"
    folder.mkdir()
    (folder / "a.yaml").write_text(document("a"))
    clock = Clock()
    store = DesiredStore([DirectorySource(folder, clock)], IdentityStore(None))
    store.refresh()
    folder.rename(away)
    store.look({str(folder): ["a.yaml"]})
    assert store.sources()[0].error
    assert store.get("a") is not None, "what cannot be seen is not gone"
    folder.mkdir()
    store.look({str(folder): ["a.yaml"]})
    clock.pass_by(1)
    store.look({})
    assert store.get("a") is None


def test_a_mount_that_is_turned_is_listed(tmp_path: Path) -> None:
    for number in (1, 2):
        (tmp_path / f"..v{number}").mkdir()
        (tmp_path / f"..v{number}" / "a.yaml").write_text(document("a", number))
    (tmp_path / "..data").symlink_to("..v1")
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    store = DesiredStore([DirectorySource(tmp_path)], IdentityStore(None))
    store.refresh()
    (tmp_path / "..next").symlink_to("..v2")
    (tmp_path / "..next").replace(tmp_path / "..data")
    store.look({str(tmp_path): ["..next", "..data"]})
    found = store.get("a")
    assert found is not None
    assert found.plugin.spec.instances == 2


def test_many_changes_at_once_are_listed_instead(folder: Path) -> None:
    store = DesiredStore([DirectorySource(folder)], IdentityStore(None))
    sync = SyncLoop(store, resync=3600)
    sync.start()
    assert sync.flush(20)
    (folder / "not-told.yaml").write_text(document("a"))
    sync.poke(str(folder), [f"{number}.yaml" for number in range(MANY + 1)])
    until(lambda: store.get("a"))
    sync.stop()


# --- writes in the moment of an edit ---------------------------------------------------------------------------------


@pytest.fixture
def unwatched(folder: Path) -> Node:
    """A node that no event tells anything."""
    source = DirectorySource(folder)
    store = DesiredStore([source], IdentityStore(None))
    sync = SyncLoop(store, resync=3600)
    return Node(store, sync, DesiredWriter(store, sync, [source]), watcher=None)  # type: ignore[arg-type]


@pytest.fixture
def edited(unwatched: Node, folder: Path) -> Node:
    """The file of `a` was written in place a moment ago, and nobody looked since."""
    (folder / "a.yaml").write_text(document("a"))
    unwatched.sync.start()
    assert unwatched.sync.flush(20)
    (folder / "a.yaml").write_text(document("a", 7, "other.wasm"))
    return unwatched


def known(node: Node) -> WasmPlugin:
    found = node.store.get("a")
    assert found is not None
    return found.plugin


def test_a_call_changes_the_file_as_it_is_on_disk(edited: Node) -> None:
    edited.writer.set_instances("a", 3)
    assert (known(edited).spec.instances, known(edited).spec.module.path) == (3, "other.wasm")
    edited.sync.stop()


def test_a_version_from_before_an_edit_conflicts(edited: Node, folder: Path) -> None:
    before = edited.store.get("a")
    assert before is not None
    with pytest.raises(SpecConflict, match="was changed since it was read"):
        edited.writer.replace(known(edited), before.resource_version)
    assert (folder / "a.yaml").read_text() == document("a", 7, "other.wasm")
    edited.sync.stop()


def test_a_plugin_whose_file_was_just_removed_is_not_found(edited: Node, folder: Path) -> None:
    (folder / "a.yaml").unlink()
    with pytest.raises(SpecNotFound):
        edited.writer.set_instances("a", 3)
    edited.sync.stop()


def test_a_plugin_that_just_moved_to_another_file_is_changed_there(edited: Node, folder: Path) -> None:
    (folder / "a.yaml").rename(folder / "b.yaml")
    edited.writer.set_instances("a", 3)
    assert "instances: 3" in (folder / "b.yaml").read_text()
    assert not (folder / "a.yaml").exists()
    edited.sync.stop()
