"""TLS on both listeners: half-open clients stall nobody, client certificates, files that change."""

import logging
import socket
import ssl
import time
from contextlib import AbstractContextManager, ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.dataplane.server import DataPlane
from api.dataplane.settings import Settings
from api.followed import Unusable
from api.settings import Address
from api.tls import HTTP_1_AND_2, TlsFiles, server_context
from api.wsgi.server import Bounds
from tests.access.parts import Authority, Clock, Port, admin_port, answer, everything, request
from tests.api.dataplane.parts import Route, RouteDispatcher, echo, eventually
from tests.api.world import Answer, World, plugin


def admin_files(pair: tuple[Path, Path]) -> dict[str, Path]:
    return {"admin_tls_cert": pair[0], "admin_tls_key": pair[1]}


def connect(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    try:
        return context.wrap_socket(plain, server_hostname="localhost", session=session)
    except OSError:
        plain.close()
        raise


def ask(
    port: int, context: ssl.SSLContext, method: str = "GET", path: str = "/sources", body: bytes = b"", **headers: str
) -> Answer:
    with connect(port, context) as connection:
        connection.sendall(request(method, path, body, host="localhost", **headers))
        return answer(connection)


def serial(port: int, context: ssl.SSLContext) -> str:
    with connect(port, context) as connection:
        return str((connection.getpeercert() or {})["serialNumber"])


@pytest.fixture
def pair(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("server")


class Ports:
    """Starts an admin port or a data plane with the same TLS files: what holds for one must hold for the other."""

    def __init__(self, world: World, directory: Path, stack: ExitStack) -> None:
        self._world, self._directory, self._stack = world, directory, stack

    def start(self, kind: str, files: TlsFiles, patience: float = 30.0) -> int:
        if kind == "admin":
            bounds = Bounds(4, idle_seconds=int(patience))
            running: AbstractContextManager[Port] = admin_port(
                self._world, self._directory, bounds=bounds, **admin_files((files.certificate, files.key))
            )
            return self._stack.enter_context(running).number
        settings = Settings(header_timeout=patience)
        plane = DataPlane(
            RouteDispatcher({"echo": Route(echo)}),
            Address("127.0.0.1", 0),
            settings,
            tls=server_context(files, HTTP_1_AND_2),
        )
        plane.start()
        self._stack.callback(plane.stop, 0.0)
        return plane.port


@pytest.fixture
def ports(world: World, tmp_path: Path) -> Any:
    with ExitStack() as stack:
        yield Ports(world, tmp_path, stack)


both = pytest.mark.parametrize("kind", ["admin", "data"])


@both
def test_it_answers_over_tls(ports: Ports, kind: str, pair: tuple[Path, Path], authority: Authority) -> None:
    port = ports.start(kind, TlsFiles(*pair))
    with connect(port, authority.client()) as connection:
        assert connection.version() == "TLSv1.3"
    assert ask(port, authority.client()).status < 500


@pytest.mark.parametrize(("http2", "spoken"), [(True, "HTTP/2"), (False, "HTTP/1.1")])
def test_the_data_plane_speaks_what_the_client_prefers(
    ports: Ports, pair: tuple[Path, Path], authority: Authority, http2: bool, spoken: str
) -> None:
    url = f"https://localhost:{ports.start('data', TlsFiles(*pair))}/x"
    with httpx.Client(http2=http2, verify=authority.client(), timeout=10) as client:
        for _ in range(2):
            answer = client.post(url, headers={"id": "echo"}, content=b"hi")
            assert (answer.http_version, answer.content) == (spoken, b"POST echo /x  2\nhi")


@both
def test_clients_that_never_finish_their_handshake_stall_nobody_and_are_closed(
    ports: Ports, kind: str, pair: tuple[Path, Path], authority: Authority
) -> None:
    port = ports.start(kind, TlsFiles(*pair), patience=2.0)
    outgoing = ssl.MemoryBIO()
    hello = authority.client().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        hello.do_handshake()
    first = outgoing.read()
    with ExitStack() as stack:
        stuck = []
        for said in (b"", first[:1], first[:-1], first, b"\x16\x03\x01") * 10:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            connection.sendall(said)
            stuck.append(connection)
        begun = time.monotonic()
        for _ in range(10):
            assert ask(port, authority.client()).status < 500
        assert time.monotonic() - begun < 1.5
        for connection in stuck:
            everything(connection)  # returns when the server has closed it


@both
def test_plain_http_and_noise_are_turned_away(
    ports: Ports, kind: str, pair: tuple[Path, Path], authority: Authority
) -> None:
    port = ports.start(kind, TlsFiles(*pair))
    for said in (request("GET", "/sources", host="localhost"), b"\x00" * 600, b"\x16\x03\x01\xff\xff" + b"x" * 600):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(said)
            assert b"HTTP" not in everything(connection)
    assert ask(port, authority.client()).status < 500


@both
def test_old_versions_of_tls_are_refused(
    ports: Ports, kind: str, pair: tuple[Path, Path], authority: Authority
) -> None:
    port = ports.start(kind, TlsFiles(*pair))
    context = authority.client()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        connect(port, context)


@both
def test_a_renewed_certificate_is_used_by_the_next_connection(
    ports: Ports, kind: str, pair: tuple[Path, Path], authority: Authority
) -> None:
    port = ports.start(kind, TlsFiles(*pair))
    before = serial(port, authority.client())
    with connect(port, authority.client()) as old:
        authority.issue("renewed", to="server")
        assert serial(port, authority.client()) != before
        old.sendall(request("GET", "/sources", host="localhost"))
        assert answer(old).status < 500


@both
def test_files_that_do_not_fit_together_leave_what_was_before(
    ports: Ports, kind: str, pair: tuple[Path, Path], authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    port = ports.start(kind, TlsFiles(*pair))
    before = serial(port, authority.client())
    other = authority.issue("other")
    with caplog.at_level(logging.WARNING):
        pair[0].write_bytes(other[0].read_bytes())
        assert serial(port, authority.client()) == before
        [warning] = [record for record in caplog.records if record.name == "api.followed"]
        assert str(pair[0]) in warning.reason
    pair[1].write_bytes(other[1].read_bytes())
    assert serial(port, authority.client()) != before


@pytest.mark.parametrize("broken", ["certificate", "key", "client_ca"])
@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_files_that_cannot_be_used_are_named(
    pair: tuple[Path, Path], authority: Authority, broken: str, content: bytes | None
) -> None:
    files = TlsFiles(*pair, authority.file)
    file: Path = getattr(files, broken)
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(Unusable, match=str(file)):
        server_context(files)


# --- client certificates ---------------------------------------------------------------------------------------------


def test_the_data_plane_takes_only_clients_of_its_authority(
    ports: Ports, pair: tuple[Path, Path], authority: Authority, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path, "stranger")
    port = ports.start("data", TlsFiles(*pair, authority.file, client_required=True))
    assert ask(port, authority.client(authority.issue("client"))).status < 500
    expired = authority.issue("late", timedelta(hours=-1))
    for shown in (None, stranger.issue("client2"), expired):
        with pytest.raises(OSError):
            ask(port, authority.client(shown))


def test_an_authority_that_was_replaced_counts_no_more(
    ports: Ports, pair: tuple[Path, Path], authority: Authority, tmp_path: Path
) -> None:
    clients = Authority(tmp_path, "clients")
    client = authority.client(clients.issue("client"))
    port = ports.start("data", TlsFiles(*pair, clients.file, client_required=True))
    with connect(port, client) as connection:
        connection.sendall(request("GET", "/echo", host="localhost"))
        assert answer(connection).status < 500
        session = connection.session
    clients.file.write_bytes(authority.file.read_bytes())
    with pytest.raises(OSError):
        ask(port, client)
    with pytest.raises(OSError), connect(port, client, session) as resumed:
        resumed.sendall(request("GET", "/echo", host="localhost"))
        answer(resumed)


@pytest.fixture
def roles(tmp_path: Path) -> Path:
    file = tmp_path / "tokens.yaml"
    file.write_text(
        "tokens: [{name: ann, role: read, token: reader-token-0123456789}]\n"
        "certificates: [{commonName: ops, role: write}, {commonName: viewer, role: read}]\n"
    )
    return file


def test_a_certificates_subject_has_a_role(
    world: World, tmp_path: Path, pair: tuple[Path, Path], authority: Authority, roles: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    world.files.add(plugin("a"))
    caplog.set_level(logging.INFO, "audit")
    uninstall = ("POST", "/wasm/uninstall", b'{"name": "a"}')
    with admin_port(world, tmp_path, tokens=roles, admin_client_ca=authority.file, **admin_files(pair)) as port:
        ops, viewer, nobody = (authority.client(authority.issue(name)) for name in ("ops", "viewer", "nobody"))
        assert ask(port.number, authority.client()).status == 401
        assert ask(port.number, authority.client(), path="/livez").status == 200
        assert ask(port.number, nobody).status == 403
        assert ask(port.number, viewer).status == 200
        assert ask(port.number, viewer, *uninstall).status == 403
        assert ask(port.number, ops, *uninstall, authorization="Bearer nobody-has-this-one").status == 401
        assert ask(port.number, ops, *uninstall, authorization="Bearer reader-token-0123456789").status == 403
        assert world.files.names == ["a"]
        assert ask(port.number, ops, *uninstall).status == 202
    lines = [record for record in caplog.records if record.name == "audit"]
    assert (lines[-1].who, lines[-1].via) == ("ops", "certificate")


def test_a_certificate_of_another_authority_or_whose_time_is_over_is_refused(
    world: World, tmp_path: Path, pair: tuple[Path, Path], authority: Authority, roles: Path
) -> None:
    stranger = Authority(tmp_path, "stranger")
    with admin_port(world, tmp_path, tokens=roles, admin_client_ca=authority.file, **admin_files(pair)) as port:
        for shown in (stranger.issue("ops"), authority.issue("ops", timedelta(hours=-1), to="late")):
            with pytest.raises(OSError):
                ask(port.number, authority.client(shown))


def test_a_certificate_that_ends_during_a_connection_ends_its_rights(
    world: World, tmp_path: Path, pair: tuple[Path, Path], authority: Authority, roles: Path
) -> None:
    clock = Clock()
    clock.now += timedelta(hours=2)
    files = {**admin_files(pair), "admin_client_ca": authority.file}
    with admin_port(world, tmp_path, clock=clock, tokens=roles, **files) as port:
        refused = ask(port.number, authority.client(authority.issue("ops")))
    assert (refused.status, "expired" in refused.error) == (401, True)


def test_a_header_cannot_stand_for_a_certificate(
    world: World, tmp_path: Path, pair: tuple[Path, Path], authority: Authority, roles: Path
) -> None:
    with admin_port(world, tmp_path, tokens=roles, admin_client_ca=authority.file, **admin_files(pair)) as port:
        forged = {"wasm-reconciler.peer-certificate": "ops", "x_forwarded_client_cert": "Subject=CN=ops"}
        assert ask(port.number, authority.client(), **forged).status == 401


# --- waitress over TLS ------------------------------------------------------------------------------------------------


def test_large_bodies_and_answers_and_many_requests_on_one_connection(
    world: World, tmp_path: Path, pair: tuple[Path, Path], authority: Authority
) -> None:
    with admin_port(world, tmp_path, **admin_files(pair)) as port:
        large = ask(port.number, authority.client(), "POST", "/wasm/uninstall", b'{"name": "' + b"x" * 900_000 + b'"}')
        assert large.status == 404
        assert len(large.body) > 900_000
        with connect(port.number, authority.client()) as connection:
            one = request("GET", "/livez", host="localhost", connection="keep-alive")
            connection.sendall(one * 50 + request("GET", "/livez", host="localhost"))
            assert everything(connection).count(b"HTTP/1.1 200 OK") == 51


def test_a_connection_is_ended_with_a_goodbye(
    world: World, tmp_path: Path, pair: tuple[Path, Path], authority: Authority
) -> None:
    with (
        admin_port(world, tmp_path, **admin_files(pair)) as port,
        socket.create_connection(("127.0.0.1", port.number), timeout=10) as plain,
    ):
        strict = authority.client().wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False)
        with strict:
            strict.sendall(request("GET", "/livez", host="localhost"))
            assert everything(strict).endswith(b"ok")


def test_a_client_that_leaves_in_the_middle_of_its_handshake_is_forgotten(
    world: World, tmp_path: Path, pair: tuple[Path, Path], authority: Authority
) -> None:
    with admin_port(world, tmp_path, bounds=Bounds(2, connections=5), **admin_files(pair)) as port:
        for _ in range(20):
            socket.create_connection(("127.0.0.1", port.number), timeout=10).close()
        eventually(lambda: ask(port.number, authority.client(), path="/livez").status == 200)
