"""Leases, waiting, threads, failures: one request's way, over real sockets."""

import json
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection

import pytest

from api.dataplane.server import DataPlane
from reconciler.core.observed import Failure
from reconciler.core.states import Reason
from reconciler.host.invoke import RouteLimits, RouteUnavailable, Waiter
from reconciler.wasm.kind import GuestFailed, Request, Response
from tests.api.dataplane.parts import DEADLINE, Gate, RawClient, Route, RouteDispatcher, echo, eventually


def get(plane: DataPlane, route: str) -> tuple[int, bytes, dict[str, str]]:
    connection = HTTPConnection("127.0.0.1", plane.port, timeout=DEADLINE)
    connection.request("GET", "/", headers={"id": route})
    response = connection.getresponse()
    found = response.status, response.read(), dict(response.getheaders())
    connection.close()
    return found


class Counted:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, int]] = []
        self.waited: list[float] = []

    def request(
        self, route: str, plugin: str, status: int, seconds: float, waited_seconds: float, on_loop: bool = False
    ) -> None:
        assert seconds >= waited_seconds >= 0
        self.seen.append((route, plugin, status))
        self.waited.append(waited_seconds)


def test_slow_guests_on_threads_never_stop_fast_ones(start) -> None:
    gate = Gate()
    plane = start({"slow": Route(gate, instances=64), "fast": Route(echo, inline=True)})
    with ThreadPoolExecutor(64) as clients:
        slow = [clients.submit(get, plane, "slow") for _ in range(64)]
        eventually(lambda: gate.entered == 64)
        names = {thread.name for thread in threading.enumerate()}
        assert {f"guest-{number}" for number in range(1, 65)} <= names
        for _ in range(200):
            assert get(plane, "fast")[0] == 200
        gate.opened.set()
        assert {future.result()[:2] for future in slow} == {(200, b"slow")}


@pytest.mark.parametrize("inline", [True, False])
def test_requests_wait_for_an_instance_and_all_are_answered(start, inline: bool) -> None:
    plane = start({"r": Route(echo, instances=2, inline=inline)})
    with ThreadPoolExecutor(16) as clients:
        assert set(clients.map(lambda _: get(plane, "r")[0], range(400))) == {200}


def test_a_waiting_request_is_answered_when_an_instance_is_free(start) -> None:
    gate, counted = Gate(), Counted()
    route = Route(gate)
    plane = start({"r": route}, observer=counted)
    with ThreadPoolExecutor(2) as clients:
        both = [clients.submit(get, plane, "r") for _ in range(2)]
        eventually(lambda: gate.entered == 1 and len(route.waiting) == 1)
        gate.opened.set()
        assert [future.result()[0] for future in both] == [200, 200]
    assert counted.seen == [("r", "plugin-r", 200)] * 2
    assert counted.waited[0] == 0.0 < counted.waited[1]


def test_who_waits_too_long_is_told_to_come_again(start) -> None:
    gate = Gate()
    route = Route(gate, queue_timeout=0.05)
    plane = start({"r": route})
    with ThreadPoolExecutor(1) as clients:
        first = clients.submit(get, plane, "r")
        eventually(lambda: gate.entered == 1)
        status, body, headers = get(plane, "r")
        assert (status, headers["retry-after"]) == (503, "1")
        assert "0.05 s" in json.loads(body)["error"]
        assert not route.waiting
        gate.opened.set()
        assert first.result()[0] == 200
    assert route.idle == 1


def test_an_instance_that_is_granted_too_late_is_given_back(start) -> None:
    class Late(RouteDispatcher):
        """The grant is on its way already when the waiter leaves."""

        def abandon(self, route: str, waiter: Waiter) -> None:
            return

    gate = Gate()
    route = Route(gate, queue_timeout=0.05)
    plane = start(Late({"r": route}))
    with ThreadPoolExecutor(1) as clients:
        first = clients.submit(get, plane, "r")
        eventually(lambda: gate.entered == 1)
        assert get(plane, "r")[0] == 503
        assert len(route.waiting) == 1
        gate.opened.set()
        assert first.result()[0] == 200
    eventually(lambda: route.idle == 1)
    assert gate.entered == 1


def test_a_full_queue_says_when_to_come_again(start) -> None:
    gate = Gate()
    plane = start({"r": Route(gate, queue=0)})
    with ThreadPoolExecutor(1) as clients:
        first = clients.submit(get, plane, "r")
        eventually(lambda: gate.entered == 1)
        status, _, headers = get(plane, "r")
        assert (status, headers["retry-after"]) == (503, "3")
        gate.opened.set()
        assert first.result()[0] == 200


def test_a_route_that_goes_away_refuses_those_who_wait(start) -> None:
    gate = Gate()
    route = Route(gate)
    dispatcher = RouteDispatcher({"r": route})
    plane = start(dispatcher)
    with ThreadPoolExecutor(2) as clients:
        both = [clients.submit(get, plane, "r") for _ in range(2)]
        eventually(lambda: gate.entered == 1 and len(route.waiting) == 1)
        dispatcher.remove("r")
        eventually(lambda: any(future.done() for future in both))
        gate.opened.set()
        assert sorted(future.result()[0] for future in both) == [200, 404]


def test_a_client_that_leaves_while_it_waits_leaves_the_queue(start) -> None:
    gate, counted = Gate(), Counted()
    route = Route(gate)
    plane = start({"r": route}, observer=counted)
    with RawClient(plane.port) as first, RawClient(plane.port) as second:
        first.send(b"GET /invoke/r HTTP/1.1\r\nHost: h\r\n\r\n")
        eventually(lambda: gate.entered == 1)
        second.send(b"GET /invoke/r HTTP/1.1\r\nHost: h\r\n\r\n")
        eventually(lambda: len(route.waiting) == 1)
        second.socket.close()
        eventually(lambda: not route.waiting)
        gate.opened.set()
        assert first.answer().status == 200
    assert sorted(status for _, _, status in counted.seen) == [200, 499]
    assert gate.entered == 1


def test_the_answer_for_a_client_that_left_is_dropped_and_the_instance_is_free_again(start) -> None:
    gate, counted = Gate(), Counted()
    route = Route(gate)
    plane = start({"r": route}, observer=counted)
    with RawClient(plane.port) as client:
        client.send(b"GET /invoke/r HTTP/1.1\r\nHost: h\r\n\r\n")
        eventually(lambda: gate.entered == 1)
        client.socket.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # SO_LINGER 0: a reset
        client.socket.close()
        eventually(lambda: counted.seen == [("r", "plugin-r", 499)])
        gate.opened.set()
    eventually(lambda: route.idle == 1)
    assert get(plane, "r")[0] == 200


def test_a_call_that_is_cut_short_on_the_loop_is_made_once_more_on_a_thread(start) -> None:
    where: list[str] = []

    def tell(request: Request) -> Response:
        where.append(threading.current_thread().name)
        return Response(200, [], b"late")

    route = Route(tell, inline=True)
    plane = start({"r": route})
    assert get(plane, "r")[:2] == (200, b"late")
    route.lasts = True
    assert get(plane, "r")[:2] == (200, b"late")
    assert [name.partition("-")[0] for name in where] == ["data", "guest"]
    assert route.idle == 1


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize(("reason", "status"), [(Reason.DEADLINE_EXCEEDED, 504), (Reason.TRAPPED, 502)])
def test_a_guest_that_fails_is_named_with_its_reason(start, inline: bool, reason: Reason, status: int) -> None:
    def fail(request: Request) -> Response:
        raise GuestFailed(Failure(reason, "unreachable at <f>"))

    plane = start({"r": Route(fail, inline=inline)})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{plane.port}/invoke/r", timeout=DEADLINE)
    with caught.value as answered:
        told = json.load(answered)
    assert answered.status == status
    assert told.pop("error").startswith("plugin plugin-r ")
    assert told == {"plugin": "plugin-r", "reason": str(reason), "message": "unreachable at <f>"}


def test_a_route_that_cannot_answer_for_now_says_why(start) -> None:
    class Down:
        def limits(self, route: str) -> RouteLimits:
            return RouteLimits(10, 1.0)

        def acquire(self, route: str, waiter: object) -> None:
            failure = Failure(Reason.CRASH_LOOP_BACK_OFF, "exit 1")
            raise RouteUnavailable("route 'r' restarts", failure, retry_after=7)

        def abandon(self, route: str, waiter: object) -> None:
            return

    class Downs(Down, RouteDispatcher):
        pass

    plane = start(Downs({}))
    status, body, headers = get(plane, "r")
    assert (status, headers["retry-after"]) == (503, "7")
    assert json.loads(body) == {"error": "route 'r' restarts", "reason": "CrashLoopBackOff", "message": "exit 1"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize("inline", [True, False])
def test_a_fault_of_ours_is_a_500_and_the_next_request_is_answered(start, inline: bool, caplog) -> None:
    def fault(request: Request) -> Response:
        raise ZeroDivisionError("a secret of the daemon")

    route = Route(fault, inline=inline)
    plane = start({"r": route, "echo": Route(echo)})
    status, body, _ = get(plane, "r")
    assert status == 500
    assert b"secret" not in body
    assert get(plane, "echo")[0] == 200
    assert route.idle == 1
    if inline:
        assert "ZeroDivisionError" in caplog.text


def test_observers_never_see_a_route_that_a_client_invented(start) -> None:
    counted = Counted()
    plane = start({"echo": Route(echo)}, observer=counted)
    assert [get(plane, route)[0] for route in ("nobody", "", "echo")] == [404, 404, 200]
    assert counted.seen == [("", "", 404), ("", "", 404), ("echo", "plugin-echo", 200)]
