"""HTTP/1.x over real sockets: what is read, what is refused, what goes out."""

import json
import socket
import threading
import time

import pytest

from api.dataplane.server import DataPlane
from api.dataplane.settings import Settings
from reconciler.wasm.kind import Request, Response
from tests.api.dataplane.parts import DEADLINE, Answered, Gate, RawClient, Route, echo, eventually

GET = b"GET / HTTP/1.1\r\nHost: h\r\nid: echo\r\n\r\n"


def ask(plane: DataPlane, raw: bytes, **how: bool) -> Answered:
    with RawClient(plane.port) as client:
        client.send(raw)
        return client.answer(**how)


def is_reset(client: RawClient) -> bool:
    """Whether the server holds the connection no more, though we have not closed ours."""
    try:
        client.send(b"x")
    except OSError:
        return True
    return False


def error_of(answered: Answered) -> str:
    assert answered.headers["content-type"] == "application/json"
    return json.loads(answered.body)["error"]


@pytest.mark.parametrize(
    ("raw", "seen"),
    [
        (b"GET /?name=book1 HTTP/1.1\r\nHost: h\r\nid: echo\r\n\r\n", "GET echo / name=book1 0"),
        (b"GET /a%20b/c?d?e HTTP/1.1\r\nHost: h\r\nID:echo \t\r\n\r\n", "GET echo /a%20b/c d?e 0"),
        (b"GET /invoke/echo HTTP/1.1\r\nHost: h\r\n\r\n", "GET echo /  0"),
        (b"GET /invoke/echo?a=b HTTP/1.1\r\nHost: h\r\n\r\n", "GET echo / a=b 0"),
        (b"GET /invoke/ech%6f/x/y%2Fz HTTP/1.1\r\nHost: h\r\n\r\n", "GET echo /x/y%2Fz  0"),
        (b"GET /invoke/a%20b%2F%C3%BC/x HTTP/1.1\r\nHost: h\r\n\r\n", "GET a b/ü /x  0"),
        ("GET / HTTP/1.1\r\nHost: h\r\nid: a b/ü\r\n\r\n".encode(), "GET a b/ü /  0"),
        (b"GET /invoke/other/x HTTP/1.1\r\nHost: h\r\nid: echo\r\n\r\n", "GET echo /invoke/other/x  0"),
        (b"GET http://h:80/invoke/echo/x?y HTTP/1.1\r\nHost: h\r\n\r\n", "GET echo /x y 0"),
        (b"GET http://h?y HTTP/1.1\r\nHost: h\r\nid: echo\r\n\r\n", "GET echo / y 0"),
        (b"OPTIONS * HTTP/1.1\r\nHost: h\r\nid: echo\r\n\r\n", "OPTIONS echo /  0"),
        (b"DELETE /x HTTP/1.1\r\nHost: h\r\nid: echo\r\n\r\n", "DELETE echo /x  0"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nid: echo\r\nContent-Length: 3\r\n\r\nabc", "POST echo /  3"),
        (
            b"POST / HTTP/1.1\r\nHost: h\r\nid: echo\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1;x=y\r\na\r\n2\r\nbc\r\n0\r\nid: other\r\n\r\n",
            "POST echo /  3",
        ),
        (b"GET / HTTP/1.0\r\nid: echo\r\n\r\n", "GET echo /  0"),
    ],
)
def test_a_request_reaches_the_guest_of_its_route(plane: DataPlane, raw: bytes, seen: str) -> None:
    answered = ask(plane, raw)
    assert (answered.status, answered.body.split(b"\n")[0].decode()) == (200, seen)


def test_a_request_in_single_bytes_is_the_same_request(plane: DataPlane) -> None:
    with RawClient(plane.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in b"POST /p?q HTTP/1.1\r\nHost: h\r\nid: echo\r\nContent-Length: 2\r\n\r\nok":
            client.send(bytes([byte]))
        assert client.answer().body == b"POST echo /p q 2\nok"


def test_the_guest_sees_headers_in_order_and_where_the_request_came_from(start) -> None:
    seen: list[Request] = []
    plane = start({"r": Route(lambda request: seen.append(request) or Response(204))})
    with RawClient(plane.port) as client:
        client.send(
            b"GET / HTTP/1.1\r\nHost: shop:8\r\nID: r\r\nX-A: 1\r\n"
            b"Cookie: a\r\nx-a: 2\xfc \r\nX-Request-Id: q-1\r\n\r\n"
        )
        answered = client.answer()
        host, port = client.socket.getsockname()
    assert (answered.status, answered.headers["x-request-id"]) == (204, "q-1")
    assert "content-length" not in answered.headers
    assert seen == [
        Request(
            route="r",
            headers=[
                ("host", "shop:8"),
                ("id", "r"),
                ("x-a", "1"),
                ("cookie", "a"),
                ("x-a", "2\xfc"),
                ("x-request-id", "q-1"),
            ],
            authority="shop:8",
            remote=f"{host}:{port}",
            request_id="q-1",
        )
    ]


@pytest.mark.parametrize("ident", ["", "x" * 129, "a b"])
def test_a_request_id_is_made_where_the_client_sends_none_that_is_sane(plane: DataPlane, ident: str) -> None:
    raw = GET[:-2] + f"x-request-id: {ident}\r\n\r\n".encode()
    made = [ask(plane, raw).headers["x-request-id"] for _ in range(2)]
    assert len(set(made)) == 2
    assert all(len(one) == 16 and int(one, 16) for one in made)


def test_a_connection_is_kept_and_pipelined_requests_are_answered_in_order(plane: DataPlane) -> None:
    many = 2000
    with RawClient(plane.port) as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: h\r\nid: echo\r\n\r\n" % number for number in range(many)))
        for number in range(many):
            assert client.answer().body == b"GET echo /%d  0\n" % number


def test_a_pipelining_client_is_not_read_while_its_first_request_is_under_way(start) -> None:
    gate = Gate()
    plane = start({"slow": Route(gate), "echo": Route(echo)})
    with RawClient(plane.port) as client:
        client.send(GET.replace(b"echo", b"slow"))
        eventually(lambda: gate.entered == 1)
        client.socket.settimeout(0.2)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 200 << 20:
                sent += client.socket.send(GET * 1000)
        assert sent < 50 << 20, "the kernel's buffers are all that fills"
        client.socket.settimeout(DEADLINE)
        gate.opened.set()
        assert client.answer().body == b"slow"
        for _ in range(100):
            assert client.answer().status == 200


@pytest.mark.parametrize(
    ("version", "header", "kept"),
    [
        (b"1.1", b"", True),
        (b"1.1", b"Connection: close\r\n", False),
        (b"1.0", b"", False),
        (b"1.0", b"Connection: keep-alive\r\n", True),
    ],
)
def test_the_client_says_whether_the_connection_is_kept(
    plane: DataPlane, version: bytes, header: bytes, kept: bool
) -> None:
    raw = b"GET / HTTP/%s\r\nHost: h\r\nid: echo\r\n%s\r\n" % (version, header)
    with RawClient(plane.port) as client:
        client.send(raw)
        answered = client.answer()
        if kept:
            assert answered.headers.get("connection", "keep-alive") == "keep-alive"
            client.send(raw)
            assert client.answer().status == 200
        else:
            assert answered.headers["connection"] == "close"
            assert client.at_end()


def test_head_gets_the_head_alone(plane: DataPlane) -> None:
    with RawClient(plane.port) as client:
        client.send(b"HEAD / HTTP/1.1\r\nHost: h\r\nid: echo\r\n\r\n" + b"HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + GET)
        first = client.answer(bodiless=True)
        assert (first.status, int(first.headers["content-length"])) == (200, len(b"HEAD echo /  0\n"))
        assert client.answer(bodiless=True).status == 404
        assert client.answer().body == b"GET echo /  0\n"


def test_an_upgrade_is_ignored_and_the_connection_goes_on(plane: DataPlane) -> None:
    with RawClient(plane.port) as client:
        client.send(GET[:-2] + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n" + GET)
        assert [client.answer().status, client.answer().status] == [200, 200]


def test_a_client_that_expects_it_is_told_to_go_on(plane: DataPlane) -> None:
    with RawClient(plane.port) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: h\r\nid: echo\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert client.answer().raw_head == b"HTTP/1.1 100 Continue"
        client.send(b"abc")
        assert client.answer().body == b"POST echo /  3\nabc"


def test_go_on_comes_after_the_answer_that_is_due_before(plane: DataPlane) -> None:
    with RawClient(plane.port) as client:
        client.send(
            GET + b"POST / HTTP/1.1\r\nHost: h\r\nid: echo\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
        )
        assert [client.answer().status, client.answer().status] == [200, 100]


def test_go_on_is_not_said_when_the_body_is_there(plane: DataPlane) -> None:
    with RawClient(plane.port) as client:
        head = b"POST / HTTP/1.1\r\nHost: h\r\nid: echo\r\nExpect: 100-continue\r\n"
        client.send(head + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + head + b"Content-Length: 0\r\n\r\n" + GET)
        assert [client.answer().status for _ in range(3)] == [200, 200, 200]


POST = b"POST / HTTP/1.1\r\nHost: h\r\nid: echo\r\n"


@pytest.mark.parametrize(
    ("status", "raw"),
    [
        pytest.param(
            400, POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="length and coding"
        ),
        pytest.param(
            400, POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", id="coding and length"
        ),
        pytest.param(400, POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc", id="two lengths"),
        pytest.param(400, POST + b"Content-Length: 3, 4\r\n\r\nabc", id="length list"),
        pytest.param(400, POST + b"Content-Length: +3\r\n\r\nabc", id="signed length"),
        pytest.param(400, POST + b"Content-Length: -3\r\n\r\nabc", id="negative length"),
        pytest.param(400, POST + b"Content-Length: 0x3\r\n\r\nabc", id="hexadecimal length"),
        pytest.param(400, POST + b"Content-Length: 99999999999999999999\r\n\r\n", id="length overflow"),
        pytest.param(400, POST + b"Content-Length: \r\n\r\n", id="empty length"),
        pytest.param(501, POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="unknown coding"),
        pytest.param(400, POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", id="chunked not last"),
        pytest.param(501, POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="coding we cannot undo"),
        pytest.param(
            400, POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="two codings"
        ),
        pytest.param(400, POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", id="space before colon"),
        pytest.param(400, POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n", id="vertical tab"),
        pytest.param(
            400, b"POST / HTTP/1.0\r\nid: echo\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="coding in HTTP/1.0"
        ),
        pytest.param(
            400, POST + b"Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", id="bare LF after chunk size"
        ),
        pytest.param(400, POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", id="chunk too long"),
        pytest.param(400, POST + b"Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n", id="negative chunk"),
        pytest.param(400, POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", id="chunk overflow"),
        pytest.param(400, b"GET / HTTP/1.1\nHost: h\nid: echo\n\n", id="bare LF"),
        pytest.param(400, b"GET / HTTP/1.1\r\nHost: h\r\nid: echo\nX: y\r\n\r\n", id="bare LF in headers"),
        pytest.param(400, b"GET / HTTP/1.1\r\nHost: h\r\nid: echo\rX: y\r\n\r\n", id="bare CR"),
        pytest.param(400, b"GET / HTTP/1.1\r\nHost: h\r\nid: ec\r\n ho\r\n\r\n", id="folded header"),
        pytest.param(400, b"GET / HTTP/1.1\r\n Host: h\r\nid: echo\r\n\r\n", id="space before first header"),
        pytest.param(400, b"GET / HTTP/1.1\r\nHost: h\r\nid: ec\x00ho\r\n\r\n", id="NUL in value"),
        pytest.param(400, b"GET / HTTP/1.1\r\nHost: h\r\nid: ec\x7fho\r\n\r\n", id="DEL in value"),
        pytest.param(400, b"GET / HTTP/1.1\r\nHost: h\r\ni d: echo\r\n\r\n", id="space in name"),
        pytest.param(400, b"GET / HTTP/1.1\r\nHost: h\r\n: echo\r\n\r\n", id="no name"),
        pytest.param(400, b"GET / HTTP/1.1\r\nid: echo\r\n\r\n", id="no host"),
        pytest.param(400, b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\nid: echo\r\n\r\n", id="two hosts"),
        pytest.param(400, b"GET / HTTP/1.1\r\nHost: h\r\nid: echo\r\nid: echo\r\n\r\n", id="two ids"),
        pytest.param(400, b"GET /\xff HTTP/1.1\r\nHost: h\r\nid: echo\r\n\r\n", id="raw byte in target"),
        pytest.param(400, b"GET echo HTTP/1.1\r\nHost: h\r\nid: echo\r\n\r\n", id="relative target"),
        pytest.param(505, b"GET /\r\n\r\n", id="HTTP/0.9"),
        pytest.param(505, b"GET / HTTP/2.0\r\nHost: h\r\nid: echo\r\n\r\n", id="HTTP/2.0 by name"),
        pytest.param(400, b"GET / HTTP/1.7\r\nHost: h\r\nid: echo\r\n\r\n", id="HTTP/1.7"),
        pytest.param(400, b"NONSENSE / HTTP/1.1\r\nHost: h\r\nid: echo\r\n\r\n", id="unknown method"),
        pytest.param(400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(501, b"CONNECT h:80 HTTP/1.1\r\nHost: h\r\nid: echo\r\n\r\n", id="CONNECT"),
        pytest.param(417, POST + b"Content-Length: 3\r\nExpect: wonders\r\n\r\n", id="expectation"),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused_and_nothing_after_it_is_read(
    plane: DataPlane, status: int, raw: bytes
) -> None:
    with RawClient(plane.port) as client:
        client.send(raw + GET)
        answered = client.answer()
        assert answered.status == status, answered
        assert error_of(answered)
        assert answered.headers["connection"] == "close"
        assert client.at_end()


@pytest.mark.parametrize(
    ("status", "raw"),
    [
        pytest.param(404, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", id="no id"),
        pytest.param(404, b"GET / HTTP/1.1\r\nHost: h\r\nid:\r\n\r\n", id="empty id"),
        pytest.param(404, b"GET /invoke/ HTTP/1.1\r\nHost: h\r\n\r\n", id="empty route"),
        pytest.param(404, b"GET /invoke//x HTTP/1.1\r\nHost: h\r\n\r\n", id="empty route with rest"),
        pytest.param(400, b"GET /invoke/%FF HTTP/1.1\r\nHost: h\r\n\r\n", id="route not UTF-8"),
        pytest.param(400, b"GET /#x HTTP/1.1\r\nHost: h\r\nid: echo\r\n\r\n", id="fragment"),
        pytest.param(404, b"GET / HTTP/1.1\r\nHost: h\r\nid: nobody\r\n\r\n", id="unknown route"),
    ],
)
def test_a_request_for_no_route_is_told_so_and_the_connection_goes_on(
    plane: DataPlane, status: int, raw: bytes
) -> None:
    with RawClient(plane.port) as client:
        client.send(raw + GET)
        refused = client.answer()
        assert refused.status == status
        assert "id: ROUTE" in error_of(refused) or "nobody" in error_of(refused) or status == 400
        assert client.answer().status == 200


def test_a_body_is_bounded_by_its_route_before_it_is_read(start) -> None:
    plane = start({"echo": Route(echo, request_bytes=10)})
    for length in (11, 1 << 40):
        with RawClient(plane.port) as client:
            client.send(POST + b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % length)
            answered = client.answer()
            assert (answered.status, "10 bytes" in error_of(answered)) == (413, True)
            assert client.at_end()
    assert ask(plane, POST + b"Content-Length: 10\r\n\r\n0123456789").status == 200


def test_a_chunked_body_is_counted_as_it_comes(start) -> None:
    plane = start({"echo": Route(echo, request_bytes=100_000)})
    with RawClient(plane.port) as client:
        client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n" + b"ffff\r\n")
        client.send(b"x" * 0xFFFF)
        assert client.answer().status == 413
    chunks = b"".join(b"1\r\nx\r\n" for _ in range(100_000)) + b"0\r\n\r\n"
    assert ask(plane, POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks).body.endswith(b"x" * 100_000)


def test_the_client_of_a_refused_upload_gets_the_answer_and_no_reset(start) -> None:
    plane = start({"echo": Route(echo, request_bytes=10)})
    with RawClient(plane.port) as client:
        client.send(POST + b"Content-Length: 3000000\r\n\r\n")
        client.send(b"x" * 3_000_000)
        assert client.answer().status == 413


@pytest.mark.parametrize(
    ("status", "raw"),
    [
        pytest.param(414, b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: h\r\nid: echo\r\n\r\n", id="long target"),
        pytest.param(414, b"GET /" + b"x" * 1_000_000, id="endless target"),
        pytest.param(431, GET[:-2] + b"X: y\r\n" * 101 + b"\r\n", id="many headers"),
        pytest.param(431, GET[:-2] + b"X: " + b"y" * 70_000 + b"\r\n\r\n", id="large header"),
        pytest.param(431, GET[:-2] + b"X: " + b"y" * 1_000_000, id="endless header"),
        pytest.param(431, GET[:-2] + b"y" * 1_000_000, id="endless name"),
        pytest.param(
            400, POST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"y" * 1_000_000, id="endless chunk extension"
        ),
        pytest.param(
            400,
            POST + b"Transfer-Encoding: chunked\r\n\r\n" + (b"1;" + b"y" * 300 + b"\r\nx\r\n") * 3000,
            id="more framing than content",
        ),
        pytest.param(
            431, POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 100_000, id="endless trailers"
        ),
    ],
)
def test_what_has_no_end_is_refused(plane: DataPlane, status: int, raw: bytes) -> None:
    with RawClient(plane.port) as client:
        client.send(raw)
        assert client.answer().status == status


@pytest.mark.parametrize(
    "response",
    [
        Response(200, [("x", "a\r\nset-cookie: b")]),
        Response(200, [("x", "a\r\nset-cookie\0b")]),
        Response(200, [("x", "a\nb")]),
        Response(200, [("x", "a\0b")]),
        Response(200, [("x: y\r\nset-cookie", "b")]),
        Response(200, [("transfer-encoding: chunked", "x")]),
        Response(200, [("content-length\0", "3")]),
        Response(200, [("x y", "b")]),
        Response(200, [("", "b")]),
        Response(200, [("x", "snow \u2603")]),
        Response(200, [("x", "y" * 70_000)]),
        Response(100),
        Response(101),
        Response(0),
        Response(-200),
        Response(600),
        Response(99999),
    ],
    ids=repr,
)
def test_a_guests_answer_that_could_mislead_the_client_is_a_502(start, response: Response) -> None:
    plane = start({"r": Route(lambda request: response)})
    answered = ask(plane, b"GET /invoke/r HTTP/1.1\r\nHost: h\r\n\r\n")
    told = json.loads(answered.body)
    assert (answered.status, told["plugin"], told["reason"]) == (502, "plugin-r", "BadResponse")
    assert "set-cookie" not in answered.headers


def test_headers_of_one_hop_and_headers_of_ours_are_not_the_guests_to_say(start) -> None:
    mine = [
        "Connection",
        "Keep-Alive",
        "Transfer-Encoding",
        "Upgrade",
        "Content-Length",
        "Server",
        "Date",
        "X-Request-Id",
        "TE",
    ]
    response = Response(201, [*((name, "7") for name in mine), ("X-Kept", "ü\xff"), ("Set-Cookie", "a=b")], b"abc")
    plane = start({"r": Route(lambda request: response)})
    answered = ask(plane, b"GET /invoke/r HTTP/1.1\r\nHost: h\r\nx-request-id: q\r\n\r\n")
    date = answered.headers.pop("date")
    assert date.endswith(" GMT")
    assert answered.status == 201
    assert answered.headers == {
        "x-kept": "ü\xff",
        "set-cookie": "a=b",
        "content-length": "3",
        "server": "wasm-reconciler",
        "x-request-id": "q",
    }


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_body_has_none(start, status: int) -> None:
    plane = start({"r": Route(lambda request: Response(status, [], b"abc")), "echo": Route(echo)})
    with RawClient(plane.port) as client:
        client.send(b"GET /invoke/r HTTP/1.1\r\nHost: h\r\n\r\n" + GET)
        answered = client.answer()
        assert (answered.status, "content-length" in answered.headers) == (status, False)
        assert client.answer().body == b"GET echo /  0\n"


def test_a_client_that_ends_its_side_still_gets_its_answer(start) -> None:
    gate = Gate()
    plane = start({"slow": Route(gate)})
    with RawClient(plane.port) as client:
        client.send(GET.replace(b"echo", b"slow"))
        client.socket.shutdown(socket.SHUT_WR)
        eventually(lambda: gate.entered == 1)
        gate.opened.set()
        assert client.answer().body == b"slow"
        assert client.at_end()


def test_slow_heads_and_bodies_and_idle_connections_are_ended(start) -> None:
    quick = Settings(header_timeout=0.1, body_timeout=0.1, keep_alive_timeout=0.1, sweep=0.02)
    plane = start({"echo": Route(echo)}, quick)
    with RawClient(plane.port) as head, RawClient(plane.port) as body, RawClient(plane.port) as idle:
        head.send(GET[:-2])
        body.send(POST + b"Content-Length: 3\r\n\r\na")
        idle.send(GET)
        assert idle.answer().status == 200
        assert (head.answer().status, body.answer().status) == (408, 408)
        assert head.at_end()
        assert body.at_end()
        assert idle.at_end()
    with RawClient(plane.port) as silent:
        assert silent.at_end()


def test_a_client_that_does_not_read_is_given_up_and_no_further_guest_runs_for_it(start) -> None:
    calls: list[Request] = []
    large = Response(200, [], b"x" * (32 << 20))
    plane = start(
        {"r": Route(lambda request: calls.append(request) or large, inline=True)},
        Settings(write_timeout=0.1, sweep=0.02),
    )
    with RawClient(plane.port) as client:
        client.send(b"GET /invoke/r HTTP/1.1\r\nHost: h\r\n\r\n" * 100)
        eventually(lambda: len(calls) > 0)
        eventually(lambda: plane.open_connections == 0)
        assert len(calls) == 1


def test_a_client_that_reads_slowly_gets_everything(start) -> None:
    large = Response(200, [], b"x" * (16 << 20))
    plane = start({"r": Route(lambda request: large)}, Settings(write_timeout=0.25, sweep=0.02))
    with RawClient(plane.port) as client:
        client.send(b"GET /invoke/r HTTP/1.1\r\nHost: h\r\n\r\n")
        taken, end, tick = 0, time.monotonic() + 0.8, threading.Event()
        while taken < 16 << 20:
            data = client.socket.recv(128 * 1024)
            assert data, f"given up after {taken} bytes"
            taken += len(data)
            if time.monotonic() < end:
                tick.wait(0.03)
                assert taken < 10 << 20
        assert plane.open_connections == 1


def test_more_connections_than_may_be_are_told_to_come_again(start) -> None:
    plane = start({"echo": Route(echo)}, Settings(connections=2, linger=0.05))
    with RawClient(plane.port) as first, RawClient(plane.port) as second, RawClient(plane.port) as third:
        for client in (first, second):
            client.send(GET)
            assert client.answer().status == 200
        answered = third.answer()
        assert (answered.status, answered.headers["retry-after"]) == (503, "1")
        assert third.at_end()
        eventually(lambda: is_reset(third))
        first.socket.close()
        eventually(lambda: plane.open_connections == 1)
        assert ask(plane, GET).status == 200
