"""HTTP/2 on the data plane, by real clients and by one that sends what it likes."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)
from h2.settings import SettingCodes
from h2.settings import Settings as Http2Settings

from api.dataplane.server import DataPlane
from api.dataplane.settings import Settings
from reconciler.wasm.kind import Request, Response
from tests.api.dataplane.conftest import Start
from tests.api.dataplane.parts import DEADLINE, Gate, RawClient, Route, echo, eventually

HEAD = [(":method", "GET"), (":scheme", "http"), (":authority", "localhost"), (":path", "/a?b=c"), ("id", "echo")]
POST = [(":method", "POST"), *HEAD[1:]]


class Client:
    """A client that can do what no honest one does."""

    def __init__(self, port: int, *, settings: dict[SettingCodes, int] | None = None, piecewise: bool = False) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self.h2 = H2Connection(H2Configuration(header_encoding="latin-1"))
        self.h2.local_settings = Http2Settings(client=True, initial_values=settings)
        self.h2.initiate_connection()
        self.events: list[Event] = []
        self.closed = False
        if piecewise:
            for byte in self.h2.data_to_send():
                self.socket.sendall(bytes([byte]))
        else:
            self.flush()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def flush(self) -> None:
        self.socket.sendall(self.h2.data_to_send())

    def ask(self, head: list[tuple[str, str]] = HEAD, *, end: bool = True) -> int:
        number = self.h2.get_next_available_stream_id()
        self.h2.send_headers(number, head, end_stream=end)
        return number

    def until(self, wanted: Callable[[Event], bool]) -> Event:
        """The first event of that kind, read on for it if need be."""
        while True:
            found = next((event for event in self.events if wanted(event)), None)
            if found is not None:
                return found
            self.read()

    def read(self) -> None:
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.closed = not data
        assert data, f"closed after {self.events}"
        self.events += self.h2.receive_data(data)
        if self.h2.state_machine.state.name != "CLOSED":
            self.flush()

    def answer(self, number: int) -> tuple[dict[str, str], bytes]:
        self.until(lambda event: isinstance(event, StreamEnded) and event.stream_id == number)
        mine = [event for event in self.events if getattr(event, "stream_id", None) == number]
        head = next(dict(event.headers) for event in mine if isinstance(event, ResponseReceived))
        return head, b"".join(event.data for event in mine if isinstance(event, DataReceived))

    def at_end(self) -> bool:
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True


def test_a_client_that_knows_is_answered(plane: DataPlane) -> None:
    with httpx.Client(http1=False, http2=True, timeout=DEADLINE) as client:
        for body in (b"", b"x" * 300_000):
            answer = client.post(f"http://127.0.0.1:{plane.port}/p?q=1", headers={"id": "echo"}, content=body)
            assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)
            assert answer.content == f"POST echo /p q=1 {len(body)}\n".encode() + body
            assert answer.headers["content-length"] == str(len(answer.content))
            assert answer.headers["server"] == "wasm-reconciler"
        assert client.get(f"http://127.0.0.1:{plane.port}/invoke/a%20b%2F%C3%BC/x").status_code == 200
        assert client.get(f"http://127.0.0.1:{plane.port}/invoke/nobody").status_code == 404
        head = client.head(f"http://127.0.0.1:{plane.port}/p", headers={"id": "echo"})
        assert (head.status_code, head.content) == (200, b"")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_is_answered(plane: DataPlane) -> None:
    command = ["curl", "--silent", "--http2-prior-knowledge", "-H", "id: echo", "--data", "hello"]
    command += ["--write-out", "%{http_version}", f"http://127.0.0.1:{plane.port}/x"]
    said = subprocess.run(command, check=True, capture_output=True)
    assert said.stdout == b"POST echo /x  5\nhello2"


def test_both_versions_share_a_port(plane: DataPlane) -> None:
    with RawClient(plane.port) as old, Client(plane.port, piecewise=True) as new:
        old.send(b"PRI")  # could be either, so far
        number = new.ask()
        new.flush()
        assert new.answer(number)[0][":status"] == "200"
        old.send(b"NT /x HTTP/1.1\r\nhost: a\r\nid: echo\r\n\r\n")
        assert old.answer().status in (200, 400)  # llhttp knows no such method, but it is HTTP/1 that says so


def test_many_requests_are_under_way_at_a_time(start: Start) -> None:
    gate = Gate()
    plane = start({"echo": Route(gate, instances=30)})
    with Client(plane.port) as client:
        numbers = [client.ask() for _ in range(30)]
        client.flush()
        eventually(lambda: gate.entered == 30)
        gate.opened.set()
        assert [client.answer(number)[1] for number in numbers] == [b"slow"] * 30


def test_a_large_answer_waits_for_the_client_to_take_it(start: Start) -> None:
    body = bytes(range(256)) * 2000
    plane = start({"echo": Route(lambda _: Response(200, [], body), inline=True)})
    with Client(plane.port, settings={SettingCodes.INITIAL_WINDOW_SIZE: 1000}) as client:
        number = client.ask()
        other = client.ask()
        client.flush()
        while sum(len(event.data) for event in client.events if isinstance(event, DataReceived)) < 2000:
            client.read()
        for stream in (number, other):
            client.h2.increment_flow_control_window(len(body), stream)
        client.h2.increment_flow_control_window(2 * len(body))
        client.flush()
        assert client.answer(number)[1] == client.answer(other)[1] == body


def test_a_client_that_promises_to_take_all_and_does_not_is_left(start: Start) -> None:
    body = bytes(16 * 2**20)
    plane = start(
        {"echo": Route(lambda _: Response(200, [], body), inline=True)}, Settings(write_timeout=0.2, sweep=0.05)
    )
    with Client(plane.port, settings={SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1}) as client:
        client.h2.increment_flow_control_window(2**31 - 1 - 65_535)
        for _ in range(4):
            client.ask()
        client.flush()
        eventually(lambda: plane.open_connections == 1)
        eventually(lambda: plane.open_connections == 0)


def test_a_client_that_takes_nothing_loses_the_stream(start: Start) -> None:
    plane = start(
        {"echo": Route(lambda _: Response(200, [], b"x" * 5000), inline=True)}, Settings(write_timeout=0.1, sweep=0.05)
    )
    with Client(plane.port, settings={SettingCodes.INITIAL_WINDOW_SIZE: 10}) as client:
        number = client.ask()
        client.flush()
        reset = client.until(lambda event: isinstance(event, StreamReset))
        assert (reset.stream_id, reset.error_code) == (number, ErrorCodes.CANCEL)


@pytest.mark.parametrize("size", [11, 40_000])
def test_a_body_that_is_too_large_is_refused(start: Start, size: int) -> None:
    plane = start({"echo": Route(echo, request_bytes=10)})
    with Client(plane.port) as client:
        number = client.ask(POST, end=False)
        for at in range(0, size, 16_384):
            client.h2.send_data(number, b"x" * min(16_384, size - at))
        client.flush()
        client.until(lambda event: isinstance(event, ResponseReceived) and event.stream_id == number)
        assert client.answer(number)[0][":status"] == "413"
        again = client.ask()
        client.flush()
        assert client.answer(again)[0][":status"] == "200"


def test_a_body_that_does_not_come_is_not_waited_for(start: Start) -> None:
    plane = start({"echo": Route(echo)}, Settings(body_timeout=0.1, sweep=0.05))
    with Client(plane.port) as client:
        number = client.ask(POST, end=False)
        client.flush()
        assert client.answer(number)[0][":status"] == "408"


def test_a_client_may_wait_to_be_asked_for_the_body(plane: DataPlane) -> None:
    with Client(plane.port) as client:
        number = client.ask([*POST, ("expect", "100-continue"), ("content-length", "2")], end=False)
        client.flush()
        client.until(lambda event: isinstance(event, InformationalResponseReceived))
        client.h2.send_data(number, b"hi", end_stream=True)
        client.flush()
        assert client.answer(number)[1].endswith(b"\nhi")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ([*HEAD[:4]], 404),
        ([*HEAD, ("id", "other")], 400),
        ([*HEAD, *[(f"h{number}", "x") for number in range(101)]], 431),
        ([*HEAD[:3], (":path", "/" + "x" * 20_000), ("id", "echo")], 414),
        ([*HEAD, ("expect", "miracles")], 417),
    ],
    ids=["no route", "two ids", "many headers", "long path", "expectation"],
)
def test_a_head_that_is_no_good_is_refused_alone(plane: DataPlane, head: list[tuple[str, str]], status: int) -> None:
    with Client(plane.port) as client:
        number, good = client.ask(head), client.ask()
        client.flush()
        assert client.answer(number)[0][":status"] == str(status)
        assert client.answer(good)[0][":status"] == "200"


def _resets(client: Client) -> None:
    for _ in range(300):
        client.h2.reset_stream(client.ask(POST, end=False), ErrorCodes.CANCEL)


def _bomb(client: Client) -> None:
    """One field of 4 KB that is then named by an index of one byte, 60 times in each of some requests."""
    for _ in range(3):
        client.ask([*HEAD, *[("x-bomb", "y" * 3000)] * 60])


def _pings(client: Client) -> None:
    for _ in range(2000):
        client.h2.ping(bytes(8))


@pytest.mark.parametrize("attack", [_resets, _bomb, _pings], ids=["rapid reset", "header bomb", "pings"])
def test_a_client_that_costs_too_much_is_left(plane: DataPlane, attack: Callable[[Client], None]) -> None:
    with Client(plane.port) as client:
        client.until(lambda event: type(event).__name__ == "SettingsAcknowledged")
        attack(client)
        client.flush()
        over = client.until(lambda event: isinstance(event, ConnectionTerminated))
        assert over.error_code == ErrorCodes.ENHANCE_YOUR_CALM
        assert client.at_end()
    eventually(lambda: plane.open_connections == 0)


def test_what_is_no_frame_ends_the_connection(plane: DataPlane) -> None:
    with Client(plane.port) as client:
        client.socket.sendall(b"\0\0\3\4\0\0\0\0\0abc")  # SETTINGS come in sixes
        assert client.until(lambda event: isinstance(event, ConnectionTerminated)).error_code != ErrorCodes.NO_ERROR
        assert client.at_end()


def test_a_frame_without_end_is_not_waited_for(plane: DataPlane) -> None:
    with Client(plane.port) as client:
        client.socket.sendall(b"\xff\xff\xff" + b"\0" * 100_000)
        eventually(lambda: plane.open_connections == 0)


def test_a_request_whose_client_leaves_is_given_up(start: Start) -> None:
    gate = Gate()
    route = Route(gate)
    plane = start({"echo": route})
    with Client(plane.port) as client:
        first, second = client.ask(), client.ask()  # the second waits for the one instance
        client.flush()
        eventually(lambda: gate.entered == 1 and len(route.waiting) == 1)
        client.h2.reset_stream(second, ErrorCodes.CANCEL)
        client.flush()
        eventually(lambda: not route.waiting)
        gate.opened.set()
        assert client.answer(first)[1] == b"slow"
        third = client.ask()
        client.flush()
        assert client.answer(third)[1] == b"slow"
        assert gate.entered == 2


def test_draining_answers_what_came_and_takes_no_more(start: Start) -> None:
    gate = Gate()
    plane = start({"echo": Route(gate)})
    with Client(plane.port) as client:
        number = client.ask()
        client.flush()
        eventually(lambda: gate.entered == 1)
        stopped: list[bool] = []
        stopping = threading.Thread(target=lambda: stopped.append(plane.stop(DEADLINE)))
        stopping.start()
        over = client.until(lambda event: isinstance(event, ConnectionTerminated))
        assert (over.error_code, over.last_stream_id) == (ErrorCodes.NO_ERROR, number)
        gate.opened.set()
        stopping.join()
        assert stopped == [True]
        rest = b""
        while piece := client.socket.recv(65536):
            rest += piece
        assert b"slow" in rest


def test_an_idle_connection_is_closed(start: Start) -> None:
    plane = start({"echo": Route(echo)}, Settings(keep_alive_timeout=0.1, sweep=0.05))
    with Client(plane.port) as client:
        number = client.ask()
        client.flush()
        client.answer(number)
        assert client.until(lambda event: isinstance(event, ConnectionTerminated)).error_code == ErrorCodes.NO_ERROR
        assert client.at_end()


def test_there_are_not_more_connections_than_allowed(start: Start) -> None:
    plane = start({"echo": Route(echo)}, Settings(connections=1))
    with Client(plane.port) as client:
        number = client.ask()
        client.flush()
        client.answer(number)
        with RawClient(plane.port) as other:
            assert other.answer().status == 503


@pytest.mark.skipif(shutil.which("h2load") is None, reason="h2load is not installed (Debian: nghttp2-client)")
def test_h2load_sees_no_failure(plane: DataPlane, tmp_path: Path) -> None:
    body = tmp_path / "body"
    body.write_bytes(b"x" * 2000)
    command = ["h2load", "-n400", "-c4", "-m16", "-d", str(body), "-H", "id: echo"]
    said = subprocess.run([*command, f"http://127.0.0.1:{plane.port}/"], capture_output=True, text=True, check=True)
    assert "400 succeeded, 0 failed, 0 errored" in said.stdout


def test_trailers_reach_the_guest(start: Start) -> None:
    seen: list[Request] = []

    def keep(request: Request) -> Response:
        seen.append(request)
        return Response()

    plane = start({"echo": Route(keep)})
    with Client(plane.port) as client:
        number = client.ask(POST, end=False)
        client.h2.send_data(number, b"hi")
        client.h2.send_headers(number, [("x-sum", "1")], end_stream=True)
        client.flush()
        assert client.answer(number)[0][":status"] == "200"
    assert seen[0].trailers == (("x-sum", "1"),)
