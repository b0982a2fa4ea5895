"""The way to an API server: a pod's own cluster over TLS with tokens that change, and servers that answer badly."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from api.cluster import pace
from api.cluster.client import ClusterClient, ClusterError, Pod, Refused, Server, find_server
from api.cluster.follow import Follower, Member
from api.cluster.report import LONGEST_MANAGER, Reporter, manager_of
from specs.mirror import MirrorSource
from tests.access.parts import Authority
from tests.daemon import RunningDaemon, until

OLD, NEW = "the-first-token-of-the-account", "the-second-token-of-the-account"


def account(folder: Path, token: str, authorities: Path) -> Path:
    """A service account's directory, as the kubelet has it; written again it is swapped by one rename."""
    made = folder / f"..{token}"
    made.mkdir(parents=True)
    (made / "token").write_text(token)
    (made / "ca.crt").write_bytes(authorities.read_bytes())
    (folder / "..data_tmp").symlink_to(made.name)
    (folder / "..data_tmp").rename(folder / "..data")
    for name in ("token", "ca.crt"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    return folder


def accept(file: Path, *tokens: str) -> None:
    """Let a daemon's tokens file know those."""
    entries = [{"name": "node", "role": "write", "token": token} for token in tokens]
    (file.parent / "next").write_text(json.dumps({"tokens": entries}))
    (file.parent / "next").rename(file)


def spec(instances: int) -> str:
    found = {
        "apiVersion": "wasm-reconciler.dev/v1alpha1",
        "kind": "WasmPlugin",
        "metadata": {"name": "a"},
        "spec": {"instances": instances, "module": {"path": "hello.wat"}},
    }
    return json.dumps(found)


@contextmanager
def following(server: Server, mirror: MirrorSource, chance: Callable[[], float]) -> Iterator[None]:
    client = ClusterClient(server)
    member = Member("one")
    follower = Follower(client, mirror, member, Reporter(client, mirror, member), chance)
    follower.start(20.0)
    try:
        yield
    finally:
        follower.stop()


def desired(mirror: MirrorSource) -> list[int | None]:
    return [document.plugin.spec.instances for file in mirror.listing().files.values() for document in file.documents]


def test_a_pod_follows_its_cluster_over_tls_and_through_a_change_of_its_token(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "cluster")
    certificate, key = authority.issue("server")
    tokens = tmp_path / "tokens.json"
    accept(tokens, OLD)
    flags = ("--tokens", tokens, "--admin-tls-cert", certificate, "--admin-tls-key", key)
    hub = RunningDaemon(tmp_path / "hub", *map(str, flags))
    hub.module("hello.wat")
    (hub.specs / "a.json").write_text(spec(1))
    hub.start()
    try:
        secrets = account(tmp_path / "account", OLD, authority.file)
        port = hub.admin.rpartition(":")[2]
        pod = Pod({"KUBERNETES_SERVICE_HOST": "localhost", "KUBERNETES_SERVICE_PORT": port}, secrets)
        server = find_server("in-cluster", "default", None, None, pod)
        client = ClusterClient(server)
        mirror = MirrorSource(server.place, tmp_path / "kept.json")
        with following(server, mirror, lambda: 0.0):
            until(lambda: desired(mirror) == [1], "the first list")

            # The account's token is renewed; the old one is known no longer. The open watch goes on.
            accept(tokens, NEW)
            with pytest.raises(Refused) as refused:
                client.list()
            assert refused.value.status == 401
            account(secrets, NEW, authority.file)
            client.apply_status(
                "a", manager_of("one"), {"nodes": [{"node": "one", "observedGeneration": 1, "desired": 7, "ready": 7}]}
            )
            assert client.list().items[0]["status"]["nodes"][0]["ready"] == 7

            # The next token comes late: what was known stays, and 401 ends with the file.
            accept(tokens, OLD)
            hub.restart()
            until(lambda: "401" in mirror.listing().error, "that it is refused")
            assert desired(mirror) == [1]
            (hub.specs / "a.json").write_text(spec(3))
            (secrets / f"..{NEW}" / "token").write_text(OLD)
            until(lambda: desired(mirror) == [3], "that the token was read again")
            until(lambda: mirror.listing().error == "", "that nothing is wrong")

        stranger = find_server("in-cluster", "default", None, Authority(tmp_path, "another").file, pod)
        with pytest.raises(ClusterError, match="certificate verify failed"):
            ClusterClient(stranger).list()
    finally:
        hub.stop()


def test_a_pod_finds_its_cluster_by_its_environment() -> None:
    six = Pod({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}, Path("/account"))
    assert find_server("in-cluster", "apps", None, None, six) == Server(
        "https://[fd00::1]:443", "apps", Path("/account/token"), Path("/account/ca.crt")
    )
    with pytest.raises(ValueError, match="this is no pod"):
        find_server("in-cluster", "apps", None, None, Pod({}))


class Badly(BaseHTTPRequestHandler):
    """Lists nothing, and ends every watch at once: with `status`, and without an event."""

    status = 200
    watches: list[float]

    def do_GET(self) -> None:
        watch = "watch=true" in self.path
        self.send_response(self.status if watch else 200)
        self.end_headers()
        if watch:
            self.watches.append(time.monotonic())
        else:
            self.wfile.write(json.dumps({"metadata": {"resourceVersion": "5"}, "items": []}).encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.mark.parametrize("status", [200, 429])
def test_a_server_that_ends_every_watch_is_asked_less_and_less_often(status: int, tmp_path: Path) -> None:
    watches: list[float] = []
    handler = type("Handler", (Badly,), {"status": status, "watches": watches})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            mirror = MirrorSource("bad", tmp_path / "kept.json")
            with following(Server(f"http://127.0.0.1:{server.server_port}", "default"), mirror, lambda: 0.0):
                until(lambda: len(watches) >= 4, "four tries")
        finally:
            server.shutdown()
            thread.join()
    assert watches[3] - watches[0] >= sum(pace.retry_delay(failures, lambda: 0.0) for failures in (1, 2, 3))


def test_nodes_of_long_names_have_field_managers_of_their_own() -> None:
    names = {manager_of("n" * 200 + end) for end in ("a", "b")} | {manager_of("short")}
    assert len(names) == 3
    assert all(len(name) <= LONGEST_MANAGER for name in names)
    assert "wasm-reconciler/short" in names
