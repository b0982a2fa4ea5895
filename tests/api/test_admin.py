import http.client
import json
import socket
import threading
from dataclasses import replace
from typing import Any

import falcon
import pytest

from api.admin import MAX_BODY, AdminServer, create_app
from api.dataplane.listen import ListenFailed
from api.settings import Address
from tests.api.world import READY, Client, World, plugin, serving


def test_sources_and_events_are_listed(client: Client, world: World) -> None:
    world.events.events += [{"name": "a", "reason": "Created"}, {"name": "b", "reason": "Created"}]
    [source] = client.get("/sources").json()["items"]
    assert source["path"] == str(world.files.directory)
    assert len(client.get("/events").json()["items"]) == 2
    assert client.get("/events?name=b").json() == {"items": [{"name": "b", "reason": "Created"}]}


@pytest.mark.parametrize("path", ["/", "/foo", "/wasm", "/wasm/unknown", "/apis"])
def test_difference_an_unknown_endpoint_is_404_with_a_body_that_lists_the_endpoints(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status == 404
    assert answer.error.startswith(f"{path} is not an endpoint")
    assert "/wasm/install" in answer.error


def test_a_wrong_method_is_405_and_names_the_right_ones(client: Client) -> None:
    answer = client.ask("DELETE", "/sources")
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert answer.error == "DELETE is not allowed on /sources; use GET, HEAD, OPTIONS"


def test_head_answers_like_get_without_a_body(client: Client) -> None:
    answer = client.ask("HEAD", "/sources")
    assert (answer.status, answer.body) == (200, b"")
    assert client.ask("HEAD", "/nowhere").status == 404


def test_a_body_over_the_bound_is_413(client: Client) -> None:
    answer = client.ask("POST", "/wasm/install", b"x" * (MAX_BODY + 1))
    assert answer.status == 413
    assert str(MAX_BODY) in answer.error


def test_a_chunked_body_over_the_bound_is_413(client: Client) -> None:
    connection = socket.create_connection(("127.0.0.1", client.port), timeout=10)
    with connection:
        connection.sendall(b"POST /wasm/install HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        connection.sendall(chunk * 17 + b"0\r\n\r\n")
        assert b" 413 " in connection.recv(65536).split(b"\r\n")[0]


def test_a_fault_of_ours_is_500_without_a_stack_trace(world: World, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def list(self) -> Any:
            raise RuntimeError("a secret detail")

    with serving(replace(world.services(), events=Broken())) as client:
        answer = client.get("/events")
        assert answer.status == 500
        assert b"secret" not in answer.body
        assert "log has the details" in answer.error
        assert client.get("/livez").status == 200
    assert "a secret detail" in caplog.text


def test_middlewares_given_come_first(world: World) -> None:
    class Closed:
        def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
            raise falcon.HTTPUnauthorized(description="show a token")

    server = AdminServer(create_app(world.services(), "1", middleware=[Closed()]), Address("127.0.0.1", 0))
    server.start()
    try:
        answer = Client(server.port).ask("POST", "/wasm/install", b"x" * (MAX_BODY + 1))
    finally:
        server.stop()
    assert (answer.status, answer.error) == (401, "show a token")


def test_a_port_in_use_is_a_clear_error(client: Client, world: World) -> None:
    server = AdminServer(create_app(world.services(), "1"), Address("127.0.0.1", client.port))
    with pytest.raises(ListenFailed, match=rf"127\.0\.0\.1:{client.port} is in use by another process"):
        server.start()
    server.stop()


def test_it_listens_on_ipv6(world: World) -> None:
    server = AdminServer(create_app(world.services(), "1"), Address("::1", 0))
    server.start()
    try:
        with socket.create_connection(("::1", server.port), timeout=10) as connection:
            connection.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
            assert b"200 OK" in connection.recv(4096)
    finally:
        server.stop()


def test_the_server_does_not_tell_its_name(client: Client) -> None:
    assert "server" not in client.get("/livez").headers


def test_stop_lets_a_running_request_finish(world: World) -> None:
    answers: list[int] = []
    server = AdminServer(create_app(world.services(), "1"), Address("127.0.0.1", 0))
    server.start()
    client = Client(server.port)
    world.files.add(plugin("a"))

    def ask() -> None:
        answers.append(client.post("/wasm/update?wait=30s", {"name": "a", "instance_num": 1}).status)

    asking = threading.Thread(target=ask)
    asking.start()
    world.status.until_waiting(1)
    stopping = threading.Thread(target=server.stop)
    stopping.start()
    world.status.set("a", READY)
    asking.join()
    stopping.join()
    assert answers == [200]


def test_stop_closes_the_port_and_every_thread_and_may_come_twice(world: World) -> None:
    before = set(threading.enumerate())
    server = AdminServer(create_app(world.services(), "1"), Address("127.0.0.1", 0))
    server.start()
    port = server.port
    idle = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    idle.request("GET", "/livez")
    assert idle.getresponse().read() == b"ok"
    server.stop()
    server.stop()
    with idle.sock:
        assert idle.sock.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
    assert set(threading.enumerate()) <= before


def test_stop_without_start_is_harmless(world: World) -> None:
    AdminServer(create_app(world.services(), "1"), Address("127.0.0.1", 0)).stop()


def test_errors_are_json_whatever_the_client_accepts(client: Client) -> None:
    with socket.create_connection(("127.0.0.1", client.port), timeout=10) as connection:
        connection.sendall(b"GET /nowhere HTTP/1.0\r\nAccept: application/xml\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/json" in head
    assert "error" in json.loads(body)
