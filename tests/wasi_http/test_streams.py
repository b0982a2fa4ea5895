"""Bodies that flow through a component, over the wire: when bytes move, what bounds them, how such a call ends."""

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import RunningDaemon, until
from tests.wasi_http.serve import Exchange, ask
from tests.wasi_http.world import ECHO, PROBE

SPEC = """
apiVersion: wasm-reconciler.dev/v1alpha1
kind: WasmPlugin
metadata: {name: NAME}
spec:
  module: {path: MODULE}
  limits: {requestBytes: 2Gi, responseBytes: RESPONSE, timeout: TIMEOUT}
"""
MIB = 2**20


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    daemon = RunningDaemon(tmp_path_factory.mktemp("streams"))
    for name, module, response, timeout in (
        ("echo", ECHO, "2Gi", "1s"),
        ("probe", PROBE, "16Mi", "2s"),
        ("brief", PROBE, "16Mi", "300ms"),
        ("small", ECHO, "2Gi", "5s"),
    ):
        (daemon.modules / f"{name}.wasm").write_bytes(module.read_bytes())
        text = SPEC.replace("NAME", name).replace("MODULE", f"{name}.wasm")
        text = text.replace("RESPONSE", response).replace("TIMEOUT", timeout)
        (daemon.specs / f"{name}.yaml").write_text(text.replace("2Gi", "1Mi", 1) if name == "small" else text)
    daemon.start()
    for name in ("echo", "probe", "brief", "small"):
        until(lambda name=name: ask(daemon.listen, Exchange("GET", "/fine"), id=name).status == 200, name)
    yield daemon
    daemon.stop()


class Client:
    """A connection whose bytes are seen as they come."""

    def __init__(self, daemon: RunningDaemon) -> None:
        host, _, port = daemon.listen.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        self._file = self._socket.makefile("rb")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._socket.close()

    def send(self, data: bytes | str) -> None:
        self._socket.sendall(data.encode() if isinstance(data, str) else data)

    def head(self, plugin: str, path: str, *headers: str, method: str = "POST", version: str = "1.1") -> None:
        lines = [f"{method} {path} HTTP/{version}", "host: x", f"id: {plugin}", *headers, "", ""]
        self.send("\r\n".join(lines))

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def status(self) -> tuple[int, dict[str, str]]:
        status = int(self._file.readline().split()[1])
        return status, self.fields()

    def fields(self) -> dict[str, str]:
        found = {}
        while (line := self._file.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(": ")
            found[name] = value
        return found

    def part(self) -> bytes:
        """One chunk; empty for the last one."""
        size = int(self._file.readline(), 16)
        data = self._file.read(size)
        if size:
            self._file.readline()
        return data

    def parts(self) -> bytes:
        return b"".join(iter(self.part, b""))

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


def test_bytes_come_back_before_the_last_one_went_in_and_trailers_after_them(daemon: RunningDaemon) -> None:
    with Client(daemon) as client:
        client.head("echo", "/echo", "transfer-encoding: chunked", "te: trailers", "x-a: b")
        client.chunk(b"first")
        status, headers = client.status()
        assert (status, headers["x-a"], headers["transfer-encoding"]) == (200, "b", "chunked")
        assert client.part() == b"first"
        for number in range(3):
            client.chunk(b"%d" % number)
            assert client.part() == b"%d" % number
        client.send("0\r\nx-last: 1\r\nhost: evil\r\n\r\n")
        assert client.part() == b""
        assert client.fields() == {"x-last": "1"}
        client.head("echo", "/again", method="GET")
        status, headers = client.status()
        assert client.read(int(headers["content-length"])) == b"GET /again\n"


@pytest.mark.parametrize("size", [96 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.soak)])
def test_a_large_body_takes_no_memory(daemon: RunningDaemon, size: int) -> None:
    before = memory(daemon)
    block = bytes(range(256)) * 256
    with Client(daemon) as client:
        client.head("echo", "/echo", f"content-length: {size}")

        def send() -> None:
            for _ in range(size // len(block)):
                client.send(block)

        sender = threading.Thread(target=send)
        sender.start()
        assert client.status()[0] == 200
        received = 0
        while part := client.part():
            assert part[:1] == block[received % 256 : received % 256 + 1]
            received += len(part)
        sender.join()
    assert received == size
    assert memory(daemon) - before < 16 * MIB


def test_a_client_that_reads_nothing_holds_the_guest_up_and_its_end_ends_the_guest(daemon: RunningDaemon) -> None:
    before = memory(daemon)
    with Client(daemon) as client:
        client.head("echo", "/bytes/500000000", method="GET")
        assert client.status()[0] == 200
        assert len(client.part()) > 0
        time.sleep(0.3)  # nothing to wait for: that memory does not grow is what is looked at
        assert memory(daemon) - before < 16 * MIB
    assert ask(daemon.listen, Exchange("GET", "/next"), id="echo").body == b"GET /next\n"


def test_a_stream_may_last_longer_than_the_timeout_while_it_moves(daemon: RunningDaemon) -> None:
    with Client(daemon) as client:
        client.head("echo", "/echo", "transfer-encoding: chunked")
        began = time.monotonic()
        client.chunk(b"a")
        assert client.status()[0] == 200
        while time.monotonic() < began + 1.5:
            client.chunk(b"tick")
            client.part()
            time.sleep(0.05)
        client.send("0\r\n\r\n")
        client.parts()


def test_a_body_that_grows_too_large_is_refused_or_cut(daemon: RunningDaemon) -> None:
    with Client(daemon) as client:  # /status reads no body, so it answers at once and the rest is not waited for
        client.head("small", "/echo", "transfer-encoding: chunked")
        with pytest.raises((ConnectionError, ValueError, IndexError)):  # the answer had begun
            for _ in range(64):
                client.chunk(bytes(65536))
            client.status()
            client.parts()
    with Client(daemon) as client:
        client.head("small", "/echo", f"content-length: {2 * MIB}")
        assert client.status()[0] == 413


def test_a_client_that_leaves_in_the_middle_of_its_body_frees_the_instance(daemon: RunningDaemon) -> None:
    for _ in range(3):
        with Client(daemon) as client:
            client.head("echo", "/echo", "transfer-encoding: chunked")
            client.chunk(b"half")
            assert client.status()[0] == 200
            assert client.part() == b"half"
    assert ask(daemon.listen, Exchange("GET", "/next"), id="echo").status == 200


def test_a_body_that_nobody_reads_is_answered_all_the_same(daemon: RunningDaemon) -> None:
    with Client(daemon) as client:
        client.head("echo", "/status/404", f"content-length: {MIB}")
        client.send(bytes(200_000))
        status, headers = client.status()
        assert (status, headers["connection"]) == (404, "close")


def test_without_chunks_the_end_of_the_connection_ends_the_body(daemon: RunningDaemon) -> None:
    with Client(daemon) as client:
        client.head("echo", "/bytes/300000", method="GET", version="1.0")
        assert client.status()[1]["connection"] == "close"
        assert len(client.read()) == 300_000
    with Client(daemon) as client:
        client.head("echo", "/bytes/300000", method="HEAD")
        assert client.status()[0] == 200
        client.head("echo", "/next", method="GET")
        assert client.status()[0] == 200


@pytest.mark.parametrize(
    ("plugin", "path"),
    [("probe", "/endless"), ("probe", "/flow-trap"), ("probe", "/flow-unfinished"), ("brief", "/flow-spin")],
)
def test_an_answer_that_goes_wrong_on_its_way_is_broken_off(daemon: RunningDaemon, plugin: str, path: str) -> None:
    with Client(daemon) as client:
        client.head(plugin, path, method="GET")
        assert client.status()[0] == 200
        with pytest.raises((ConnectionError, ValueError)):
            client.parts()
    assert ask(daemon.listen, Exchange("GET", "/fine"), id=plugin).body == b"ok"


@pytest.mark.parametrize(
    ("plugin", "path", "status"),
    [
        ("probe", "/trap", 502),
        ("probe", "/silent", 502),
        ("probe", "/flood-early", 502),
        ("probe", "/flow-early", 200),
        ("brief", "/spin", 504),
        ("brief", "/sleep", 504),
    ],
)
def test_what_goes_wrong_before_is_an_error(daemon: RunningDaemon, plugin: str, path: str, status: int) -> None:
    with Client(daemon) as client:
        client.head(plugin, path, "transfer-encoding: chunked")
        client.chunk(b"a")
        assert client.status()[0] == status
    assert ask(daemon.listen, Exchange("GET", "/fine"), id=plugin).body == b"ok"


def test_a_response_that_was_whole_does_not_wait_for_the_guests_end(daemon: RunningDaemon) -> None:
    with Client(daemon) as client:
        began = time.monotonic()
        client.head("probe", "/spin-after", method="GET")
        assert client.status()[0] == 200
        assert client.parts() == b"whole"
        assert time.monotonic() - began < 1.5


def memory(daemon: RunningDaemon) -> int:
    """Bytes that the daemon holds."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024
