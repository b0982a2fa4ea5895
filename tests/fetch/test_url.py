"""Modules by url: what is followed, what is tried again, what is bounded, and what may not be reached."""

import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from reconciler.core.states import Reason
from reconciler.host.fetch.web import ATTEMPTS, MAX_REDIRECTS
from tests.fetch.world import Answer, Fetching, Names, Site, refusal, reply

METADATA = "http://169.254.169.254/latest/meta-data/iam/"


def to(location: str, status: int = 302) -> Answer:
    return reply(status, location=location)


def test_a_module_comes_from_its_url(site: Site) -> None:
    site.pages["/a.wasm?v=1"] = reply(body=b"module")

    assert Fetching().url(site.url("/a.wasm?v=1")) == b"module"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(site: Site, status: int) -> None:
    site.pages["/a"] = to("b/c", status)
    site.pages["/b/c"] = to(site.url("/d"), status)
    site.pages["/d"] = reply(body=b"module")

    assert Fetching().url(site.url("/a")) == b"module"


def test_redirects_in_a_circle_end(site: Site) -> None:
    site.pages["/a"] = to("/a")

    reason, message = refusal(lambda: Fetching().url(site.url("/a")))

    assert (reason, len(site.seen)) == (Reason.BLOCKED_ADDRESS, MAX_REDIRECTS + 1)
    assert "more than 5 redirects" in message


@pytest.mark.parametrize(("status", "reason"), [(404, Reason.NOT_FOUND), (410, Reason.NOT_FOUND),
                                                (403, Reason.FETCH_FAILED), (204, Reason.FETCH_FAILED)])  # fmt: skip
def test_a_clear_answer_is_not_asked_for_again(site: Site, status: int, reason: Reason) -> None:
    site.pages["/a"] = reply(status)

    found, message = refusal(lambda: Fetching().url(site.url("/a")))

    assert (found, len(site.seen)) == (reason, 1)
    assert f"127.0.0.1:{site.port} answered {status}" in message


def cut(request: BaseHTTPRequestHandler) -> None:
    """A body that ends too early."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")


def hang_up(request: BaseHTTPRequestHandler) -> None:
    request.wfile.close()


@pytest.mark.parametrize("bad", [reply(500), reply(503), reply(429), cut, hang_up])
def test_what_may_pass_by_itself_is_tried_again(site: Site, bad: Answer) -> None:
    site.pages["/a"] = [bad, bad, reply(body=b"module")]

    assert Fetching().url(site.url("/a")) == b"module"
    assert len(site.seen) == 3


def test_a_server_that_stays_broken_is_given_up(site: Site) -> None:
    site.pages["/a"] = reply(502)

    reason, message = refusal(lambda: Fetching().url(site.url("/a")))

    assert (reason, len(site.seen)) == (Reason.FETCH_FAILED, ATTEMPTS)
    assert "answered 502" in message


def test_a_server_that_is_not_there_is_a_failure(site: Site) -> None:
    site.close()

    reason, message = refusal(lambda: Fetching(seconds=1).url(site.url("/a")))

    assert reason is Reason.FETCH_FAILED
    assert "refused" in message


# Bounds


@pytest.mark.parametrize("announced", [True, False])
def test_a_module_that_is_too_large_is_cut_off_and_not_asked_for_again(site: Site, announced: bool) -> None:
    def flood(request: BaseHTTPRequestHandler) -> None:
        length = b"Content-Length: 100000000\r\n" if announced else b""
        request.wfile.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n")
        while True:
            request.wfile.write(b"x" * 65536)

    site.pages["/a"] = flood

    reason, message = refusal(lambda: Fetching(max_bytes=100_000).url(site.url("/a")))

    assert (reason, len(site.seen)) == (Reason.TOO_LARGE, 1)
    assert "larger than 100000 bytes" in message


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"HTTP/1.1 200 OK\r\n"])
def test_a_server_that_drips_is_given_up_in_time(site: Site, start: bytes) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.wfile.write(start)
        pause = threading.Event()
        while not pause.wait(0.02):
            request.wfile.write(b"x: y\r\n")

    site.pages["/a"] = drip
    began = time.monotonic()

    reason, _ = refusal(lambda: Fetching(seconds=0.4).url(site.url("/a")))

    assert reason is Reason.FETCH_FAILED
    assert 0.3 < time.monotonic() - began < 1.5


def test_retries_stay_inside_the_time(site: Site) -> None:
    site.pages["/a"] = reply(500)
    began = time.monotonic()

    refusal(lambda: Fetching(seconds=0.25).url(site.url("/a")))

    assert time.monotonic() - began < 1.0
    assert len(site.seen) < ATTEMPTS


def test_closing_gives_up_what_is_under_way(site: Site) -> None:
    arrived = threading.Event()

    def silent(request: BaseHTTPRequestHandler) -> None:
        arrived.set()
        request.rfile.read(1)

    site.pages["/a"] = silent
    fetching = Fetching(seconds=20)
    found: list[tuple[Reason, str]] = []
    thread = threading.Thread(target=lambda: found.append(refusal(lambda: fetching.url(site.url("/a")))))
    thread.start()
    assert arrived.wait(5)

    fetching.remote.close()
    thread.join(5)

    assert found == [(Reason.FETCH_FAILED, "the host is stopping")]
    assert refusal(lambda: fetching.url(site.url("/a")))[1] == "the host is stopping"


# What may not be reached


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "2130706433", "0x7f000001", "0x7f.1",
     "0177.0.0.1", "017700000001", "127.1", "0", "127.0.0.1.", "%31%32%37.0.0.1", "[64:ff9b::127.0.0.1]",
     "[fe80::1%25lo]"],
)  # fmt: skip
def test_this_machine_is_not_reached_however_it_is_spelt(site: Site, host: str) -> None:
    site.pages["/a"] = reply(body=b"secret")

    reason, _ = refusal(lambda: Fetching(hosts=(), seconds=5).url(site.url("/a", host=host)))

    assert reason in (Reason.BLOCKED_ADDRESS, Reason.FETCH_FAILED)
    assert site.seen == []


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "[::ffff:169.254.169.254]", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "10.0.0.1",
     "192.168.1.1", "172.16.0.1", "100.64.0.1", "100.100.100.200", "[fd00:ec2::254]", "[fe80::1]", "0.0.0.0",
     "224.0.0.1", "255.255.255.255", "[2002:7f00:1::]"],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused_before_a_connection(host: str) -> None:
    began = time.monotonic()

    reason, message = refusal(lambda: Fetching(hosts=()).url(f"http://{host}/a"))

    assert reason is Reason.BLOCKED_ADDRESS
    assert "--module-hosts does not allow it" in message
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "target", [METADATA, "http://[::ffff:a9fe:a9fe]/", "http://0xa9fea9fe/", "//169.254.169.254/x"]
)
def test_a_redirect_to_the_clouds_metadata_is_refused(site: Site, target: str) -> None:
    site.pages["/a"] = to(target)

    reason, message = refusal(lambda: Fetching().url(site.url("/a")))

    assert (reason, len(site.seen)) == (Reason.BLOCKED_ADDRESS, 1)
    assert "169.254.169.254 is a link-local address" in message


def test_a_redirect_to_a_host_that_is_not_named_is_refused(sites: Callable[[], Site]) -> None:
    outer, inner = sites(), sites()
    outer.pages["/a"] = to(inner.url("/secret"))
    inner.pages["/secret"] = reply(body=b"secret")

    reason, _ = refusal(lambda: Fetching(hosts=(f"127.0.0.1:{outer.port}",)).url(outer.url("/a")))

    assert reason is Reason.BLOCKED_ADDRESS
    assert inner.seen == []


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "gopher://127.0.0.1/", "http://u:p@127.0.0.1/", "http://[", "https://"]
)
def test_a_redirect_to_what_is_no_plain_url_is_refused(site: Site, target: str) -> None:
    site.pages["/a"] = to(target)

    assert refusal(lambda: Fetching().url(site.url("/a")))[0] is Reason.BLOCKED_ADDRESS


def test_a_name_whose_answer_turns_inward_is_refused(site: Site) -> None:
    """The first answer is followed, the second leads inside: each connection is checked by its own answer."""
    site.pages["/a"] = to(f"http://rebind.test:{site.port}/b")
    names = Names(start_test=("127.0.0.1",), rebind_test=("127.0.0.1", "169.254.169.254"))
    fetching = Fetching(hosts=(f"start.test:{site.port}",), names=names)

    reason, message = refusal(lambda: fetching.url(site.url("/a", host="start.test")))

    assert reason is Reason.BLOCKED_ADDRESS
    assert "127.0.0.1 is a loopback address" in message
    assert site.paths == ["/a"]


def test_the_address_that_was_checked_is_connected_to(site: Site) -> None:
    """One lookup for each connection: a second answer, for a second look, never comes."""
    site.pages["/a"] = reply(body=b"module")
    names = Names(rebind_test=("127.0.0.1", "169.254.169.254"))

    assert Fetching(hosts=("rebind.test",), names=names).url(site.url("/a", host="rebind.test")) == b"module"
    assert names.asked == ["rebind.test"]


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200", "fd00:ec2::254", "0.0.0.0", "::"])
def test_a_named_host_may_not_lead_to_where_clouds_answer_with_credentials(address: str) -> None:
    names = Names(registry_test=(address,))

    reason, _ = refusal(lambda: Fetching(hosts=("registry.test",), names=names).url("http://registry.test/a"))

    assert reason is Reason.BLOCKED_ADDRESS


def test_a_named_host_may_lead_to_a_private_address(site: Site) -> None:
    site.pages["/a"] = reply(body=b"module")
    fetching = Fetching(hosts=(f"modules.test:{site.port}",), names=Names(modules_test=("127.0.0.1",)))

    assert fetching.url(site.url("/a", host="modules.test")) == b"module"


def test_a_name_is_good_for_its_port_only(sites: Callable[[], Site]) -> None:
    named, other = sites(), sites()
    fetching = Fetching(hosts=(f"modules.test:{named.port}",), names=Names(modules_test=("127.0.0.1",)))

    assert refusal(lambda: fetching.url(other.url("/a", host="modules.test")))[0] is Reason.BLOCKED_ADDRESS
    assert other.seen == []


def test_secrets_of_a_redirect_are_not_shown(site: Site) -> None:
    site.pages["/a"] = to("http://127.0.0.1:1/b?signature=secret")

    assert "secret" not in refusal(lambda: Fetching(seconds=0.3).url(site.url("/a")))[1]


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and key for good.test, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: it makes the test's certificate")
    directory = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=good.test"
    extra = ["-addext", "subjectAltName=DNS:good.test", "-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*command.split(), *extra], cwd=directory, check=True, capture_output=True)
    return directory


def test_https_is_checked_and_never_left(certificate: Path) -> None:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    site, plain = Site(server), Site()
    site.pages["/a"] = reply(body=b"module")
    site.pages["/down"] = to(plain.url("/a", host="good.test"))
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    names = Names(good_test=("127.0.0.1",), bad_test=("127.0.0.1",))
    hosts = ("good.test", "bad.test")
    try:
        fetching = Fetching(hosts, names, tls=trusting, seconds=1)
        stranger = Fetching(hosts, names, seconds=1)
        assert fetching.url(site.url("/a", "good.test", "https")) == b"module"
        assert "not valid for" in refusal(lambda: fetching.url(site.url("/a", "bad.test", "https")))[1]
        assert "self-signed" in refusal(lambda: stranger.url(site.url("/a", "good.test", "https")))[1]
        reason, message = refusal(lambda: fetching.url(site.url("/down", "good.test", "https")))
        assert (reason, plain.seen) == (Reason.BLOCKED_ADDRESS, [])
        assert "from https to http" in message
    finally:
        site.close()
        plain.close()
