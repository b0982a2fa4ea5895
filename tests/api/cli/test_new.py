"""Each skeleton builds with its language's compiler, runs, and answers; without one it says what to install."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.cli.new import SUFFIXES
from api.cli.toolchains import BuildFailed, build
from tests.api.cli.conftest import ROOT, Desk

_DEBIAN_RUST = Path("/usr/bin/rustc")


@pytest.fixture
def toolchain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Debian's rustc can build for WASI where rustup's may not."""
    if _DEBIAN_RUST.exists():
        monkeypatch.setenv("RUSTC", str(_DEBIAN_RUST))
    yield


@pytest.mark.parametrize("language", SUFFIXES)
def test_a_skeleton_builds_and_answers(language: str, desk: Desk, toolchain: None) -> None:
    name = f"my-{language}"
    made = desk.run(f"new {language} {name}")
    assert made.exit_code == 0, made.output
    source = desk.place / name / f"{name}{SUFFIXES[language]}"
    if language == "assemblyscript":
        install(desk.place / name)
    try:
        build(source)
    except BuildFailed as failed:
        assert any(word in str(failed) for word in ("install", "rustup", "apt-get")), failed
        pytest.skip(str(failed))
    answer = desk.run(f"dev {name}/{source.name} --once")
    assert answer.exit_code == 0, answer.output
    assert "Hello from" in answer.stdout
    assert desk.run(f"validate {name}/plugin.yaml").exit_code == 0
    desk.run(f"delete {name}")


def install(directory: Path) -> None:
    """The AssemblyScript compiler, where npm can get it; or the one that the examples were built with."""
    built = ROOT / "build" / "guests" / "node_modules"
    if built.exists():
        (directory / "node_modules").symlink_to(built)
    elif shutil.which("npm"):
        command = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(directory)]
        subprocess.run(command, check=False, capture_output=True, timeout=50)


def test_what_is_there_is_not_overwritten(desk: Desk) -> None:
    (desk.place / "taken").mkdir()
    refused = desk.run("new wat taken")
    assert refused.exit_code == 1
    assert "is there already" in refused.stderr
    assert os.listdir(desk.place / "taken") == []


def test_a_name_that_is_none_is_refused_before_anything_is_written(desk: Desk) -> None:
    refused = desk.run("new wat ' -x'")
    assert refused.exit_code == 1
    assert not (desk.place / " -x").exists()


def test_the_header_and_the_helpers_are_those_of_the_examples() -> None:
    skeletons = ROOT / "api" / "cli" / "skeletons"
    for ours, theirs in (
        ("c/proxy_wasm.h", "sdk/c/proxy_wasm.h"),
        ("assemblyscript/proxy.ts", "filter-assemblyscript/proxy.ts"),
    ):
        assert (skeletons / ours).read_bytes() == (ROOT / "examples" / theirs).read_bytes()


def test_what_a_compiler_says_is_shown_and_the_module_stays(desk: Desk) -> None:
    if desk.run("new c broken").exit_code or not shutil.which("clang-16"):
        pytest.skip("clang-16 is not installed")
    source = desk.place / "broken" / "broken.c"
    build(source)
    module = source.with_suffix(".wasm").read_bytes()
    source.write_text(source.read_text().replace("return PW_PAUSE;", "return PW_PAUSE"))
    answer = desk.run("dev broken/broken.c --once")
    assert answer.exit_code == 1
    assert "not built" in answer.stdout
    assert "expected ';'" in answer.stdout
    assert source.with_suffix(".wasm").read_bytes() == module
