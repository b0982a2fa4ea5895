"""Slow, half-open and lying clients of the admin port: others are answered, and nothing slips in behind a request."""

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from api.wsgi.server import Bounds
from tests.access.parts import Port, admin_port, everything, request
from tests.api.world import World, plugin

READ = request("GET", "/livez", host="localhost")
UNINSTALL = b'{"name": "a"}'
HIDDEN = request("POST", "/wasm/uninstall", UNINSTALL, host="localhost")


@pytest.fixture
def port(world: World, tmp_path: Path) -> Iterator[Port]:
    world.files.add(plugin("a"))
    with admin_port(world, tmp_path, bounds=Bounds(4, connections=20, request_seconds=1.0, idle_seconds=2)) as running:
        yield running


def send(port: Port, *pieces: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port.number), timeout=10) as connection:
        for piece in pieces:
            connection.sendall(piece)
        return everything(connection)


def status_lines(answer: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d{3}) ", answer)]


# --- slow ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET /livez HT",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ",
        b"POST /wasm/uninstall HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
        b"POST /wasm/uninstall HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    ],
    ids=["silent", "in the first line", "in a header", "in a body", "in a chunk"],
)
def test_clients_that_stop_halfway_stall_nobody_and_are_closed(port: Port, said: bytes) -> None:
    with ExitStack() as stack:
        stuck = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port.number), timeout=10)) for _ in range(15)
        ]
        for connection in stuck:
            connection.sendall(said)
        begun = time.monotonic()
        assert [port.ask("GET", "/livez").status for _ in range(5)] == [200] * 5
        assert time.monotonic() - begun < 1
        for connection in stuck:
            assert 200 not in status_lines(everything(connection))


@pytest.mark.parametrize(
    ("head", "drop"),
    [
        (b"GET /livez HTTP/1.1\r\nHost: localhost\r\n", b"X: y\r\n"),
        (b"POST /wasm/uninstall HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n", b"x"),
    ],
    ids=["headers", "body"],
)
def test_a_client_that_trickles_is_closed_although_it_is_never_silent(port: Port, head: bytes, drop: bytes) -> None:
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port.number), timeout=0.05) as connection:
        connection.sendall(head)
        closed = False
        while not closed and time.monotonic() - begun < 8:
            try:
                connection.sendall(drop)
                closed = connection.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                closed = True
    assert closed
    assert time.monotonic() - begun < 5


def test_more_connections_than_there_is_room_for_do_not_keep_a_new_one_out(port: Port) -> None:
    with ExitStack() as stack:
        for _ in range(60):
            stack.enter_context(socket.create_connection(("127.0.0.1", port.number), timeout=10))
        begun = time.monotonic()
        assert [port.ask("GET", "/livez").status for _ in range(5)] == [200] * 5
        assert time.monotonic() - begun < 1


def test_the_connection_that_was_silent_longest_makes_room(port: Port) -> None:
    with ExitStack() as stack:
        first = stack.enter_context(socket.create_connection(("127.0.0.1", port.number), timeout=10))
        others = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port.number), timeout=10)) for _ in range(20)
        ]
        assert everything(first) == b""
        others[-1].sendall(READ)
        assert status_lines(everything(others[-1])) == [200]


def test_a_client_that_takes_nothing_of_its_answers_stalls_nobody(port: Port) -> None:
    with ExitStack() as stack:
        for _ in range(8):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port.number), timeout=1))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            try:
                connection.sendall(request("GET", "/sources", host="localhost", connection="keep-alive") * 5000)
            except TimeoutError:
                pass
            begun = time.monotonic()
            assert port.ask("GET", "/livez").status == 200
            assert time.monotonic() - begun < 1


def test_out_of_band_data_does_not_make_the_loop_spin(port: Port, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_connection(("127.0.0.1", port.number), timeout=10) as connection:
        connection.send(b"!", socket.MSG_OOB)
        begun = time.monotonic()
        everything(connection)
        assert time.monotonic() - begun < 1
    assert len(caplog.records) < 5
    assert port.ask("GET", "/livez").status == 200


def test_bodies_of_many_clients_are_bounded_together(world: World, tmp_path: Path) -> None:
    bounds = Bounds(4, all_body_bytes=2**20, request_seconds=20.0)
    with admin_port(world, tmp_path, bounds=bounds) as port, ExitStack() as stack:
        head = f"POST /wasm/uninstall HTTP/1.1\r\nHost: localhost\r\nContent-Length: {2**20}\r\n\r\n".encode()
        cut = 0
        for _ in range(5):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port.number), timeout=0.5))
            try:
                connection.sendall(head + b"x" * 500_000)
                cut += connection.recv(1) == b""
            except TimeoutError:
                pass  # it waits for the rest
            except OSError:
                cut += 1
        assert cut == 3
        assert port.ask("GET", "/livez").status == 200


# --- lying -----------------------------------------------------------------------------------------------------------


def smuggler(*headers: str, version: str = "1.1", body: bytes = b"0\r\n\r\n") -> bytes:
    lines = [f"POST /livez HTTP/{version}", "Host: localhost", "Connection: keep-alive", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


@pytest.mark.parametrize(
    "sent",
    [
        smuggler("Content-Length: 5", "Transfer-Encoding: chunked"),
        smuggler("Transfer-Encoding: chunked", "Content-Length: 5"),
        smuggler("Transfer-Encoding: chunked", "Content-Length: 0"),
        smuggler("Content-Length: 0", "Content-Length: 5"),
        smuggler("Content-Length: 5", "Content-Length: 5"),
        smuggler("Content-Length: 5, 5"),
        smuggler("Content-Length: +5"),
        smuggler("Content-Length: -1"),
        smuggler("Content-Length: 0x5"),
        smuggler("Content-Length: 5 0"),
        smuggler("Content-Length: " + "9" * 5000),
        smuggler("Content-Length:"),
        smuggler("Transfer-Encoding: chunked, chunked"),
        smuggler("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        smuggler("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
        smuggler("Transfer-Encoding: identity"),
        smuggler("Transfer-Encoding: xchunked"),
        smuggler("Transfer-Encoding: gzip, chunked"),
        smuggler("Transfer-Encoding:"),
        smuggler("Transfer-Encoding : chunked"),
        smuggler("Transfer-Encoding:\x0bchunked"),
        smuggler("Transfer-Encoding: \x85chunked"),
        smuggler("Transfer-Encoding:\r\n chunked"),
        smuggler("X: y\r\n Transfer-Encoding: chunked"),
        smuggler("X: y\nTransfer-Encoding: chunked"),
        smuggler("X: y\rTransfer-Encoding: chunked"),
        smuggler("X: \x00"),
        smuggler(" Transfer-Encoding: chunked"),
        smuggler("Transfer-Encoding: chunked", version="1.0"),
        smuggler("Content-Length: 5", "Transfer-Encoding: chunked", version="1.0"),
        smuggler("Transfer-Encoding: chunked", version="2.0"),
        smuggler("Transfer-Encoding: chunked", body=b"0;\n\r\n\r\n"),
        smuggler("Transfer-Encoding: chunked", body=b"0x0\r\n\r\n"),
        smuggler("Transfer-Encoding: chunked", body=b"-0\r\n\r\n"),
        smuggler("Transfer-Encoding: chunked", body=b"+0\r\n\r\n"),
        smuggler("Transfer-Encoding: chunked", body=b"1\r\nZZ0\r\n\r\n"),
        smuggler("Transfer-Encoding: chunked", body=b"\r\n0\r\n\r\n"),
        smuggler("Transfer-Encoding: chunked", body=b"1\nZ\n0\n\n"),
        smuggler("Transfer-Encoding: chunked", body=b"0\n\r\n\r\n"),
        smuggler("Transfer-Encoding: chunked", body=b"0\r\nX: y\n\r\n"),
        smuggler("Transfer-Encoding: chunked", body=b"000000000\r\n\r\n"),
        smuggler("Transfer-Encoding: chunked", body=b"0;a\x00\r\n\r\n"),
        smuggler("Transfer-Encoding: chunked", body=b"0;" + b"a" * 5000 + b"\r\n\r\n"),
        smuggler("Transfer-Encoding: chunked", body=b"0\r\n" + b"X: y\r\n" * 40 + b"\r\n"),
        b"POST /livez\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nConnection: keep-alive\r\n\r\n",
        b"POST  /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /livez HTTP/1.1\nHost: localhost\n\n",
    ],
)
def test_a_request_whose_end_can_be_misread_is_refused_and_nothing_behind_it_is_done(
    port: Port, world: World, sent: bytes
) -> None:
    answers = status_lines(send(port, sent, HIDDEN))
    assert len(answers) == 1, answers
    assert answers[0] in (400, 413)
    assert world.files.names == ["a"]


def test_what_follows_a_whole_request_is_the_next_request(port: Port, world: World) -> None:
    chunked = smuggler("Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\n\r\n")
    assert status_lines(send(port, chunked, HIDDEN)) == [405, 202]
    assert world.files.names == []


def test_a_chunked_body_may_come_in_any_pieces(port: Port, world: World) -> None:
    body = b'6;x=y\r\n{"name\r\n8\r\n": "a"}\n\r\n0\r\nTrailer: t\r\n\r\n'
    head = b"POST /wasm/uninstall HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port.number), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head + body:
            connection.send(bytes([byte]))
        connection.sendall(READ)
        assert status_lines(everything(connection)) == [202, 200]
    assert world.files.names == []


def test_a_request_in_the_body_of_another_is_not_done(port: Port, world: World) -> None:
    outer = request("POST", "/wasm/uninstall", HIDDEN, host="localhost")
    assert status_lines(send(port, outer)) == [400]
    assert world.files.names == ["a"]


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 40_000 + b"\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 7000 + b"\r\n",
        b"GET /" + b"y" * 40_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"x" * 40_000,
    ],
    ids=["one long header", "many headers", "a long target", "no line end"],
)
def test_oversized_headers_are_431_and_nothing_behind_them_is_done(port: Port, world: World, sent: bytes) -> None:
    assert 200 not in status_lines(send(port, sent))
    with socket.create_connection(("127.0.0.1", port.number), timeout=10) as connection:
        connection.sendall(sent[:33_000])
        assert status_lines(everything(connection)) == [431]
    assert world.files.names == ["a"]
    assert port.ask("GET", "/livez").status == 200


def test_an_answer_is_not_lost_to_what_the_client_still_sends(port: Port) -> None:
    head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: "
    for _ in range(5):
        assert status_lines(send(port, head, *[b"y" * 20_000] * 50)) == [431]


def test_a_client_that_sends_on_after_its_answer_is_closed(port: Port) -> None:
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port.number), timeout=10) as connection, pytest.raises(OSError):
        connection.sendall(b"x" * 40_000)
        while time.monotonic() - begun < 8:
            connection.sendall(b"x" * 1000)
    assert time.monotonic() - begun < 6


def test_what_is_no_request_is_refused_in_json(port: Port) -> None:
    head, _, body = send(port, b"GET /livez HTTP/1.1\r\n\r\n").partition(b"\r\n\r\n")
    assert b"Content-Type: application/json" in head
    assert body == b'{"error": "there must be one Host header"}'
    assert b"waitress" not in head + body


def test_an_http_1_0_client_without_a_host_is_answered(port: Port) -> None:
    assert send(port, b"GET /livez HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200 OK")
