"""A web page cannot drive a loopback admin port: rebound names, forms and scripts from elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.access.hosts import host_rule, is_loopback
from api.settings import Address
from tests.access.parts import PLUGINS_PATH, Port, admin_port
from tests.api.world import World, plugin

UNINSTALL = b'{"name": "a"}'


@pytest.fixture
def port(world: World, tmp_path: Path) -> Iterator[Port]:
    world.files.add(plugin("a"))
    with admin_port(world, tmp_path, admin_host=("admin.internal",)) as running:
        yield running


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LocalHost:1",
        "127.0.0.1",
        "127.0.0.1:34998",
        "[::1]",
        "[::1]:34998",
        "admin.internal:80",
        "localhost.",
    ],
)
def test_our_own_names_are_taken(port: Port, host: str) -> None:
    assert port.ask("GET", "/sources", host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:34998",
        "localhost.evil.example",
        "evil.localhost",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "[2001:db8::1]",
        "admin.internal.evil.example",
        "xadmin.internal",
        "evil.example@localhost",
        "localhost@evil.example",
        "localhost/evil.example",
        "0x7f.1",
        "[::1].evil.example",
        "[::1",
    ],
)
def test_a_foreign_host_is_403_for_reads_probes_and_writes(port: Port, world: World, host: str) -> None:
    assert port.ask("GET", "/sources", host=host).status == 403
    assert port.ask("GET", "/livez", host=host).status == 403
    assert port.ask("POST", "/wasm/uninstall", UNINSTALL, host=host).status == 403
    assert world.files.names == ["a"]


def test_a_foreign_host_in_the_target_counts_before_the_header(port: Port) -> None:
    assert port.ask("GET", "http://evil.example/sources", host="localhost").status == 403


@pytest.mark.parametrize("host", ["localhost\r\nHost: evil.example", "evil.example\r\nHost: localhost", ""])
def test_two_hosts_or_an_empty_one_are_400(port: Port, host: str) -> None:
    assert port.ask("GET", "/sources", host=host).status == 400


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://localhost:3000"},
        {"origin": "file://"},
        {"origin": "localhost"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "application/json"])
def test_a_page_from_elsewhere_changes_nothing(port: Port, world: World, headers: dict[str, str], kind: str) -> None:
    answer = port.ask("POST", "/wasm/uninstall", UNINSTALL, content_type=kind, **headers)
    assert answer.status == 403
    assert world.files.names == ["a"]


def test_it_is_a_status_on_kubernetes_paths(port: Port) -> None:
    answer = port.ask("DELETE", f"{PLUGINS_PATH}/a", origin="http://evil.example")
    assert answer.json()["reason"] == "Forbidden"


def test_our_own_page_changes_things(port: Port, world: World) -> None:
    headers = {"host": "localhost:1234", "origin": "http://localhost:1234", "sec_fetch_site": "same-origin"}
    assert port.ask("POST", "/wasm/uninstall", UNINSTALL, **headers).status == 202
    assert world.files.names == []


def test_curl_with_its_form_type_and_no_origin_changes_things(port: Port, world: World) -> None:
    answer = port.ask("POST", "/wasm/uninstall", UNINSTALL, content_type="application/x-www-form-urlencoded")
    assert answer.status == 202
    assert world.files.names == []


def test_a_port_on_the_network_takes_any_address_but_only_its_own_names() -> None:
    rule = host_rule(Address("0.0.0.0", 1), ("node.example",))
    assert all(map(rule.allows, ["10.1.2.3:80", "[2001:db8::1]:80", "node.example", "localhost"]))
    assert not rule.allows("evil.example")


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_what_only_this_machine_can_reach(host: str, loopback: bool) -> None:
    assert is_loopback(Address(host, 0)) is loopback
