import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from reconciler.state.errors import StoresInvalid
from reconciler.state.registry import DEFAULT_FILE, StoreRegistry, parse_stores


def test_a_store_that_nobody_configured_lies_in_the_state_directory(tmp_path: Path) -> None:
    with StoreRegistry(tmp_path) as registry:
        registry.find("state_demo").set("book1", b"100")
        assert registry.find("state_demo").get("book1") == b"100"
        assert registry.find("other").get("book1") is None

    assert (tmp_path / DEFAULT_FILE).is_file()


def test_values_outlive_the_registry(tmp_path: Path) -> None:
    with StoreRegistry(tmp_path) as registry:
        registry.find("state_demo").set("book1", b"100")

    with StoreRegistry(tmp_path) as registry:
        assert registry.find("state_demo").get("book1") == b"100"


def test_a_memory_store_starts_with_its_values_and_is_one_for_all(tmp_path: Path) -> None:
    with StoreRegistry(tmp_path, parse_stores({"m": {"type": "memory", "values": {"book1": "100"}}})) as registry:
        assert registry.find("m").get("book1") == b"100"
        registry.find("m").set("book1", b"99")
        assert registry.find("m").get("book1") == b"99"

    assert list(tmp_path.iterdir()) == []


def test_an_sqlite_store_may_have_a_file_of_its_own(tmp_path: Path) -> None:
    with StoreRegistry(tmp_path, parse_stores({"s": {"type": "sqlite", "path": "mine.db"}})) as registry:
        registry.find("s").set("k", b"v")

    assert (tmp_path / "mine.db").is_file()
    assert not (tmp_path / DEFAULT_FILE).exists()


def test_two_stores_in_one_file_share_its_connection_and_not_their_keys(tmp_path: Path) -> None:
    stores = parse_stores({"a": {"type": "sqlite", "path": "x.db"}, "b": {"type": "sqlite", "path": "x.db"}})
    with StoreRegistry(tmp_path, stores) as registry:
        registry.find("a").set("k", b"v")
        assert registry.find("b").get("k") is None


@pytest.mark.parametrize(
    ("stores", "problem"),
    [
        ({"a": {"type": "mongo"}}, "stores.a: Input tag 'mongo' found using 'type' does not match"),
        ({"a": {}}, "stores.a: Unable to extract tag using discriminator 'type'"),
        ({"a": {"type": "sqlite", "pth": "x"}}, "stores.a.pth: unknown field"),
        ({"a": {"type": "redis"}}, "stores.a: give exactly one of url, metadata"),
        ({"a": {"type": "redis", "url": "http://x"}}, "stores.a.url: "),
        ({"a": {"type": "redis", "metadata": {"redisPassword": ""}}}, "stores.a.metadata.redisHost: Field required"),
        ({"a": "redis"}, "stores.a: "),
        (["a"], "stores: "),
        (None, "stores: "),
    ],
)
def test_a_mistake_in_the_mapping_is_told_with_its_place(stores: Any, problem: str) -> None:
    with pytest.raises(StoresInvalid) as caught:
        parse_stores(stores)

    assert str(caught.value).startswith(problem)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(StoresInvalid) as caught:
        parse_stores({"a": {"type": "memory", "x": 1}, "b": {"type": "memory", "y": 1}})

    assert caught.value.problems == ("stores.a.x: unknown field", "stores.b.y: unknown field")


def test_layottos_redis_with_a_password_database_and_tls_becomes_an_address() -> None:
    metadata = {"redisHost": "redis.example:6380", "redisPassword": "p@ss", "redisDB": "2", "enableTLS": "true"}

    config = parse_stores({"s": {"type": "redis", "metadata": metadata}})["s"]

    assert config.type == "redis"
    assert config.metadata is not None
    assert config.metadata.url == "rediss://redis.example:6380/2"


def test_redis_without_its_library_is_refused_when_configured_and_not_before(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
sys.modules["redis"] = None  # what an absent package looks like to `import redis`
from reconciler.state.errors import StoreUnavailable
from reconciler.state.registry import StoreRegistry, parse_stores
StoreRegistry(Path({str(tmp_path)!r})).close()
try:
    StoreRegistry(Path({str(tmp_path)!r}), parse_stores({{"s": {{"type": "redis", "url": "redis://localhost"}}}}))
except StoreUnavailable as error:
    print(error)
"""
    output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout

    assert "store s is of type redis" in output
    assert "pip install 'wasm-reconciler[redis]'" in output
