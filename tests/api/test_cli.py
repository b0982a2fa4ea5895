"""The command as people run it: a process, its exit code and what it prints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from api.cli.serve import default_state, serve
from api.settings import Address, LogFormat, LogLevel, ServeSettings

ROOT = Path(__file__).parents[2]

GOOD = """\
apiVersion: wasm-reconciler.dev/v1alpha1
kind: WasmPlugin
metadata: {name: a}
spec: {module: {path: a.wasm}}
---
apiVersion: wasm-reconciler.dev/v1alpha1
kind: WasmPlugin
metadata: {name: b}
spec: {module: {path: b.wasm}}
"""

BAD = """\
apiVersion: wasm-reconciler.dev/v1alpha1
kind: WasmPlugin
metadata: {name: a}
spec:
  instnces: 2
  module: {path: a.wasm}
  limits: {memory: lots}
"""


def run(*arguments: str | Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "api", *map(str, arguments)]
    path = {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    variables = {**os.environ, **path, **environment}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=variables, timeout=50)


def test_help_shows_the_commands_and_serves_help_every_option_with_its_variable() -> None:
    commands = run("--help").stdout
    assert all(command in commands for command in ("serve", "validate", "schema"))
    options = run("serve", "--help").stdout
    for option in ("config", "specs", "stores", "admin", "listen", "state", "module-root", "log-level", "log-format"):
        assert f"--{option}" in options
        assert f"WASM_RECONCILER_{option.upper().replace('-', '_')}" in options
    assert "127.0.0.1:34998" in options
    assert "127.0.0.1:2045" in options


def test_version_is_one_line() -> None:
    answer = run("--version")
    assert answer.returncode == 0
    assert answer.stdout.startswith("wasm-reconciler ")


def test_validate_counts_the_plugins_of_good_files(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    answer = run("validate", tmp_path / "a.yaml")
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "2 plugins, all valid\n", "")


def test_validate_reports_every_problem_with_its_place(tmp_path: Path) -> None:
    bad, worse = tmp_path / "bad.yaml", tmp_path / "worse.json"
    bad.write_text(BAD)
    worse.write_text('{"a": ')
    answer = run("validate", bad, worse, tmp_path / "missing.yaml")
    assert answer.returncode == 1
    assert answer.stdout == ""
    lines = answer.stderr.splitlines()
    assert lines[0].startswith(f"{bad}:5:3: spec.instnces: ")
    assert "instances" in lines[0]
    assert lines[1].startswith(f"{bad}:7:")
    assert "spec.limits.memory" in lines[1]
    assert lines[2].startswith(f"{worse}:1:")
    assert lines[3].startswith(f"{tmp_path / 'missing.yaml'}: ")
    assert lines[4:] == ["4 problems in 3 files"]


def test_validate_takes_layottos_map(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    flat = {"name": "id_1", "instance_num": 1, "vm_config": {"engine": "wasmtime", "path": "a.wasm"}}
    config.write_text(json.dumps({"id_1_1": flat, "id_1_2": flat}))
    assert run("validate", config).stdout == "2 plugins, all valid\n"


def test_validate_finds_a_name_twice_across_files(tmp_path: Path) -> None:
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text(GOOD)
    answer = run("validate", tmp_path / "a.yaml", tmp_path / "b.yaml")
    assert answer.returncode == 1
    assert answer.stderr.count("b.yaml") == 2
    assert "a.yaml" in answer.stderr


def test_validate_finds_a_name_twice_on_one_line(tmp_path: Path) -> None:
    flat = {"name": "id_1", "vm_config": {"path": "a.wasm"}}
    (tmp_path / "a.json").write_text(json.dumps([flat, flat]))
    answer = run("validate", tmp_path / "a.json")
    assert answer.returncode == 1
    assert "the name id_1 is taken by" in answer.stderr
    assert answer.stderr.endswith("1 problem in 1 file\n")


def test_validate_without_a_file_is_a_usage_error() -> None:
    assert run("validate").returncode == 2


def test_schema_prints_the_json_schema() -> None:
    schema = json.loads(run("schema").stdout)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "WasmPlugin"
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == {"apiVersion", "kind", "metadata", "spec"}


@pytest.mark.parametrize("address", ["nonsense", "localhost", ":80", "::1:80", "a:99999", "a:-1", "a:b", "a:"])
def test_an_address_that_is_none_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"write for example 127\.0\.0\.1:34998"):
        Address.parse(address)


@pytest.mark.parametrize(
    ("text", "address"), [("localhost:0", Address("localhost", 0)), ("[::1]:80", Address("::1", 80))]
)
def test_an_address_is_written_as_it_is_read(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert str(address) == text


def test_serve_refuses_a_bad_address_from_a_flag_and_from_the_environment() -> None:
    for answer in (run("serve", "--admin", "nonsense"), run("serve", WASM_RECONCILER_LISTEN="nonsense")):
        assert answer.returncode == 2
        assert "'nonsense' is not HOST:PORT; write for example 127.0.0.1:34998" in answer.stderr


def settings(*arguments: str) -> ServeSettings:
    """What `serve` would be run with."""
    return ServeSettings(**serve.make_context("serve", list(arguments)).params)


def test_serve_without_options_has_every_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert settings() == ServeSettings(
        config=(),
        specs=(),
        stores=None,
        admin=Address("127.0.0.1", 34998),
        listen=Address("127.0.0.1", 2045),
        state=tmp_path / "wasm-reconciler",
        module_root=Path("."),
        log_level=LogLevel.INFO,
        log_format=LogFormat.TEXT,
    )


def test_serve_takes_every_option_from_flags_and_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ["--config", "a.json", "--config", "b.json", "--specs", "c", "--specs", "d", "--stores", "stores.yaml"]
    flags += ["--admin", "[::1]:1", "--listen", "0.0.0.0:0", "--state", "s", "--module-root", "m"]
    flags += ["--log-level", "debug", "--log-format", "json"]
    given = settings(*flags)
    assert given == ServeSettings(
        config=(Path("a.json"), Path("b.json")),
        specs=(Path("c"), Path("d")),
        stores=Path("stores.yaml"),
        admin=Address("::1", 1),
        listen=Address("0.0.0.0", 0),
        state=Path("s"),
        module_root=Path("m"),
        log_level=LogLevel.DEBUG,
        log_format=LogFormat.JSON,
    )
    variables = {"CONFIG": "a.json:b.json", "SPECS": "c:d", "STORES": "stores.yaml", "ADMIN": "[::1]:1"}
    variables |= {"LISTEN": "0.0.0.0:0", "STATE": "s", "MODULE_ROOT": "m", "LOG_LEVEL": "debug", "LOG_FORMAT": "json"}
    for name, value in variables.items():
        monkeypatch.setenv(f"WASM_RECONCILER_{name}", value)
    assert settings() == given
    assert settings("--admin", "127.0.0.1:7").admin.port == 7


def test_the_state_directory_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_state() == tmp_path / "wasm-reconciler"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_state() == tmp_path / ".local" / "state" / "wasm-reconciler"
