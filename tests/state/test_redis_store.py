import socket
import threading
import time
from pathlib import Path

import pytest

from reconciler.state.errors import StoreUnavailable
from reconciler.state.registry import StoreRegistry, parse_stores
from tests.state.conftest import RedisServer

redis = pytest.importorskip("redis", reason="redis-py is not installed: pip install 'wasm-reconciler[redis]'")
stores = pytest.importorskip("reconciler.state.redis")


def test_layottos_configuration_reaches_the_server(redis_server: RedisServer, tmp_path: Path) -> None:
    with redis.Redis(port=redis_server.port) as client:
        client.set("book1", "100")
    config = {"type": "redis", "metadata": {"redisHost": f"localhost:{redis_server.port}", "redisPassword": ""}}

    with StoreRegistry(tmp_path, parse_stores({"state_demo": config})) as registry:
        assert registry.find("state_demo").get("book1") == b"100"


def test_a_value_that_a_layotto_sidecar_saved_is_read_from_its_hash(redis_server: RedisServer) -> None:
    with redis.Redis(unix_socket_path=str(redis_server.socket)) as client:
        client.hset("book1", mapping={"data": "100", "version": "3"})
    store = stores.RedisStore.connect(redis_server.url)

    assert store.get("book1") == b"100"
    store.close()


def test_a_value_of_another_type_is_an_error(redis_server: RedisServer) -> None:
    with redis.Redis(unix_socket_path=str(redis_server.socket)) as client:
        client.rpush("book1", "100")
    store = stores.RedisStore.connect(redis_server.url)

    with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
        store.get("book1")
    store.close()


def test_a_server_that_was_restarted_is_reached_again_at_once(redis_server: RedisServer) -> None:
    store = stores.RedisStore.connect(redis_server.url)
    store.set("book1", b"100")
    redis_server.stop()
    with pytest.raises(StoreUnavailable, match=r"redis\.sock"):
        store.get("book1")
    redis_server.start()

    assert store.get("book1") is None
    store.set("book1", b"99")
    redis_server.stop()
    redis_server.start()
    assert store.get("book1") is None  # over a connection of before, which is replaced unseen
    store.close()


def test_a_wrong_password_is_said_without_the_password(tmp_path: Path, redis_server: RedisServer) -> None:
    with redis.Redis(unix_socket_path=str(redis_server.socket)) as client:
        client.config_set("requirepass", "right")
    store = stores.RedisStore.connect(f"redis://:wrong-secret@127.0.0.1:{redis_server.port}/0")

    with pytest.raises(StoreUnavailable) as caught:
        store.get("k")

    assert f"127.0.0.1:{redis_server.port}" in str(caught.value)
    assert "wrong-secret" not in str(caught.value)
    store.close()


def test_a_server_that_never_answers_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        held: list[socket.socket] = []
        accepting = threading.Thread(target=lambda: held.append(silent.accept()[0]))
        accepting.start()
        store = stores.RedisStore.connect(f"redis://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)
        start = time.monotonic()

        with pytest.raises(StoreUnavailable, match=r"[Tt]imeout"):
            store.get("k")

        assert time.monotonic() - start < 2
        accepting.join()
        held[0].close()
        store.close()


def test_no_server_is_an_error_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        store = stores.RedisStore.connect(f"redis://127.0.0.1:{taken.getsockname()[1]}")

        with pytest.raises(StoreUnavailable, match="refused"):
            store.get("k")
        store.close()
