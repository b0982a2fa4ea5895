"""Who has no right gets nothing: bearer tokens, their roles, and the file they are in."""

import hashlib
import json
import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from api.access.credentials import read_credentials
from api.followed import Unusable
from tests.access.parts import PLUGINS_PATH, REVIEWS_PATH, Clock, Port, admin_port
from tests.api.world import Answer, World, plugin

READER, WRITER, OLD = "reader-token-0123456789", "writer-token-0123456789", "expired-token-0123456789"


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(tmp_path: Path, clock: Clock) -> Path:
    file = tmp_path / "tokens.yaml"
    soon = (clock.now + timedelta(minutes=1)).isoformat()
    file.write_text(
        f"tokens:\n- {{name: prometheus, role: read, token: {READER}}}\n"
        f"- {{name: ci, role: write, sha256: {digest(WRITER)}}}\n"
        f"- {{name: visitor, role: write, sha256: {digest(OLD)}, expires: '{soon}'}}\n"
    )
    return file


@pytest.fixture
def port(world: World, tmp_path: Path, tokens: Path, clock: Clock) -> Iterator[Port]:
    world.files.add(plugin("a"))
    with admin_port(world, tmp_path, clock=clock, tokens=tokens) as running:
        yield running


def bearer(token: str) -> str:
    return f"Bearer {token}"


def uninstall(port: Port, **headers: str) -> Answer:
    return port.ask("POST", "/wasm/uninstall", b'{"name": "a"}', **headers)


def test_without_a_token_nothing_is_read_or_written(port: Port, world: World) -> None:
    for answer in (port.ask("GET", "/sources"), port.ask("GET", "/nowhere"), uninstall(port)):
        assert answer.status == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="wasm-reconciler"'
    assert world.files.names == ["a"]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/livez/"])
def test_probes_need_no_token(port: Port, path: str) -> None:
    assert port.ask("GET", path).status == 200


@pytest.mark.parametrize(
    "path", ["/livez/../sources", "//sources", "/%6civez/x", "/livez%2f..%2fsources", "/sources?/livez"]
)
def test_an_open_path_opens_no_other(port: Port, path: str) -> None:
    assert port.ask("GET", path).status == 401


def test_an_open_path_takes_no_writes(port: Port) -> None:
    assert port.ask("POST", "/livez").status == 401


@pytest.mark.parametrize(
    "header",
    [
        bearer("a-token-that-nobody-has"),
        bearer(WRITER[:-1]),
        bearer(WRITER + "x"),
        bearer(digest(WRITER)),
        bearer(""),
        "Bearer",
        f"Basic {WRITER}",
        WRITER,
        bearer("\xff\xfe"),
        f"{bearer(WRITER)}, {bearer(WRITER)}",
    ],
)
def test_a_token_that_is_not_listed_is_401(port: Port, world: World, header: str) -> None:
    answer = uninstall(port, authorization=header)
    assert answer.status == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert world.files.names == ["a"]


def test_a_token_for_reading_reads(port: Port) -> None:
    assert port.ask("GET", "/sources", authorization=bearer(READER)).status == 200
    assert port.ask("HEAD", "/livez", authorization=bearer(READER)).status == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/wasm/uninstall", f"{PLUGINS_PATH}/a", "/sources"])
def test_a_token_for_reading_writes_nothing(port: Port, world: World, method: str, path: str) -> None:
    answer = port.ask(method, path, b'{"name": "a"}', authorization=bearer(READER))
    assert answer.status == (403 if method != "PROPFIND" else answer.status)
    assert answer.status >= 400
    assert world.files.names == ["a"]


def test_no_header_turns_a_read_into_a_write(port: Port, world: World) -> None:
    answer = port.ask(
        "GET", "/wasm/uninstall", b'{"name": "a"}', authorization=bearer(READER), x_http_method_override="POST"
    )
    assert answer.status == 405
    assert world.files.names == ["a"]


def test_a_token_for_writing_writes(port: Port, world: World) -> None:
    assert uninstall(port, authorization=bearer(WRITER)).status == 202
    assert world.files.names == []


def test_a_form_as_curl_sends_it_is_taken(port: Port, world: World) -> None:
    sent = {"content_type": "application/x-www-form-urlencoded", "authorization": bearer(WRITER)}
    assert uninstall(port, **sent).status == 202


def test_an_expired_token_is_401(port: Port, clock: Clock, world: World) -> None:
    assert port.ask("GET", "/sources", authorization=bearer(OLD)).status == 200
    clock.now += timedelta(minutes=1)
    answer = uninstall(port, authorization=bearer(OLD))
    assert answer.status == 401
    assert "expired" in answer.error
    assert world.files.names == ["a"]


def test_metrics_need_the_read_role_unless_they_are_opened(
    port: Port, world: World, tmp_path: Path, tokens: Path
) -> None:
    assert port.ask("GET", "/metrics").status == 401
    assert port.ask("GET", "/metrics", authorization=bearer(READER)).status == 200
    with admin_port(world, tmp_path, tokens=tokens, metrics_open=True) as open_port:
        assert open_port.ask("GET", "/metrics").status == 200
        assert open_port.ask("GET", "/sources").status == 401


# --- Kubernetes paths ------------------------------------------------------------------------------------------------


def test_refusals_on_kubernetes_paths_are_status_objects(port: Port) -> None:
    unknown = port.ask("GET", f"{PLUGINS_PATH}/a")
    refused = port.ask("DELETE", f"{PLUGINS_PATH}/a", authorization=bearer(READER))
    for answer, code, reason in ((unknown, 401, "Unauthorized"), (refused, 403, "Forbidden")):
        body = answer.json()
        assert (answer.status, body["kind"], body["status"], body["code"], body["reason"]) == (
            code, "Status", "Failure", code, reason,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("token", "verb", "allowed"),
    [(READER, "list", True), (READER, "delete", False), (WRITER, "delete", True), (READER, "*", False)],
)
def test_can_i_says_what_the_guard_does(port: Port, token: str, verb: str, allowed: bool) -> None:
    about = {"group": "wasm-reconciler.dev", "resource": "wasmplugins", "verb": verb}
    review = {"spec": {"resourceAttributes": about}}
    answer = port.ask(
        "POST", REVIEWS_PATH, json.dumps(review).encode(), authorization=bearer(token), content_type="application/json"
    )
    assert answer.json()["status"]["allowed"] is allowed


def test_can_i_names_who_asks(port: Port) -> None:
    review = {"spec": {"nonResourceAttributes": {"path": "/version", "verb": "get"}}}
    answer = port.ask(
        "POST", REVIEWS_PATH, json.dumps(review).encode(), authorization=bearer(READER), content_type="application/json"
    )
    status = answer.json()["status"]
    assert status["allowed"]
    assert re.fullmatch(r"\S+ has the role read", status["reason"])


def test_can_i_needs_a_token(port: Port) -> None:
    assert port.ask("POST", REVIEWS_PATH, b'{"spec": {}}').status == 401


# --- the file --------------------------------------------------------------------------------------------------------


def test_a_changed_file_counts_from_the_next_request_on(port: Port, tokens: Path) -> None:
    assert port.ask("GET", "/sources", authorization=bearer(READER)).status == 200
    fresh = "another-token-0123456789"
    text = tokens.read_text()
    for now, before in ((fresh, READER), (READER, fresh), (fresh, READER)):
        tokens.write_text(text.replace(READER, now))
        assert port.ask("GET", "/sources", authorization=bearer(now)).status == 200
        assert port.ask("GET", "/sources", authorization=bearer(before)).status == 401


def test_a_file_that_is_replaced_counts_too(port: Port, tokens: Path) -> None:
    beside = tokens.with_name("new")
    beside.write_text("tokens: []")
    beside.replace(tokens)
    assert port.ask("GET", "/sources", authorization=bearer(READER)).status == 401


@pytest.mark.parametrize("broken", ["tokens: [", "tokens: [{name: a}]", "[]", "", None])
def test_a_broken_file_keeps_the_last_good_one_and_the_log_says_so(
    port: Port, tokens: Path, broken: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    if broken is None:
        tokens.unlink()
    else:
        tokens.write_text(broken)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            assert port.ask("GET", "/sources", authorization=bearer(READER)).status == 200
            assert port.ask("GET", "/sources", authorization=bearer("nobody-has-this-one")).status == 401
    [warning] = [record for record in caplog.records if record.name == "api.followed"]
    assert str(tokens) in warning.reason
    tokens.write_text("tokens: []")
    assert port.ask("GET", "/sources", authorization=bearer(READER)).status == 401


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("tokens: [{name: a, role: admin, token: 0123456789abcdef}]", "tokens.0.role"),
        ("tokens: [{name: a, role: read, token: secret}]", "tokens.0.token"),
        ("tokens: [{name: a, role: read}]", "exactly one of sha256, token"),
        ("tokens: [{name: a, role: read, sha256: abc}]", "tokens.0.sha256"),
        ("tokens: [{name: a, role: read, token: 0123456789abcdef, expires: 2027-01-01T00:00:00}]", "tokens.0.expires"),
        ("tokens: [{name: a, role: read, token: 0123456789abcdef, expiry: 1}]", "tokens.0.expiry"),
        ("certificates: [{commonName: a, role: read}, {commonName: a, role: write}]", "one commonName"),
        (
            "tokens: [{name: a, role: read, token: 0123456789abcdef}, {name: b, role: write, token: 0123456789abcdef}]",
            "two tokens are equal",
        ),
    ],
)
def test_a_file_that_says_something_else_is_refused_without_its_secrets(
    tmp_path: Path, text: str, complaint: str
) -> None:
    file = tmp_path / "tokens.yaml"
    file.write_text(text)
    with pytest.raises(Unusable) as caught:
        read_credentials(file)
    assert complaint in str(caught.value)
    assert "0123456789abcdef" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_json_file_is_read_too(tmp_path: Path) -> None:
    file = tmp_path / "tokens.json"
    file.write_text('{"tokens": [{"name": "a", "role": "read", "token": "0123456789abcdef"}]}')
    assert read_credentials(file).tokens[0].digest == hashlib.sha256(b"0123456789abcdef").digest()
