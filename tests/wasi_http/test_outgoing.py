"""Requests that components make, of the world outside and of each other."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from ssl import create_default_context

import pytest

from reconciler.core.observed import Failure
from reconciler.core.states import Reason
from reconciler.wasm.egress import PinnedHttpClient, SystemResolver
from reconciler.wasm.kind import GuestFailed, Response
from tests.wasi_http.world import Modules, World
from tests.wasm.world import SPEC

DENIED = b"code 15"
"""HTTP-request-denied, by its place among the error codes."""
INTERNAL_ERROR = b"code 38"
REFUSED = b"code 06"


class Upstream(BaseHTTPRequestHandler):
    """Says what it was asked."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        said = f"{self.command} {self.path} {body.decode()}".encode()
        self.send_response(203)
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Upstream) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def online(modules: Modules) -> Iterator[World]:
    world = World(modules, PinnedHttpClient(SystemResolver(), create_default_context()))
    yield world
    world.close()


def test_an_allowed_host_is_called(online: World, upstream: str) -> None:
    spec = replace(SPEC, allowed_hosts=(upstream,))
    response = online.get(f"/call/{upstream}", spec)
    assert (response.status, response.body) == (203, b"GET /there?a=b ")
    assert online.get(f"/post/{upstream}", spec).body == b"POST /there a body"


def test_no_other_host_is_called(online: World, upstream: str) -> None:
    assert online.get(f"/call/{upstream}").body == DENIED
    assert "not among the allowed hosts" in online.services.lines[-1][1]


def test_a_refused_connection_is_told_as_such(online: World, upstream: str) -> None:
    host = "127.0.0.1:1"
    assert online.get(f"/call/{host}", replace(SPEC, allowed_hosts=(host,))).body == REFUSED


def test_a_component_calls_a_plugin_by_its_route(world: World) -> None:
    world.services.answer = Response(202, [("x-a", "1")], b"from the plugin")
    response = world.get("/post/orders.plugin.internal")
    assert (response.status, response.body) == (202, b"from the plugin")
    asked = world.services.invoked[-1]
    assert (asked.route, asked.method, asked.path, asked.body) == ("orders", "POST", "/there", b"a body")
    world.get("/call/orders.plugin.internal")
    assert (world.services.invoked[-1].path, world.services.invoked[-1].query) == ("/there", "a=b")


def test_a_plugin_that_fails_is_an_error_code(world: World) -> None:
    world.services.answer = GuestFailed(Failure(Reason.TRAPPED, "unreachable"), fatal=True)
    assert world.get("/call/orders.plugin.internal").body == INTERNAL_ERROR
    assert "unreachable" in world.services.lines[-1][1]
