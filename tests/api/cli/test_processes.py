"""The command as a process of its own: over TLS with tokens, and commands that go on until Ctrl-C."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.access.parts import Authority
from tests.daemon import ROOT, RunningDaemon, until

SPEC = (
    "{apiVersion: wasm-reconciler.dev/v1alpha1, kind: WasmPlugin, metadata: {name: %s}, spec: {module: {path: m.wat}}}"
)
TOKENS = """\
tokens:
  - {name: writer, role: write, token: a-token-that-may-write}
  - {name: reader, role: read, token: a-token-that-may-read}
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[RunningDaemon]:
    """TLS on both ports, and tokens."""
    place = tmp_path_factory.mktemp("node")
    certificate, key = map(str, authority.issue("localhost"))
    tokens = place / "tokens.yaml"
    tokens.write_text(TOKENS)
    daemon = RunningDaemon(
        place, "--tls-cert", certificate, "--tls-key", key, "--admin-tls-cert", certificate, "--admin-tls-key", key,
        "--tokens", str(tokens),
    )  # fmt: skip
    daemon.module("m.wat")
    (daemon.specs / "hello.yaml").write_text(SPEC % "hello")
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture
def environment(daemon: RunningDaemon, authority: Authority) -> dict[str, str]:
    """Of a user who may write."""
    port = daemon.admin.rpartition(":")[2]
    given = {"SERVER": f"https://localhost:{port}", "CA": str(authority.file), "TOKEN": "a-token-that-may-write"}
    return {**os.environ, **{f"WASM_RECONCILER_{name}": value for name, value in given.items()}}


def _says() -> bytes:
    return (ROOT / "api" / "cli" / "skeletons" / "wat" / "NAME.wat").read_bytes()


def run(environment: dict[str, str], *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "api", *words], check=False, capture_output=True, text=True, timeout=40,
        env=environment | more,
    )  # fmt: skip


def test_invoke_speaks_tls_to_the_data_plane(environment: dict[str, str]) -> None:
    answer = run(environment, "invoke", "hello", "--body-only")
    assert (answer.returncode, answer.stdout) == (0, "hello"), answer.stderr


def test_a_token_that_may_only_read_reads_and_is_told_why_it_cannot_write(environment: dict[str, str]) -> None:
    reader = {"WASM_RECONCILER_TOKEN": "a-token-that-may-read"}
    assert "hello" in run(environment, "get", "-o", "name", **reader).stdout
    refused = run(environment, "scale", "hello", "2", **reader)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert "read" in refused.stderr
    assert "write" in refused.stderr


def test_without_a_token_or_the_authority_it_says_what_is_missing(environment: dict[str, str], tmp_path: Path) -> None:
    nobody = run(environment, "get", WASM_RECONCILER_TOKEN="")
    assert nobody.returncode == 1
    assert "token" in nobody.stderr
    del environment["WASM_RECONCILER_CA"]
    stranger = run(environment, "get")
    assert stranger.returncode == 1
    assert "certificate" in stranger.stderr


@pytest.mark.parametrize("command", [["logs", "-f"], ["events", "-w"]])
def test_what_follows_goes_on_until_ctrl_c_and_ends_quietly(
    command: list[str], environment: dict[str, str], daemon: RunningDaemon, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    with seen.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "api", *command], stdout=out, stderr=subprocess.PIPE, text=True,
            env=environment | {"PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        name = command[0]
        if name == "logs":  # the skeleton says something when it is asked
            (daemon.modules / "said.wat").write_bytes(_says())
            (daemon.specs / "said.yaml").write_text((SPEC % "said").replace("m.wat", "said.wat"))
            until(lambda: run(environment, "invoke", "said").returncode == 0 and "somebody" in seen.read_text(), name)
        else:
            (daemon.specs / "later.yaml").write_text(SPEC % "later")
            until(lambda: "later" in seen.read_text(), name, 40)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) in (0, 130)
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
