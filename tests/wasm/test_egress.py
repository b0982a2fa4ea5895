"""The HTTP client of guests, against real sockets."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from reconciler.core.addresses import HostPolicy
from reconciler.wasm.egress import (
    EgressBounds,
    EgressDenied,
    EgressFailed,
    EgressRequest,
    EgressResponse,
    PinnedHttpClient,
    SystemResolver,
)

Handler = Callable[[socket.socket], None]


class Server:
    """Answers each connection with a handler, on a thread of its own; counts connections."""

    def __init__(self, handler: Handler, tls: ssl.SSLContext | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._handler = handler
        self._tls = tls
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(20)
        with connection:
            try:
                if self._tls is None:
                    self._handler(connection)
                else:
                    with self._tls.wrap_socket(connection, server_side=True) as secure:
                        self._handler(secure)
            except OSError:
                pass  # the client went away, which some tests want

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(handler: Handler, tls: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(handler, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


class Names:
    """A Resolver with fixed answers, one list for each lookup; the last is repeated."""

    def __init__(self, *answers: tuple[str, ...]) -> None:
        self.answers = list(answers)
        self.lookups = 0

    def resolve(self, host: str, port: int, timeout: float) -> tuple[str, ...]:
        self.lookups += 1
        return self.answers[min(self.lookups, len(self.answers)) - 1]


def read_head(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            raise OSError("closed")
        data += more
    return data


def answer(text: bytes) -> Handler:
    def handler(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(text)

    return handler


def echo(connection: socket.socket) -> None:
    """Answers with the request as it came, body included."""
    data = read_head(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            while len(body) < int(line[15:]):
                body += connection.recv(65536)
    data = head + b"\r\n\r\n" + body
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)


OK = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def get(
    port: int,
    *,
    allowed: list[str] | None = None,
    host: str = "127.0.0.1",
    names: Names | None = None,
    seconds: float = 5,
    tls: ssl.SSLContext | None = None,
    bounds: EgressBounds | None = None,
    **fields: object,
) -> EgressResponse:
    values: dict[str, object] = {"method": "GET", "scheme": "http", "host": host, "port": port, "path": "/"}
    request = EgressRequest(**(values | fields))  # type: ignore[arg-type]
    client = PinnedHttpClient(names or SystemResolver(), tls or ssl.create_default_context(), bounds)
    policy = HostPolicy.parse([f"{host}:{port}"] if allowed is None else allowed)
    return client.send(request, policy, time.monotonic() + seconds)


# What is sent and what comes back


def test_the_answer_comes_back_with_its_headers(serve: Callable[..., Server]) -> None:
    server = serve(answer(b"HTTP/1.1 404 Not Here\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 4\r\n\r\nnope"))

    response = get(server.port)

    assert response == EgressResponse(404, (("x-a", "1"), ("x-a", "2"), ("content-length", "4")), b"nope")


def test_the_request_is_sent_as_it_was_given_with_framing_of_ours(serve: Callable[..., Server]) -> None:
    server = serve(echo)
    headers = (("X-One", "caf\xe9"), ("Host", "evil.test"), ("Content-Length", "999"), ("Transfer-Encoding", "chunked"),
               ("Connection", "keep-alive, x-one"), ("Upgrade", "h2c"))  # fmt: skip

    sent = get(server.port, method="PUT", path="/a%20b?c=d", headers=headers, body=b"body").body.decode("latin-1")

    assert sent.split("\r\n") == [
        "PUT /a%20b?c=d HTTP/1.1", f"host: 127.0.0.1:{server.port}", "x-one: caf\xe9", "connection: close",
        "content-length: 4", "", "body",
    ]  # fmt: skip


def test_trailers_go_out_and_come_back(serve: Callable[..., Server]) -> None:
    seen: list[bytes] = []

    def handler(connection: socket.socket) -> None:
        data = read_head(connection)
        while not data.endswith(b"x-t: 1\r\n\r\n"):
            data += connection.recv(65536)
        seen.append(data)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n")

    response = get(serve(handler).port, method="POST", body=b"abc", trailers=(("x-t", "1"),))

    assert (response.body, response.trailers) == (b"ok", (("x-sum", "7"),))
    assert seen[0].endswith(b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n")


def test_a_body_that_ends_with_the_connection_is_read_to_its_end(serve: Callable[..., Server]) -> None:
    assert get(serve(answer(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 200_000)).port).body == b"x" * 200_000


def test_the_answer_to_head_has_no_body(serve: Callable[..., Server]) -> None:
    server = serve(answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"))

    assert get(server.port, method="HEAD").body == b""


def test_interim_answers_are_passed_over(serve: Callable[..., Server]) -> None:
    server = serve(answer(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"))

    assert get(server.port).status == 204


def test_a_redirect_is_the_guests_to_follow(serve: Callable[..., Server]) -> None:
    target = serve(OK)
    location = f"Location: http://127.0.0.1:{target.port}/".encode()
    server = serve(answer(b"HTTP/1.1 302 Found\r\n" + location + b"\r\nContent-Length: 0\r\n\r\n"))

    assert get(server.port, allowed=["127.0.0.1"]).status == 302
    assert target.connections == 0


def test_an_answer_before_the_whole_request_was_read_is_seen(serve: Callable[..., Server]) -> None:
    def handler(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass

    assert get(serve(handler).port, method="POST", body=b"x" * 3_000_000).status == 413


# What may not be reached


def test_a_host_that_is_not_allowed_is_not_even_resolved() -> None:
    names = Names(("1.1.1.1",))

    with pytest.raises(EgressDenied, match=r"example\.com:80 is not among the allowed hosts"):
        get(80, host="example.com", allowed=["other.com", "example.com:443"], names=names)

    assert names.lookups == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "127.0.0.2", "::1"])
def test_a_name_that_leads_to_this_machine_is_refused(serve: Callable[..., Server], address: str) -> None:
    server = serve(OK)

    with pytest.raises(EgressDenied, match="is a loopback address, and allowedHosts does not name it"):
        get(server.port, host="innocent.test", names=Names((address,)))

    assert server.connections == 0


def test_a_name_and_its_private_address_together_are_allowed(serve: Callable[..., Server]) -> None:
    server = serve(OK)

    response = get(server.port, host="db.test", names=Names(("127.0.0.1",)), allowed=["db.test", "127.0.0.1"])

    assert response.body == b"ok"


def test_localhost_is_allowed_by_its_name_for_its_port_only(serve: Callable[..., Server]) -> None:
    server = serve(OK)

    assert get(server.port, host="localhost", allowed=[f"localhost:{server.port}"]).body == b"ok"
    with pytest.raises(EgressDenied):
        get(server.port, host="localhost", allowed=["localhost:1"])


def test_the_address_that_was_checked_is_the_one_connected_to(serve: Callable[..., Server]) -> None:
    """A second DNS answer cannot change the target: there is one lookup, and no other name resolution."""
    server = serve(OK)
    names = Names(("127.0.0.1",), ("10.255.255.1",))

    assert get(server.port, host="rebind.test", names=names, allowed=["rebind.test", "127.0.0.1"]).body == b"ok"
    assert names.lookups == 1


def test_of_several_addresses_only_permitted_ones_are_tried(serve: Callable[..., Server]) -> None:
    server = serve(OK)
    names = Names(("169.254.169.254", "127.0.0.1"))

    assert get(server.port, host="mixed.test", names=names, allowed=["mixed.test", "127.0.0.1"]).body == b"ok"


def test_an_address_that_does_not_answer_gives_way_to_the_next(serve: Callable[..., Server]) -> None:
    server = serve(OK)
    names = Names(("127.0.0.7", "127.0.0.1"))
    allowed = ["two.test", "127.0.0.7", "127.0.0.1"]

    assert get(server.port, host="two.test", names=names, allowed=allowed).body == b"ok"


def test_a_name_without_addresses_is_denied() -> None:
    with pytest.raises(EgressDenied, match="it has no address"):
        get(80, host="empty.test", names=Names(()))


def test_a_guest_may_not_open_a_tunnel() -> None:
    with pytest.raises(EgressDenied, match="tunnel"):
        get(80, method="CONNECT", path="example.com:443")


# What is malformed


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "/a b"},
        {"path": "/\r\nX-Injected: 1"},
        {"path": ""},
        {"path": "/кни"},
        {"method": "GET /x HTTP/1.1\r\nA: b\r\n"},
        {"headers": (("x", "a\r\ny: b"),)},
        {"headers": (("x y", "a"),)},
        {"headers": ((":path", "/"),)},
        {"headers": (("x", "кни"),)},
        {"scheme": "file"},
    ],
)
def test_a_malformed_request_fails_and_nothing_is_sent(serve: Callable[..., Server], fields: dict[str, object]) -> None:
    server = serve(OK)

    with pytest.raises(EgressFailed):
        get(server.port, **fields)  # type: ignore[arg-type]

    assert server.connections == 0


@pytest.mark.parametrize(
    "text",
    [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", b"HTTP/1.1 200 OK\r\nBad",
     b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"],
)  # fmt: skip
def test_a_malformed_answer_fails(serve: Callable[..., Server], text: bytes) -> None:
    with pytest.raises(EgressFailed, match=r"127\.0\.0\.1"):
        get(serve(answer(text)).port)


# Bounds


def test_a_body_over_the_bound_is_cut_off(serve: Callable[..., Server]) -> None:
    def handler(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)

    with pytest.raises(EgressFailed, match="larger than 100000 bytes"):
        get(serve(handler).port, bounds=EgressBounds(body=100_000))


def test_headers_over_the_bound_are_cut_off(serve: Callable[..., Server]) -> None:
    def handler(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        while True:
            connection.sendall(b"x: " + b"y" * 1000 + b"\r\n")

    with pytest.raises(EgressFailed):
        get(serve(handler).port, bounds=EgressBounds(head=20_000))


def drip(start: bytes, piece: bytes) -> Handler:
    def handler(connection: socket.socket) -> None:
        read_head(connection)
        connection.sendall(start)
        pause = threading.Event()
        while not pause.wait(0.02):
            connection.sendall(piece)

    return handler


@pytest.mark.parametrize(
    "handler",
    [
        drip(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        drip(b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
        drip(b"", b"HTTP/1.1 103 Early\r\n\r\n"),
        drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        lambda connection: [None for _ in iter(lambda: connection.recv(65536), b"")],
    ],
    ids=["body", "headers", "interim", "chunks", "silence"],
)
def test_a_slow_server_is_cut_at_the_deadline(serve: Callable[..., Server], handler: Handler) -> None:
    server = serve(handler)
    start = time.monotonic()

    with pytest.raises(EgressFailed, match="no complete answer in time"):
        get(server.port, seconds=0.3)

    assert 0.25 < time.monotonic() - start < 1.5


def test_a_server_that_does_not_read_is_cut_at_the_deadline(serve: Callable[..., Server]) -> None:
    done = threading.Event()
    server = serve(lambda _: (done.wait(20), None)[1])
    start = time.monotonic()

    with pytest.raises(EgressFailed, match="in time"):
        get(server.port, seconds=0.3, method="POST", body=b"x" * 20_000_000)

    done.set()
    assert time.monotonic() - start < 1.5


def test_a_deadline_that_has_passed_fails_at_once(serve: Callable[..., Server]) -> None:
    server = serve(OK)

    with pytest.raises(EgressFailed, match="in time"):
        get(server.port, seconds=-1)

    assert server.connections == 0


def test_nobody_listens_is_a_failure() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))

        with pytest.raises(EgressFailed, match="refused"):
            get(taken.getsockname()[1])


def test_a_name_that_does_not_exist_is_a_failure() -> None:
    with pytest.raises(EgressFailed, match="a" * 70):
        get(80, host="a" * 70 + ".invalid", allowed=["a" * 70 + ".invalid"])


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and key for good.test, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: it makes the test's certificate")
    directory = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=good.test"
    extra = ["-addext", "subjectAltName=DNS:good.test", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*command.split(), *extra], cwd=directory, check=True, capture_output=True)
    return directory


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    return context


def secure_get(server: Server, host: str, tls: ssl.SSLContext, seconds: float = 5) -> EgressResponse:
    allowed = [host, "127.0.0.1"]
    return get(
        server.port, host=host, names=Names(("127.0.0.1",)), scheme="https", tls=tls, allowed=allowed, seconds=seconds
    )


def test_https_asks_for_the_name_that_was_allowed(serve: Callable[..., Server], certificate: Path) -> None:
    server = serve(echo, server_tls(certificate))
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))

    assert f"host: good.test:{server.port}" in secure_get(server, "good.test", trusting).body.decode()


def test_a_certificate_for_another_name_is_refused(serve: Callable[..., Server], certificate: Path) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))

    with pytest.raises(EgressFailed, match=r"not valid for .bad\.test."):
        secure_get(serve(echo, server_tls(certificate)), "bad.test", trusting)


def test_a_certificate_that_nobody_vouches_for_is_refused(serve: Callable[..., Server], certificate: Path) -> None:
    with pytest.raises(EgressFailed, match="self-signed certificate"):
        secure_get(serve(echo, server_tls(certificate)), "good.test", ssl.create_default_context())


def test_a_server_that_never_ends_its_handshake_is_cut_at_the_deadline(serve: Callable[..., Server]) -> None:
    def silent(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    server = serve(silent)
    start = time.monotonic()

    with pytest.raises(EgressFailed, match="in time"):
        secure_get(server, "good.test", ssl.create_default_context(), seconds=0.3)

    assert time.monotonic() - start < 1.5
