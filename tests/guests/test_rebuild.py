"""The committed modules are what their sources compile to, byte for byte.

Skipped, with the reason, where a compiler of the version that examples/build.mk names is not installed.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import wasmtime

from tests.guests.stub_host import REQUEST_HEADERS, RESPONSE_HEADERS, StubHost, run_command

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Toolchain:
    """A compiler, how it says its version, and what that must be for the bytes to be equal."""

    command: tuple[str, ...]
    version: str
    needs: tuple[Path, ...] = ()
    """Files that come in packages of their own."""

    def missing(self) -> str | None:
        """What keeps it from being used, or None."""
        if shutil.which(self.command[0]) is None:
            return f"{self.command[0]} is not installed"
        said = subprocess.run(self.command, capture_output=True, text=True, check=True).stdout
        if self.version not in said:
            return f"{self.command[0]} is not of version {self.version}"
        absent = [str(path) for path in self.needs if not path.exists()]
        return f"{absent[0]} is not installed" if absent else None


LINKER = Path("/usr/bin/wasm-ld-16")
CLANG = Toolchain(("clang-16", "--version"), "16.0.6", (LINKER,))
WASI_CLANG = Toolchain(CLANG.command, CLANG.version, (LINKER, Path("/usr/lib/wasm32-wasi/libc.a")))
RUST = Toolchain(
    ("/usr/bin/rustc", "--version"),
    "1.63.0",
    (Path("/usr/lib/rustlib/wasm32-unknown-unknown"), Path("/usr/bin/wasm-ld-14")),
)
ASC = ROOT / "build/guests/node_modules/.bin/asc"
ASSEMBLYSCRIPT = Toolchain((str(ASC), "--version"), "0.28.20")
GO = Toolchain(("go", "version"), "go version")

MODULES = {
    "examples/layotto/function_1.wasm": CLANG,
    "examples/layotto/function_2.wasm": CLANG,
    "examples/bench/header_filter.wasm": CLANG,
    "examples/wasi-c/hello.wasm": WASI_CLANG,
    "examples/filter-assemblyscript/filter.wasm": ASSEMBLYSCRIPT,
    "examples/filter-rust/filter.wasm": RUST,
    "tests/guests/layotto_kind/rust.wasm": RUST,
    "tests/guests/layotto_kind/call_data.wasm": CLANG,
    "tests/guests/layotto_kind/status.wasm": CLANG,
    "tests/guests/layotto_kind/pointer.wasm": CLANG,
    "tests/guests/layotto_kind/result.wasm": CLANG,
}


def build(module: str, toolchain: Toolchain, folder: Path) -> Path:
    """Have examples/build.mk build one module under `folder`; skip the test where that cannot be."""
    if why := toolchain.missing():
        pytest.skip(f"{why}; examples/build.mk says how to get it")
    target = folder / module
    make = ["make", "-f", "examples/build.mk", f"GUESTS_BUILD={folder}", f"ASC={ASC}", str(target)]
    made = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    return target


@pytest.mark.parametrize(("module", "toolchain"), MODULES.items(), ids=MODULES.keys())
def test_a_committed_module_is_what_its_source_compiles_to(module: str, toolchain: Toolchain, tmp_path: Path) -> None:
    assert build(module, toolchain, tmp_path).read_bytes() == (ROOT / module).read_bytes()


def test_every_committed_module_is_rebuilt_by_this_test() -> None:
    found = {
        str(path.relative_to(ROOT))
        for folder in ("examples", "tests/guests")
        for path in (ROOT / folder).rglob("*.wasm")
        if path.parent.name != "wasi-go" and "components" not in path.parts
    }
    assert found == set(MODULES)


def test_the_plugin_in_the_sdks_readme_builds_and_works(tmp_path: Path) -> None:
    if why := CLANG.missing():
        pytest.skip(f"{why}; examples/build.mk says how to get it")
    code = (ROOT / "examples/sdk/c/README.md").read_text().partition("```c\n")[2].partition("```")[0]
    (tmp_path / "plugin.c").write_text(code)
    flags = "--target=wasm32 -mbulk-memory -ffreestanding -nostdlib -O2 -Werror -Wl,--no-entry -Wl,--strip-all"
    module = tmp_path / "plugin.wasm"
    include = f"-I{ROOT / 'examples/sdk/c'}"
    subprocess.run(["clang-16", *flags.split(), include, "-o", module, tmp_path / "plugin.c"], check=True)
    assert module.stat().st_size < 2048
    with wasmtime.Engine() as engine:
        host = StubHost(engine, module)
        host.start(b"good day")
        host.headers[REQUEST_HEADERS] = {":path": "/secret"}
        assert host.call("proxy_on_request_headers", 2, 1, 1) == 1
        assert host.local_response == (403, b"no\n")
        host.headers[REQUEST_HEADERS] = {":path": "/open"}
        assert host.call("proxy_on_request_headers", 3, 1, 1) == 0
        host.call("proxy_on_response_headers", 3, 0, 1)
        assert host.headers[RESPONSE_HEADERS] == {"x-greeting": "good day"}
        host.close()


def test_the_go_command_builds_and_answers(tmp_path: Path) -> None:
    module = build("examples/wasi-go/words.wasm", GO, tmp_path)
    answer = run_command(module, tmp_path, {"REQUEST_METHOD": "POST", "PATH_INFO": "/a"}, b"one two\nthree\n")
    assert answer.endswith(b"\r\n\r\nPOST /a: 2 lines, 3 words, 14 bytes\n")
