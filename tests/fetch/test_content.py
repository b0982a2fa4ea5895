"""Content kept by digest: what comes back is what was put, or nothing."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.host.content import ContentStore
from tests.fetch.world import sha256


def md5(data: bytes) -> str:
    return f"md5:{hashlib.md5(data).hexdigest()}"


def file_of(directory: Path, data: bytes) -> Path:
    return directory / "modules" / sha256(data).replace(":", "-")


def age(directory: Path, data: bytes, seconds: int) -> None:
    """Make content look as if it was used that long ago."""
    os.utime(file_of(directory, data), (1_000_000 - seconds, 1_000_000 - seconds))


def test_content_survives_a_restart(tmp_path: Path) -> None:
    ContentStore(tmp_path).put(sha256(b"a"), b"a")

    store = ContentStore(tmp_path)
    assert store.get(sha256(b"a")) == b"a"
    assert sha256(b"a") in store
    assert store.get(sha256(b"b")) is None
    assert sha256(b"b") not in store


def test_content_has_other_names_too(tmp_path: Path) -> None:
    store = ContentStore(tmp_path)
    image = "sha256:" + "1" * 64
    store.put(md5(b"a"), b"a")
    store.put(image, b"a")

    assert store.get(md5(b"a")) == store.get(image) == store.get(sha256(b"a")) == b"a"


@pytest.mark.parametrize("bad", [b"", b"A", b"aa"])
def test_damaged_content_is_not_given_out(tmp_path: Path, bad: bytes) -> None:
    store = ContentStore(tmp_path)
    for digest in (sha256(b"a"), md5(b"a")):
        store.put(digest, b"a")
        file_of(tmp_path, b"a").write_bytes(bad)
        assert store.get(digest) is None
        store.put(digest, b"a")
        assert store.get(digest) == b"a"


def test_what_was_used_longest_ago_goes_first(tmp_path: Path) -> None:
    store = ContentStore(tmp_path, max_bytes=300)
    pieces = [bytes([letter]) * 100 for letter in b"abc"]
    for old, piece in zip((30, 20, 10), pieces, strict=True):
        store.put(sha256(piece), piece)
        age(tmp_path, piece, old)
    assert store.get(sha256(pieces[0])) is not None  # it was used just now

    store.put(sha256(b"d" * 100), b"d" * 100)

    assert [sha256(piece) in store for piece in pieces] == [True, False, True]


def test_what_is_in_use_stays_under_any_of_its_names(tmp_path: Path) -> None:
    store = ContentStore(tmp_path, max_bytes=100)
    for piece in (b"a" * 60, b"b" * 60):
        store.put(md5(piece), piece, in_use={md5(b"a" * 60), md5(b"b" * 60)})
    store.put(sha256(b"c" * 60), b"c" * 60, in_use={md5(b"b" * 60)})

    assert [digest in store for digest in (md5(b"a" * 60), md5(b"b" * 60), sha256(b"c" * 60))] == [False, True, True]
    assert {path.name for path in (tmp_path / "modules").iterdir()} == {
        file_of(tmp_path, b"b" * 60).name, md5(b"b" * 60).replace(":", "-"), file_of(tmp_path, b"c" * 60).name,
    }  # fmt: skip


def test_a_note_comes_and_goes_with_its_content(tmp_path: Path) -> None:
    store = ContentStore(tmp_path, max_bytes=100)
    store.put_note(sha256(b"none"), "minisig", b"text")
    store.put(md5(b"a" * 60), b"a" * 60)
    store.put_note(md5(b"a" * 60), "minisig", b"text")
    assert store.note(sha256(b"none"), "minisig") is None
    assert store.note(md5(b"a" * 60), "minisig") == store.note(sha256(b"a" * 60), "minisig") == b"text"

    store.put(sha256(b"b" * 60), b"b" * 60)

    assert store.note(sha256(b"a" * 60), "minisig") is None


def test_a_directory_that_cannot_be_written_keeps_nothing(tmp_path: Path) -> None:
    blocked = tmp_path / "state"
    blocked.write_text("a file where a directory should be")
    store = ContentStore(blocked)

    store.put(sha256(b"a"), b"a")
    store.put_note(sha256(b"a"), "minisig", b"text")

    assert store.get(sha256(b"a")) is None


def test_many_writers_of_one_content_do_no_harm(tmp_path: Path) -> None:
    store = ContentStore(tmp_path, max_bytes=10_000)
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for step in range(20):
            data = b"%d" % (step % 5) * 1000
            store.put(md5(data), data)
            assert store.get(md5(data)) in (data, None)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))

    assert store.get(md5(b"4" * 1000)) == b"4" * 1000
