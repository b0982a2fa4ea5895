"""The module cache: compiled once, found again on disk, and never running what was damaged there."""

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.core.revision import ModuleSource
from reconciler.core.states import Reason
from reconciler.host.files import MAX_MODULE_BYTES, FileDigests
from reconciler.host.modules import ModuleCache
from reconciler.wasm.engine import Engine
from reconciler.wasm.kind import ModuleRefused
from tests.guest_wat import answering


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


@pytest.fixture
def source(tmp_path: Path) -> ModuleSource:
    path = tmp_path / "a.wasm"
    path.write_bytes(answering("a"))
    return ModuleSource(f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}", path=str(path))


def load(engine: Engine, state: Path, source: ModuleSource, metered: bool = False) -> bool:
    """Whether loading saved a compilation, in a process that just started."""
    cache = ModuleCache(engine, state)
    _, saved = cache.acquire(source, metered=metered)
    cache.release(source, metered=metered)
    return saved


def cached_file(state: Path) -> Path:
    (found,) = (state / "aot").rglob("*.cwasm")
    return found


def test_the_second_start_finds_the_module_compiled(engine: Engine, tmp_path: Path, source: ModuleSource) -> None:
    assert [load(engine, tmp_path / "state", source) for _ in range(3)] == [False, True, True]


def test_metered_code_is_kept_apart(engine: Engine, tmp_path: Path, source: ModuleSource) -> None:
    assert not load(engine, tmp_path / "state", source)
    assert not load(engine, tmp_path / "state", source, metered=True)
    assert load(engine, tmp_path / "state", source, metered=True)


@pytest.mark.parametrize("damage", ["emptied", "cut short", "a flipped bit", "another file's content"])
def test_a_damaged_cache_file_is_compiled_anew(
    engine: Engine, tmp_path: Path, source: ModuleSource, damage: str
) -> None:
    state = tmp_path / "state"
    load(engine, state, source)
    file = cached_file(state)
    good = file.read_bytes()
    bad = {
        "emptied": b"",
        "cut short": good[: len(good) // 2],
        "a flipped bit": good[:200] + bytes([good[200] ^ 1]) + good[201:],
        "another file's content": b"nonsense" * 1000,
    }[damage]
    file.write_bytes(bad)
    assert not load(engine, state, source)
    assert load(engine, state, source)


def test_a_cache_of_another_engine_is_not_looked_at(engine: Engine, tmp_path: Path, source: ModuleSource) -> None:
    state = tmp_path / "state"
    load(engine, state, source)
    directory = cached_file(state).parent
    directory.rename(directory.with_name("wasmtime-1.0-other"))
    assert not load(engine, state, source)


def test_code_that_the_engine_does_not_take_is_compiled_anew(
    engine: Engine, tmp_path: Path, source: ModuleSource
) -> None:
    state = tmp_path / "state"
    load(engine, state, source)
    junk = b"well hashed, but no code"
    cached_file(state).write_bytes(junk + hashlib.sha256(junk).digest())
    assert not load(engine, state, source)


def test_a_state_directory_that_cannot_be_written_costs_only_time(
    engine: Engine, tmp_path: Path, source: ModuleSource
) -> None:
    blocked = tmp_path / "state"
    blocked.write_text("a file where a directory should be")
    assert not load(engine, blocked, source)


def test_many_that_ask_at_once_share_one_compilation(engine: Engine, tmp_path: Path, source: ModuleSource) -> None:
    cache = ModuleCache(engine, tmp_path / "state")
    barrier = threading.Barrier(8)

    def acquire(_: int) -> bool:
        barrier.wait()
        return cache.acquire(source, metered=False)[1]

    with ThreadPoolExecutor(8) as threads:
        saved = list(threads.map(acquire, range(8)))
    assert saved.count(False) == 1
    for _ in saved:
        cache.release(source, metered=False)


def test_a_file_that_changed_since_it_was_named_is_refused(
    engine: Engine, tmp_path: Path, source: ModuleSource
) -> None:
    Path(source.place).write_bytes(answering("b"))
    with pytest.raises(ModuleRefused) as refused:
        load(engine, tmp_path / "state", source)
    assert refused.value.failure.reason is Reason.DIGEST_MISMATCH


def test_no_file_a_directory_and_a_huge_file_are_told_apart(engine: Engine, tmp_path: Path) -> None:
    huge = tmp_path / "huge.wasm"
    with huge.open("wb") as file:
        file.truncate(MAX_MODULE_BYTES + 1)
    reasons = []
    for path in (tmp_path / "none.wasm", tmp_path, huge):
        with pytest.raises(ModuleRefused) as refused:
            load(engine, tmp_path / "state", ModuleSource("sha256:0", path=str(path)))
        reasons.append(refused.value.failure.reason)
    assert reasons == [Reason.NOT_FOUND, Reason.NOT_FOUND, Reason.TOO_LARGE]


def test_a_digest_follows_the_content_not_the_time(tmp_path: Path) -> None:
    reads = []

    def read(path: Path) -> bytes:
        reads.append(path)
        return path.read_bytes()

    digests = FileDigests(read)
    path = tmp_path / "a.wasm"
    path.write_bytes(b"one")
    first = digests.digests(str(path))
    assert digests.digests(str(path)) == first
    assert len(reads) == 1
    path.touch()
    assert digests.digests(str(path)) == first
    path.write_bytes(b"two")
    assert digests.digests(str(path)) != first
