"""Start, stop, drain, addresses, TLS."""

import socket
import ssl
import subprocess
import threading
import urllib.request
from pathlib import Path

import pytest

from api.dataplane.listen import ListenFailed
from api.dataplane.server import DataPlane
from api.dataplane.settings import Settings
from api.settings import Address
from tests.api.dataplane.parts import DEADLINE, Gate, RawClient, Route, RouteDispatcher, echo, eventually

GET = b"GET /invoke/r HTTP/1.1\r\nHost: h\r\n\r\n"


def make(address: Address) -> DataPlane:
    return DataPlane(RouteDispatcher({"r": Route(echo)}), address, Settings())


def stopping(plane: DataPlane, drain_seconds: float) -> tuple[threading.Thread, list[bool]]:
    clean: list[bool] = []
    thread = threading.Thread(target=lambda: clean.append(plane.stop(drain_seconds)))
    thread.start()
    return thread, clean


def refused(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def test_a_port_in_use_is_named(start) -> None:
    plane = start({"r": Route(echo)})
    with pytest.raises(ListenFailed, match=f"127.0.0.1:{plane.port} is in use"):
        make(Address("127.0.0.1", plane.port)).start()


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_named(host: str) -> None:
    with pytest.raises(ListenFailed, match="is not an address of this machine"):
        make(Address(host, 0)).start()


def test_it_listens_on_ipv6(start) -> None:
    plane = make(Address("::1", 0))
    try:
        plane.start()
    except ListenFailed as reason:
        pytest.skip(f"no IPv6 here: {reason}")
    try:
        with urllib.request.urlopen(f"http://[::1]:{plane.port}/invoke/r", timeout=DEADLINE) as answered:
            assert answered.status == 200
    finally:
        plane.stop(0.0)


def test_the_port_can_be_taken_again_at_once() -> None:
    first = make(Address("127.0.0.1", 0))
    first.start()
    with RawClient(first.port) as client:
        client.send(GET)
        assert client.answer().status == 200
        first.stop(0.0)
        second = make(Address("127.0.0.1", first.port))
        second.start()
        assert second.stop(1.0)


def test_stop_lets_requests_in_flight_end_and_takes_no_more(start) -> None:
    gate = Gate()
    route = Route(gate)
    plane = start({"r": route})
    with RawClient(plane.port) as running, RawClient(plane.port) as waiting, RawClient(plane.port) as idle:
        running.send(GET)
        eventually(lambda: gate.entered == 1)
        waiting.send(GET)
        eventually(lambda: len(route.waiting) == 1)
        idle.send(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert idle.answer().status == 404
        thread, clean = stopping(plane, DEADLINE)
        assert idle.at_end()
        eventually(lambda: refused(plane.port))
        gate.opened.set()
        for client in (running, waiting):
            answered = client.answer()
            assert (answered.body, answered.headers["connection"]) == (b"slow", "close")
            assert client.at_end()
    thread.join()
    assert clean == [True]
    assert plane.stop(0.0)


def test_stop_cuts_what_does_not_end_in_time_and_gives_every_instance_back(start) -> None:
    gate = Gate()
    route = Route(gate)
    plane = start({"r": route})
    with RawClient(plane.port) as running, RawClient(plane.port) as waiting:
        running.send(GET)
        eventually(lambda: gate.entered == 1)
        waiting.send(GET)
        eventually(lambda: len(route.waiting) == 1)
        assert not plane.stop(0.05)
        assert running.at_end()
        assert waiting.at_end()
    assert not route.waiting
    gate.opened.set()
    eventually(lambda: route.idle == 1)


def test_idle_guest_threads_end(start) -> None:
    plane = start({"r": Route(echo)}, Settings(guest_thread_idle=0.01))
    with RawClient(plane.port) as client:
        client.send(GET)
        assert client.answer().status == 200
        eventually(lambda: not any(thread.name.startswith("guest-") for thread in threading.enumerate()))
        client.send(GET)
        assert client.answer().status == 200


def test_more_guests_than_threads_take_turns(start) -> None:
    gate = Gate()
    plane = start({"r": Route(gate, instances=8)}, Settings(guest_threads=2))
    clients = [RawClient(plane.port) for _ in range(8)]
    for client in clients:
        client.send(GET)
    eventually(lambda: gate.entered == 2)
    gate.opened.set()
    for client in clients:
        assert client.answer().body == b"slow"
        client.socket.close()


def test_it_speaks_tls_when_given_a_context(start, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    seen = []
    plane = start({"r": Route(lambda request: seen.append(request.scheme) or echo(request))}, tls=context)
    trusting = ssl.create_default_context(cafile=str(certificate))
    body = b"x" * 500_000
    with urllib.request.urlopen(
        urllib.request.Request(f"https://127.0.0.1:{plane.port}/invoke/r", data=body),
        timeout=DEADLINE,
        context=trusting,
    ) as answered:
        assert answered.read().endswith(body)
    assert seen == ["https"]
    with RawClient(plane.port) as plain:
        plain.send(GET)
        assert plain.at_end()
