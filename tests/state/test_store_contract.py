"""What holds for every store."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from reconciler.state.registry import StoreRegistry, parse_stores
from reconciler.state.store import Store


@pytest.fixture(params=["memory", "sqlite", "redis"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    config = {"type": request.param}
    if request.param == "redis":
        config["url"] = request.getfixturevalue("redis_server").url
    with StoreRegistry(tmp_path, parse_stores({"demo": config})) as registry:
        yield registry.find("demo")


def test_a_key_that_was_never_set_has_no_value(store: Store) -> None:
    assert store.get("book1") is None


@pytest.mark.parametrize("value", [b"100", b"", b"\x00\xff\r\n", b"x" * 1_000_000])
def test_a_value_comes_back_byte_for_byte(store: Store, value: bytes) -> None:
    store.set("book1", value)

    assert store.get("book1") == value


@pytest.mark.parametrize("key", ["", "with space", "книга", "a\nb", "a\0b", "k" * 1000])
def test_any_text_is_a_key(store: Store, key: str) -> None:
    store.set(key, b"here")

    assert store.get(key) == b"here"
    assert store.get(key + "x") is None


def test_setting_replaces_and_deleting_removes(store: Store) -> None:
    store.set("book1", b"100")
    store.set("book1", b"99")

    assert store.get("book1") == b"99"
    assert store.delete("book1")
    assert store.get("book1") is None
    assert not store.delete("book1")


def test_many_threads_read_and_write_at_once(store: Store) -> None:
    def work(number: int) -> bool:
        key = f"k{number % 7}"
        store.set(key, f"{key}:{number}".encode())
        value = store.get(key)
        return value is not None and value.startswith(f"{key}:".encode())

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(400)))


def test_closing_twice_is_harmless(store: Store) -> None:
    store.set("a", b"b")
    store.close()
    store.close()


def test_a_value_is_swapped_only_for_the_one_that_was_seen(store: Store) -> None:
    assert not store.swap("a", b"1", b"2")
    assert store.swap("a", None, b"1")
    assert not store.swap("a", None, b"2")
    assert not store.swap("a", b"0", b"2")
    assert store.swap("a", b"1", b"2")
    assert store.get("a") == b"2"


def test_keys_are_listed_in_parts(store: Store) -> None:
    assert store.keys(0, 10) == ([], 0)
    wanted = {f"key{number}" for number in range(25)}
    for key in wanted:
        store.set(key, b"")
    found, start = store.keys(0, 10)
    while start:
        more, start = store.keys(start, 10)
        found += more
    assert set(found) == wanted
