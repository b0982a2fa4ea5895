"""How fast files become running instances: a cold start, a resync, one changed file, ten thousand instances."""

import http.client
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.daemon import Daemon, memory_of
from benchmarks.report import Figure
from tests.guest_wat import answering

PLUGINS = 1000
MODULES = 10


def spec(name: str, module: str, *, instances: int = 1, extra: str = "") -> str:
    """A spec file's text."""
    return (
        "apiVersion: wasm-reconciler.dev/v1alpha1\nkind: WasmPlugin\n"
        f"metadata: {{name: {name}}}\n"
        f"spec:\n  instances: {instances}\n  module: {{path: {module}}}\n{extra}"
    )


def fill(root: Path, plugins: int) -> tuple[Path, Path]:
    """A directory of spec files over MODULES modules."""
    specs, modules = root / "specs", root / "modules"
    specs.mkdir()
    modules.mkdir()
    for number in range(MODULES):
        (modules / f"m{number}.wat").write_bytes(answering(f"module {number}"))
    for number in range(plugins):
        (specs / f"p{number}.yaml").write_text(spec(f"p{number}", f"m{number % MODULES}.wat"))
    return specs, modules


def cold_start(root: Path, runs: int = 5) -> Iterator[Figure]:
    """1,000 files: from the start of the process to all Ready, the AOT cache warm; then a resync at rest."""
    specs, modules = fill(root, PLUGINS)
    seconds, cpu = [], []
    for run in range(runs + 1):
        began = time.perf_counter()
        with Daemon(specs, modules, root / "state") as daemon:
            daemon.wait_ready(PLUGINS)
            if run:
                seconds.append(time.perf_counter() - began)
            if run == runs:
                cpu = resync_cpu(daemon)
    yield Figure("1,000 spec files over 10 modules, process start to all Ready, warm AOT", seconds, "s", bar=2.0)
    yield Figure("a resync of them that finds nothing to do, CPU", cpu, "ms", bar=100.0)


def resync_cpu(daemon: Daemon, rounds: int = 3) -> list[float]:
    """CPU milliseconds of the daemon over one resync period, all that it uses at rest included."""
    time.sleep(12.0)  # new revisions are judged in their first seconds
    found = []
    for _ in range(rounds):
        before = daemon.cpu_seconds()
        time.sleep(10.0)
        found.append((daemon.cpu_seconds() - before) * 1000)
    return found


def one_change(root: Path, rounds: int = 60) -> Iterator[Figure]:
    """A spec file is replaced by a rename: milliseconds until the first answer of the new revision."""
    specs, modules = root / "one", root / "one-modules"
    specs.mkdir()
    modules.mkdir()
    for text in ("old", "new"):
        (modules / f"{text}.wat").write_bytes(answering(text))
    target, waiting = specs / "p.yaml", specs / ".next"
    target.write_text(spec("p", "old.wat"))
    found = []
    with Daemon(specs, modules, root / "one-state") as daemon:
        daemon.wait_ready(1)
        client = http.client.HTTPConnection(daemon.host, daemon.port)
        for round_ in range(rounds + 2):
            wanted = ("new", "old")[round_ % 2]
            waiting.write_text(spec("p", f"{wanted}.wat"))
            time.sleep(0.05)
            began = time.perf_counter()
            waiting.rename(target)
            while ask(client, "p") != wanted.encode():
                pass
            if round_ > 1:
                found.append((time.perf_counter() - began) * 1000)
    yield Figure("a spec replaced by rename to the first answer of the new revision", found, "ms", bar=30.0)


def ask(client: http.client.HTTPConnection, route: str) -> bytes:
    """One request."""
    client.request("GET", "/", headers={"id": route})
    return client.getresponse().read()


def many_instances(root: Path, count: int = 10_000) -> Iterator[Figure]:
    """The memory of a daemon that holds ten thousand instances of a tiny module."""
    specs, modules = root / "many", root / "many-modules"
    specs.mkdir()
    modules.mkdir()
    (modules / "tiny.wat").write_bytes(answering("x"))
    (specs / "p.yaml").write_text(spec("p", "tiny.wat", instances=count))
    began = time.perf_counter()
    with Daemon(specs, modules, root / "many-state") as daemon:
        daemon.wait_ready(1)
        seconds = time.perf_counter() - began
        name = "memory of a daemon with 10,000 instances of a tiny module"
        yield Figure(name, [memory_of(daemon.pid)], "MB", bar=400)
        yield Figure("and its start until all of them are ready", [seconds], "s")


def main() -> list[Figure]:
    """All figures of this file."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        return [*cold_start(root), *one_change(root), *many_instances(root)]
