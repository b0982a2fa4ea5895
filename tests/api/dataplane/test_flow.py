"""Bodies that flow, seen from the wire, with guests in Python that read and write their ends of the pipes."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import pytest
from h2.errors import ErrorCodes
from h2.events import DataReceived, StreamReset, TrailersReceived
from h2.settings import SettingCodes

from api.dataplane.settings import Settings
from reconciler.core.observed import Failure
from reconciler.core.revision import InstanceLimits
from reconciler.core.states import Reason
from reconciler.wasm.flow import CLIENT_GONE, Flow
from reconciler.wasm.kind import CallContext, GuestFailed, Request, Response
from tests.api.dataplane.conftest import Start
from tests.api.dataplane.parts import DEADLINE, RawClient, Route, RouteDispatcher, echo
from tests.api.dataplane.test_http2 import HEAD as HTTP2_HEAD
from tests.api.dataplane.test_http2 import Client

LIMITS = InstanceLimits(2**16, 5.0, 5.0, None, 2**20, 2**20)
HEAD = b"POST /x HTTP/1.1\r\nHost: h\r\nid: f\r\nte: trailers\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def ends(flow: Flow) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """A guest's ends, opened as the engine opens them."""
    opened: list[int] = []
    body = f"/proc/self/fd/{flow.request}" if flow.request >= 0 else "/dev/null"

    def open_ends() -> None:
        opened.append(os.open(body, os.O_RDONLY))
        opened.append(os.open(f"/proc/self/fd/{flow.descriptor}", os.O_WRONLY))

    flow.start(CallContext(time.monotonic() + 5), LIMITS, open_ends)
    with open(opened[0], "rb", buffering=0) as body_end, open(opened[1], "wb", buffering=0) as answer_end:
        yield body_end, answer_end


def copy(request: Request, flow: Flow) -> Response | None:
    """Echoes the body with its trailers."""
    with ends(flow) as (body, out):
        flow.answered(Response(200, [("x-a", "b")]))
        size = 0
        try:
            while data := body.read(65536):
                size += len(data)
                out.write(data)
        except BrokenPipeError:
            pass
        if flow.stopped is CLIENT_GONE:
            return None
        flow.finished(size, flow.trailers or [])
        if flow.settle():
            return Response(200, [("x-a", "b")], request.body or flow.read(size), flow.last)
    return None


def failing(request: Request, flow: Flow) -> Response | None:
    """Answers, writes, and fails once the answer has begun to flow."""
    with ends(flow) as (_, out):
        flow.answered(Response(200))
        out.write(b"half")
        limit = time.monotonic() + DEADLINE
        while not flow.flows:
            assert time.monotonic() < limit
    raise GuestFailed(Failure(Reason.TRAPPED, "unreachable"), fatal=False)


def test_a_body_is_echoed_as_it_comes_and_the_connection_goes_on(start: Start) -> None:
    plane = start({"f": Route(echo, streamer=copy)})
    with RawClient(plane.port) as client:
        for _ in range(2):
            client.send(HEAD + b"5\r\nfirst\r\n")
            assert b"transfer-encoding: chunked" in client.until(b"\r\n\r\n")
            assert client.until(b"first\r\n") == b"5\r\nfirst\r\n"
            client.send(b"4\r\nlast\r\n0\r\nX-Sum: 9\r\n\r\n")
            assert client.until(b"0\r\nx-sum: 9\r\n\r\n") == b"4\r\nlast\r\n0\r\nx-sum: 9\r\n\r\n"


def test_a_body_that_is_whole_at_once_has_its_length_or_its_trailers(start: Start) -> None:
    plane = start({"f": Route(echo, streamer=lambda request, flow: Response(200, [], b"whole", [("x-t", "1")]))})
    with RawClient(plane.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\nid: f\r\n\r\n")
        answer = client.answer()
        assert (answer.body, answer.headers["content-length"]) == (b"whole", "5")
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\nid: f\r\nTE: deflate, trailers;q=0.5\r\n\r\n")
        client.until(b"\r\n\r\n")
        assert client.until(b"1\r\n\r\n") == b"5\r\nwhole\r\n0\r\nx-t: 1\r\n\r\n"


def test_pipelined_requests_wait_for_a_body_that_flows(start: Start) -> None:
    plane = start({"f": Route(echo, streamer=copy), "g": Route(echo)})
    with RawClient(plane.port) as client:
        client.send(HEAD + b"5\r\nfirst\r\n")
        client.until(b"first\r\n")
        client.send(b"0\r\n\r\nGET /y HTTP/1.1\r\nHost: h\r\nid: g\r\n\r\n" + HEAD + b"1\r\nz\r\n0\r\n\r\n")
        assert client.until(b"0\r\n\r\n") == b"0\r\n\r\n"
        assert client.answer().body.startswith(b"GET g /y")
        assert b"200" in client.until(b"\r\n\r\n")


def test_a_client_that_stalls_is_given_up_before_and_after_the_answer_began(start: Start) -> None:
    def silent(request: Request, flow: Flow) -> Response | None:
        with ends(flow) as (body, _):
            while body.read(65536):
                pass
        return None

    settings = Settings(body_timeout=0.2, sweep=0.05)
    plane = start({"f": Route(echo, streamer=copy), "s": Route(echo, streamer=silent)}, settings)
    with RawClient(plane.port) as client:
        client.send(HEAD.replace(b"id: f", b"id: s") + b"5\r\nfirst\r\n")
        assert client.answer().status == 408
    with RawClient(plane.port) as client:
        client.send(HEAD + b"5\r\nfirst\r\n")
        client.until(b"first\r\n")
        assert client.at_end()


def test_too_large_a_body_is_refused_while_it_flows(start: Start) -> None:
    def patient(request: Request, flow: Flow) -> Response | None:
        with ends(flow) as (body, _):
            while body.read(65536):
                pass
        return None

    plane = start({"f": Route(echo, streamer=patient, request_bytes=200_000)})
    with RawClient(plane.port) as client:
        client.send(HEAD)
        for _ in range(3):
            client.send(b"10000\r\n" + bytes(65536) + b"\r\n")
        client.send(b"10000\r\n" + bytes(65536) + b"\r\n")
        assert client.answer().status == 413


def test_malformed_chunks_break_a_flow_off(start: Start) -> None:
    plane = start({"f": Route(echo, streamer=copy)})
    with RawClient(plane.port) as client:
        client.send(HEAD + b"5\r\nfirst\r\n")
        client.until(b"first\r\n")
        client.send(b"nonsense\r\n")
        assert client.at_end()


def test_a_guest_that_fails_on_the_way_breaks_the_connection(start: Start) -> None:
    plane = start({"f": Route(echo, streamer=failing)})
    with RawClient(plane.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\nid: f\r\n\r\n")
        client.until(b"half\r\n")
        assert client.at_end()


def test_a_body_waits_with_its_request_for_an_instance(start: Start) -> None:
    route = Route(echo, streamer=copy)
    plane = start({"f": route})
    with RawClient(plane.port) as one, RawClient(plane.port) as two:
        one.send(HEAD + b"1\r\na\r\n")
        one.until(b"1\r\na\r\n")
        two.send(HEAD + b"1\r\nb\r\n")
        one.send(b"0\r\n\r\n")
        two.send(b"0\r\n\r\n")
        assert b" 200 " in two.until(b"\r\n\r\n")  # whole with its length, or in chunks
        assert two.until(b"b")


def test_a_route_that_no_longer_takes_bodies_that_flow_is_not_called(start: Start) -> None:
    class Changing(RouteDispatcher):
        def acquire(self, route, waiter):  # type: ignore[no-untyped-def]
            self.routes[route].streamer = None
            return super().acquire(route, waiter)

    plane = start(Changing({"f": Route(echo, streamer=copy)}))
    with RawClient(plane.port) as client:
        client.send(HEAD + b"5\r\nfirst\r\n")
        answer = client.answer()
        assert answer.status == 503
        assert b"changed while the body came" in answer.body


@pytest.mark.parametrize("head", [Response(200, [("bad name", "x")]), Response(99)])
def test_a_head_that_cannot_go_out_is_a_bad_gateway(start: Start, head: Response) -> None:
    over = threading.Event()

    def bad(request: Request, flow: Flow) -> Response | None:
        with ends(flow) as (_, out):
            flow.answered(head)
            out.write(b"a")
            limit = time.monotonic() + DEADLINE
            while flow.stopped is None:
                assert time.monotonic() < limit
        over.set()
        return None

    plane = start({"f": Route(echo, streamer=bad)})
    with RawClient(plane.port) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: h\r\nid: f\r\n\r\n")
        assert client.answer().status == 502
        assert over.wait(DEADLINE)


def writing(request: Request, flow: Flow) -> Response | None:
    """Writes 300,000 bytes once its answer flows, and a trailer."""
    with ends(flow) as (_, out):
        flow.answered(Response(200))
        out.write(b"a")
        limit = time.monotonic() + DEADLINE
        while not flow.flows:
            assert time.monotonic() < limit
        view = memoryview(b"b" * 299_999)
        while view:
            view = view[out.write(view) :]
        flow.finished(300_000, [("x-sum", "1")])
    return None


def test_an_answer_flows_over_http2_as_its_windows_allow(start: Start) -> None:
    plane = start({"echo": Route(echo, streamer=writing), "half": Route(echo, streamer=failing)})
    with Client(plane.port, settings={SettingCodes.INITIAL_WINDOW_SIZE: 1000}) as client:
        number = client.ask()
        client.flush()
        while sum(len(event.data) for event in client.events if isinstance(event, DataReceived)) < 1000:
            client.read()
        client.h2.increment_flow_control_window(300_000, number)
        client.h2.increment_flow_control_window(300_000)
        client.flush()
        head, body = client.answer(number)
        assert (head[":status"], "content-length" in head, len(body)) == ("200", False, 300_000)
        trailers = client.until(lambda event: isinstance(event, TrailersReceived))
        assert list(trailers.headers) == [("x-sum", "1")]
        broken = client.ask([(":method", "GET"), *HTTP2_HEAD[1:-1], ("id", "half")])
        client.flush()
        reset = client.until(lambda event: isinstance(event, StreamReset))
        assert (reset.stream_id, reset.error_code) == (broken, ErrorCodes.INTERNAL_ERROR)
