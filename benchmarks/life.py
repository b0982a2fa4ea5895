"""What the daemon itself costs: starting, being killed and started again, doing nothing.

Run with `python -m benchmarks life`.
"""

import contextlib
import http.client
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.convergence import ask, fill
from benchmarks.daemon import Daemon, Killed, memory_of
from benchmarks.report import Figure

RUNS = 5
PLUGINS = 100
IDLE_SECONDS = 30.0
SETTLING_SECONDS = 12.0


def figures() -> Iterator[Figure]:
    """All figures of this file."""
    with tempfile.TemporaryDirectory() as place:
        one, hundred = Path(place) / "one", Path(place) / "hundred"
        one.mkdir()
        hundred.mkdir()
        specs, modules = fill(one, 1)
        starts = [start(specs, modules, one / "state") for _ in range(RUNS + 1)][1:]
        yield Figure("a start with one plugin, to its first answer", starts, "s", bar=0.5)
        with Daemon(specs, modules, one / "state") as daemon:
            daemon.wait_ready(1)
            time.sleep(SETTLING_SECONDS)
            before = daemon.cpu_seconds()
            time.sleep(IDLE_SECONDS)
            used = (daemon.cpu_seconds() - before) / IDLE_SECONDS * 100
            yield Figure("memory of a daemon with one plugin that does nothing", [memory_of(daemon.pid)], "MB", bar=60)
            yield Figure("and its share of a core", [used], "%", bar=0.2)
        specs, modules = fill(hundred, PLUGINS)
        yield Figure(
            f"kill -9 to serving again with {PLUGINS} plugins",
            [start(specs, modules, hundred / "state", plugins=PLUGINS, kill=True) for _ in range(RUNS + 1)][1:],
            "s",
            bar=0.7,
        )


def start(specs: Path, modules: Path, state: Path, *, plugins: int = 1, kill: bool = False) -> float:
    """Seconds from the start of the process (with `kill`, from the death of another) until all plugins answer."""
    if kill:
        killed = Daemon(specs, modules, state)
        with contextlib.suppress(Killed), killed:
            killed.wait_ready(plugins)
            killed.kill()
    began = time.perf_counter()
    with Daemon(specs, modules, state) as daemon:
        client = http.client.HTTPConnection(daemon.host, daemon.port)
        for number in range(plugins):
            ask(client, f"p{number}")
        return time.perf_counter() - began
