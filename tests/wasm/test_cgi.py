import pytest

from reconciler.wasm.cgi import MAX_HEAD, BadOutput, BadRequest, parse_output, variables
from reconciler.wasm.kind import Request, Response


def test_a_request_becomes_the_variables_of_cgi() -> None:
    request = Request(
        route="shop",
        method="POST",
        path="/a%20b/%C3%A9",
        query="x=1&y=%20",
        headers=[("host", "example.com:8080"), ("content-type", "text/plain"), ("content-length", "4"), ("x-a", "1")],
        body=b"body",
        authority="example.com:8080",
        remote="192.0.2.7",
    )

    assert variables(request) == {
        "GATEWAY_INTERFACE": "CGI/1.1",
        "SERVER_SOFTWARE": "wasm-reconciler",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "example.com",
        "SERVER_PORT": "8080",
        "REQUEST_METHOD": "POST",
        "REQUEST_URI": "/invoke/shop/a%20b/%C3%A9?x=1&y=%20",
        "SCRIPT_NAME": "/invoke/shop",
        "PATH_INFO": "/a b/é",
        "QUERY_STRING": "x=1&y=%20",
        "REMOTE_ADDR": "192.0.2.7",
        "CONTENT_LENGTH": "4",
        "CONTENT_TYPE": "text/plain",
        "HTTP_HOST": "example.com:8080",
        "HTTP_X_A": "1",
    }


@pytest.mark.parametrize(
    ("authority", "scheme", "name", "port"),
    [
        ("example.com", "http", "example.com", "80"),
        ("example.com", "https", "example.com", "443"),
        ("example.com:81", "https", "example.com", "81"),
        ("[::1]:81", "http", "[::1]", "81"),
        ("[::1]", "http", "[::1]", "80"),
        ("", "http", "localhost", "80"),
    ],
)
def test_the_server_is_the_one_that_was_asked(authority: str, scheme: str, name: str, port: str) -> None:
    found = variables(Request("r", authority=authority, scheme=scheme))

    assert (found["SERVER_NAME"], found["SERVER_PORT"]) == (name, port)
    assert found.get("HTTPS") == ("on" if scheme == "https" else None)


def test_without_a_body_there_is_no_length() -> None:
    assert "CONTENT_LENGTH" not in variables(Request("r", headers=[("content-length", "0")]))


def test_a_header_named_proxy_does_not_become_a_proxy_setting() -> None:
    assert "HTTP_PROXY" not in variables(Request("r", headers=[("Proxy", "http://evil.test"), ("proxy", "x")]))


def test_a_header_with_an_underscore_cannot_pass_for_one_with_a_hyphen() -> None:
    found = variables(Request("r", headers=[("x-user", "anna"), ("x_user", "root"), ("x.user", "root")]))

    assert found["HTTP_X_USER"] == "anna"


def test_repeated_headers_are_joined_and_cookies_in_their_own_way() -> None:
    found = variables(Request("r", headers=[("x-a", "1"), ("x-a", "2"), ("cookie", "a=1"), ("cookie", "b=2")]))

    assert (found["HTTP_X_A"], found["HTTP_COOKIE"]) == ("1, 2", "a=1; b=2")


def test_headers_of_the_connection_are_not_the_programs() -> None:
    headers = [("connection", "close"), ("transfer-encoding", "chunked"), ("authorization", "Bearer x")]
    found = variables(Request("r", headers=headers))

    assert {name for name in found if name.startswith("HTTP_")} == {"HTTP_AUTHORIZATION"}


def test_a_header_in_utf8_arrives_in_utf8() -> None:
    assert variables(Request("r", headers=[("x-a", "\xc3\xa9")]))["HTTP_X_A"] == "é"


@pytest.mark.parametrize("request_", [Request("r", path="/%00x"), Request("r", headers=[("x-a", "a\0b")])])
def test_a_nul_cannot_be_passed(request_: Request) -> None:
    with pytest.raises(BadRequest, match="NUL"):
        variables(request_)


@pytest.mark.parametrize(
    ("output", "response"),
    [
        (b"Content-Type: text/plain\n\nhello", Response(200, [("content-type", "text/plain")], b"hello")),
        (b"Content-Type: a/b\r\n\r\n\r\n\n", Response(200, [("content-type", "a/b")], b"\r\n\n")),
        (b"content-type:a/b\n\n", Response(200, [("content-type", "a/b")], b"")),
        (b"Status: 404 Not Found\nX-A: 1\nX-A: 2\n\n", Response(404, [("x-a", "1"), ("x-a", "2")], b"")),
        (b"Status: 204\n\n", Response(204, [], b"")),
        (b"Location: /there\n\n", Response(302, [("location", "/there")], b"")),
        (b"Location: /there\nStatus: 307 x\n\n", Response(307, [("location", "/there")], b"")),
        (b"Content-Type: a/b\nContent-Length: 99\n\nxy", Response(200, [("content-type", "a/b")], b"xy")),
        (b"Content-Type: a/b\nX: caf\xe9\n\n", Response(200, [("content-type", "a/b"), ("x", "caf\xe9")], b"")),
    ],
)
def test_what_a_program_printed_becomes_a_response(output: bytes, response: Response) -> None:
    assert parse_output(output) == response


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (b"", "printed nothing"),
        (b"hello", "an empty line after 'Content-Type: ...' is missing in all of its 5 bytes"),
        (b"hello\n\nworld", "the line 'hello', which is not 'Name: value'"),
        (b"\n\nhello", "header block is empty"),
        (b"Content-Type: text/plain\n", "is missing"),
        (b"X-A: 1\n\nhello", "none of Content-Type, Location and Status"),
        (b"HTTP/1.1 200 OK\nContent-Type: a/b\n\n", "'Status: 200 OK'"),
        (b"Status: OK\n\n", "the status 'OK' is not a number"),
        (b"Status: 101 Switching\n\n", "'101 Switching'"),
        (b"Status: 99\n\n", "'99'"),
        (b"Status: 2000\n\n", "'2000'"),
        (b"Status: 200\nStatus: 201\n\n", "once each"),
        (b"Content-Type: a/b\n folded\n\n", "' folded'"),
        (b"Content-Type : a/b\n\n", "'Content-Type : a/b'"),
        (b"Content-Type: a\x00b\n\n", "control characters"),
        (b"Content-Type: a\rX: b\n\n", "control characters"),
        (b"Content-Type: a/b\nX: " + b"x" * MAX_HEAD + b"\n\n", f"in its first {MAX_HEAD} bytes"),
    ],
)
def test_what_is_no_response_is_told_with_what_is_missing(output: bytes, words: str) -> None:
    with pytest.raises(BadOutput) as caught:
        parse_output(output)

    assert words in str(caught.value)
