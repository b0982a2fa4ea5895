"""Pools of many instances: their memory, and how fast a pool grows and shrinks while another one is under load.

Run with `python -m benchmarks sizes`.
"""

import http.client
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.convergence import ask, spec
from benchmarks.daemon import Daemon, memory_of
from benchmarks.report import Figure, percentile
from tests.guest_wat import answering

MANY = 30_000
LARGE = 10_000
ROUNDS = 5


def figures() -> Iterator[Figure]:
    """All figures of this file."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        (root / "modules").mkdir()
        (root / "modules" / "tiny.wat").write_bytes(answering("x"))
        yield from memory(root)
        yield from resizing(root)


def memory(root: Path) -> Iterator[Figure]:
    """The memory of a daemon that holds as many instances as a process can."""
    specs = root / "many"
    specs.mkdir()
    (specs / "p.yaml").write_text(spec("p", "tiny.wat", instances=MANY))
    with Daemon(specs, root / "modules", root / "many-state") as daemon:
        daemon.wait_ready(1)
        yield Figure(
            f"memory of a daemon with {MANY:,} instances of a tiny module", [memory_of(daemon.pid)], "MB", bar=700
        )


class Load:
    """Asks one route again and again, from a thread of this process; a context manager. `times` in milliseconds."""

    def __init__(self, daemon: Daemon, route: str) -> None:
        self.times: list[float] = []
        self._daemon = daemon
        self._route = route
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        client = http.client.HTTPConnection(self._daemon.host, self._daemon.port)
        while not self._ends.wait(0.001):
            began = time.perf_counter()
            ask(client, self._route)
            self.times.append((time.perf_counter() - began) * 1000)


def resizing(root: Path) -> Iterator[Figure]:
    """From 0 to LARGE instances and back, beside a plugin under load; quiet and not in turn."""
    specs = root / "resized"
    specs.mkdir()
    written, waiting = specs / "p.yaml", specs / ".next"
    written.write_text(spec("p", "tiny.wat", instances=0))
    (specs / "other.yaml").write_text(spec("other", "tiny.wat"))
    up, down, worse = [], [], []
    with Daemon(specs, root / "modules", root / "resized-state") as daemon:
        daemon.wait_ready(2)

        def resize(count: int) -> float:
            waiting.write_text(spec("p", "tiny.wat", instances=count))
            began = time.perf_counter()
            waiting.rename(written)
            while instances(daemon) != (count, count):
                time.sleep(0.01)
            return time.perf_counter() - began

        for _ in range(ROUNDS):
            with Load(daemon, "other") as quiet:
                time.sleep(1.5)
            with Load(daemon, "other") as busy:
                up.append(resize(LARGE))
                down.append(resize(0))
            worse.append(percentile(busy.times, 0.99) / percentile(quiet.times, 0.99))
    yield Figure(f"a resize from 0 to {LARGE:,} instances", up, "s", bar=1.0)
    yield Figure("and back, until none of them takes requests", down, "s", bar=0.5)
    yield Figure("p99 of another plugin meanwhile, to its p99 when quiet", worse, "times", bar=2.0)


def instances(daemon: Daemon) -> tuple[int, int]:
    """Desired and ready instances of `p`."""
    plugin = daemon.get("/apis/wasm-reconciler.dev/v1alpha1/wasmplugins/p")
    assert isinstance(plugin, dict)
    found = plugin["status"]["instances"]
    return found["desired"], found["ready"]
