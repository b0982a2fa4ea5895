"""The daemon as it is started: what it refuses to open, and a whole one with tokens and TLS."""

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from api.access.parts import access_parts
from api.followed import Unusable
from api.settings import Address
from tests.access.parts import Authority, Clock, settings

ROOT = Path(__file__).resolve().parents[2]
EVERYWHERE = Address("0.0.0.0", 0)
WRITER = "writer-token-0123456789"


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    file = tmp_path / "tokens.yaml"
    file.write_text(f"tokens: [{{name: bob, role: write, token: {WRITER}}}]")
    return file


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_port_on_the_network_needs_tokens_and_tls(
    tmp_path: Path, authority: Authority, tokens: Path, host: str
) -> None:
    certificate, key = authority.issue("server")
    tls = {"admin_tls_cert": certificate, "admin_tls_key": key}
    where = {"admin": Address(host, 0)}
    for given, missing in (
        ({}, r"--tokens FILE and --admin-tls-cert FILE"),
        ({"tokens": tokens}, r"add --admin-tls-cert FILE"),
        (tls, r"add --tokens FILE,"),
    ):
        with pytest.raises(Unusable, match=missing):
            access_parts(settings(tmp_path, **where, **given), Clock())
    access_parts(settings(tmp_path, **where, **tls, tokens=tokens), Clock())
    access_parts(settings(tmp_path, **where, admin_insecure=True), Clock())


def test_flags_that_do_not_fit_together_are_named(tmp_path: Path, authority: Authority, tokens: Path) -> None:
    certificate, key = authority.issue("server")
    for given, complaint in (
        ({"admin_tls_cert": certificate}, "both --admin-tls-cert FILE and --admin-tls-key FILE"),
        ({"admin_client_ca": authority.file, "tokens": tokens}, "both --admin-tls-cert FILE"),
        ({"tls_key": key}, "both --tls-cert FILE and --tls-key FILE"),
        ({"client_ca": authority.file}, "both --tls-cert FILE"),
        ({"admin_tls_cert": certificate, "admin_tls_key": key, "admin_client_ca": authority.file}, "needs --tokens"),
        ({"tokens": tmp_path / "nowhere.yaml"}, "nowhere.yaml cannot be read"),
        ({"tls_cert": certificate, "tls_key": certificate}, "are no certificate with its key"),
    ):
        with pytest.raises(Unusable, match=complaint):
            access_parts(settings(tmp_path, **given), Clock())


def command(directory: Path, *flags: str | Path) -> list[str]:
    place = ["--specs", directory / "specs", "--state", directory / "state", "--module-root", directory]
    return [sys.executable, "-m", "api", "serve", "--listen", "127.0.0.1:0", *map(str, [*place, *flags])]


def test_the_daemon_says_so_and_exits_with_1(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command(tmp_path, "--admin", "0.0.0.0:0"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 1
    assert "say --admin-insecure" in done.stderr
    assert "Traceback" not in done.stderr


@contextmanager
def daemon(directory: Path, *flags: str | Path) -> Iterator[tuple[int, int, list[str]]]:
    """A daemon with TLS on both ports: the data plane's port, the admin port's, and its log so far."""
    (directory / "specs").mkdir(exist_ok=True)
    log: list[str] = []
    process = subprocess.Popen(
        command(directory, *flags), env={**os.environ, "PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        ports = []
        for line in process.stderr:
            log.append(line)
            if " on https://" in line:
                ports.append(int(line.rsplit(":", 1)[1]))
            if len(ports) == 2:
                break
        assert len(ports) == 2, "".join(log)
        rest = threading.Thread(target=log.extend, args=(process.stderr,))
        rest.start()
        yield ports[0], ports[1], log
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        rest.join()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_a_whole_daemon_on_the_network_with_tokens_tls_and_client_certificates(
    tmp_path: Path, authority: Authority, tokens: Path
) -> None:
    certificate, key = authority.issue("server")
    flags = ["--tokens", tokens, "--admin-tls-cert", certificate, "--admin-tls-key", key, "--admin", "0.0.0.0:0"]
    flags += ["--tls-cert", certificate, "--tls-key", key, "--client-ca", authority.file]
    with daemon(tmp_path, *flags) as (data, admin, log):
        plugin = {"name": "a", "instance_num": 1, "vm_config": {"engine": "wasmtime", "path": "a.wasm"}}

        def ask(port: int, context: ssl.SSLContext, method: str, path: str, **headers: str) -> int:
            connection = http.client.HTTPSConnection("localhost", port, timeout=20, context=context)
            try:
                connection.request(method, path, json.dumps(plugin) if method == "POST" else None, headers)
                answer = connection.getresponse()
                answer.read()
                return answer.status
            finally:
                connection.close()

        nobody, client = authority.client(), authority.client(authority.issue("client"))
        bob = {"Authorization": f"Bearer {WRITER}"}
        assert ask(admin, nobody, "GET", "/readyz") == 200
        assert ask(admin, nobody, "GET", "/sources") == 401
        assert ask(admin, nobody, "POST", "/wasm/install") == 401
        assert ask(admin, nobody, "POST", "/wasm/install", Origin="https://evil.example", **bob) == 403
        assert ask(admin, nobody, "POST", "/wasm/install", **bob) == 202
        assert ask(data, client, "GET", "/nothing") == 404
        with pytest.raises(OSError):
            ask(data, nobody, "GET", "/nothing")
    lines = [line for line in log if " audit write " in line]
    assert [("who=bob" in line, line.rpartition("status=")[2].split()[0]) for line in lines] == [
        (False, "401"), (False, "403"), (True, "202"),
    ]  # fmt: skip
    assert "object=a " in lines[-1]
    assert WRITER not in "".join(log)
