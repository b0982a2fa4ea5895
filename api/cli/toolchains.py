"""From a source file to a module: which command builds it, and what to install where that is not there."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

BUILD_SECONDS: Final = 300
_CLANG: Final = re.compile(r"clang(-\d+)?$")
_BARE: Final = (
    *("--target=wasm32", "-mbulk-memory", "-ffreestanding", "-nostdlib", "-std=c11", "-O2", "-Wall"),
    *("-Wl,--no-entry", "-Wl,-z,stack-size=8192", "-Wl,--strip-all"),
)
_WASI: Final = ("--target=wasm32-wasi", "-std=c11", "-O2", "-Wall", "-Wl,--strip-all")


class BuildFailed(Exception):
    """There is no module. `str()` is what the compiler said, or what to install."""


@dataclass(frozen=True, slots=True)
class Build:
    """A command and what it needs of the environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str]


Recipe = Callable[[Path, Path], Build]


def module_of(source: Path) -> Path:
    """Where a source's module lies: beside it. WAT is its own module."""
    return source if source.suffix == ".wat" else source.with_suffix(".wasm")


def build(source: Path) -> Path:
    """Make the module of a source, whole or not at all; where it is. Raises BuildFailed."""
    module = module_of(source)
    if module == source:
        return module
    recipe = _RECIPES.get(source.suffix)
    if recipe is None:
        raise BuildFailed(
            f"{source}: it is not known how to build {source.suffix}; there is {', '.join(sorted(_RECIPES))}"
        )
    part = module.with_name(f".{module.name}.part.wasm")
    chosen = recipe(source, part)
    try:
        done = subprocess.run(
            chosen.command,
            check=False,
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            env={**os.environ, **chosen.environment},
        )
        if done.returncode:
            raise BuildFailed(
                (done.stderr + done.stdout).strip() or f"{chosen.command[0]} ended with {done.returncode}"
            )
        part.replace(module)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildFailed(f"{' '.join(chosen.command)}: {error}") from error
    finally:
        part.unlink(missing_ok=True)
    return module


def _c(source: Path, module: Path) -> Build:
    """Against proxy_wasm.h, which needs no libc, or as a WASI command."""
    flags = _BARE if '"proxy_wasm.h"' in source.read_text(errors="replace") else _WASI
    return Build((_clang(), *flags, "-o", str(module), str(source)), {})


def _clang() -> str:
    """A clang that has its wasm linker beside it."""
    given = os.environ.get("CLANG")
    for name in [given] if given else ["clang", *(f"clang-{number}" for number in range(25, 13, -1))]:
        found = shutil.which(name)
        version = _CLANG.search(Path(found).name) if found else None
        if found and (given or (version and shutil.which(f"wasm-ld{version[1] or ''}"))):
            return found
    raise BuildFailed("there is no clang with wasm-ld; on Debian: apt-get install clang lld, or set CLANG")


def _go(source: Path, module: Path) -> Build:
    go = _tool("GO", "go", "install Go 1.21 or later")
    command = (go, "build", "-trimpath", "-ldflags=-s -w", "-o", str(module), str(source))
    return Build(command, {"GOOS": "wasip1", "GOARCH": "wasm"})


def _rust(source: Path, module: Path) -> Build:
    rustc = _tool("RUSTC", "rustc", "install Rust")
    for target in ("wasm32-wasip1", "wasm32-wasi"):
        asked = subprocess.run(
            [rustc, "--print", "target-libdir", "--target", target],
            check=False,
            capture_output=True,
            text=True,
            timeout=30,
        )
        if asked.returncode == 0 and Path(asked.stdout.strip()).is_dir():
            flags = ("--edition", "2021", "--target", target, "-C", "opt-level=s", "-C", "strip=symbols")
            return Build((rustc, *flags, "-o", str(module), str(source)), {})
    raise BuildFailed(
        f"{rustc} cannot build for WASI; run: rustup target add wasm32-wasip1 (or set RUSTC to one that can)"
    )


def _assemblyscript(source: Path, module: Path) -> Build:
    own = source.parent / "node_modules" / ".bin" / "asc"
    asc = os.environ.get("ASC") or (str(own) if own.exists() else shutil.which("asc"))
    if asc is None:
        raise BuildFailed(f"the AssemblyScript compiler is not there; run: npm install --prefix {source.parent}")
    # The compiler names a module's exports after the path that it is given; `abort` is named after ours.
    abort = os.path.relpath(source.parent / "proxy" / "abort")
    flags = ("--optimize", "--runtime", "incremental", "--use", f"abort={abort}")
    return Build((asc, os.path.relpath(source), "-o", os.path.relpath(module), *flags), {})


def _tool(variable: str, name: str, advice: str) -> str:
    found = shutil.which(os.environ.get(variable) or name)
    if found is None:
        raise BuildFailed(f"{os.environ.get(variable) or name} is not there; {advice}, or set {variable}")
    return found


_RECIPES: Final[Mapping[str, Recipe]] = {".c": _c, ".go": _go, ".rs": _rust, ".ts": _assemblyscript}
