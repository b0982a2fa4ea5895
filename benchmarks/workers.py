"""Worker processes: what a second one brings on short guests, whether long ones have all cores, what a crash costs.

Both daemons run at once and are measured in turn, with the load generator on the same cores.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.daemon import Daemon
from benchmarks.report import Figure
from tests.guest_wat import WORK_GLOBAL, answering, work

ROUNDS = 5
SECONDS = 3
KILLS = 5
CONNECTIONS = 16
NAMES = {"short": 4, "long": 4}
SPEC = (
    "apiVersion: wasm-reconciler.dev/v1alpha1\nkind: WasmPlugin\n"
    "metadata: {{name: {name}}}\nspec: {{instances: {instances}, module: {{path: {name}.wat}}}}\n"
)


def figures() -> Iterator[Figure]:
    """All of them."""
    if not shutil.which("wrk"):
        print("workers: wrk is not installed; nothing to measure with")
        return
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        place = Path(name)
        for folder in ("specs", "modules"):
            (place / folder).mkdir()
        (place / "modules" / "short.wat").write_bytes(answering("x"))
        (place / "modules" / "long.wat").write_bytes(answering("x", before=work(5_000_000), exports=WORK_GLOBAL))
        for plugin, instances in NAMES.items():
            (place / "specs" / f"{plugin}.yaml").write_text(SPEC.format(name=plugin, instances=instances))
        one, two = (
            stack.enter_context(
                Daemon(place / "specs", place / "modules", place / f"state-{count}", "--workers", str(count))
            )
            for count in (1, 2)
        )
        for daemon in (one, two):
            daemon.wait_ready(len(NAMES))
            load(daemon, "short", 1)
        pairs = [(load(one, "short"), load(two, "short")) for _ in range(ROUNDS)]
        yield Figure("short guests, 2 workers to 1", [b / a for a, b in pairs], "", bar=1.25, at_least=True)
        yield Figure("requests a second, 2 workers", [b for _, b in pairs], "/s")
        cores = len(os.sched_getaffinity(0))
        for count, daemon in ((1, one), (2, two)):
            used = [cores_used(daemon) / cores for _ in range(ROUNDS)]
            yield Figure(f"long guests, {count} worker(s): share of all cores", used, "", bar=0.8, at_least=True)
        kills = [kill(two) for _ in range(KILLS)]
        yield Figure(
            "a worker killed under load: failed requests", [failed for failed, _ in kills], "", bar=CONNECTIONS
        )
        yield Figure("a worker killed under load: whole again after", [seconds for _, seconds in kills], "s", bar=0.5)


def load(daemon: Daemon, route: str, seconds: int = SECONDS) -> float:
    """Requests a second."""
    return float(_wrk(daemon, route, seconds).split("Requests/sec:")[1].split()[0])


def cores_used(daemon: Daemon) -> float:
    """How many cores all processes of a daemon use under long guests."""
    began, before = time.monotonic(), _cpu_of_all(daemon.pid)
    load(daemon, "long")
    return (_cpu_of_all(daemon.pid) - before) / (time.monotonic() - began)


def kill(daemon: Daemon) -> tuple[float, float]:
    """Kill a worker in the midst of load: how many requests failed, and seconds until every instance is ready again."""
    (nursery,) = _children(daemon.pid)
    victim = _children(nursery)[0]
    before = _status(daemon)
    said: list[str] = []
    loading = threading.Thread(target=lambda: said.append(_wrk(daemon, "short", SECONDS)))
    loading.start()
    time.sleep(SECONDS / 2)
    os.kill(victim, signal.SIGKILL)
    began = time.monotonic()
    while True:
        now = _status(daemon)
        if now["ready"] == NAMES["short"] and now["restarts"] > before["restarts"]:
            break
        time.sleep(0.005)
    seconds = time.monotonic() - began
    loading.join()
    errors = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", said[0])
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said[0])
    failed = sum(map(int, errors.groups())) if errors else 0
    time.sleep(10)  # the next one is no crash loop
    return failed + (int(refused[1]) if refused else 0), seconds


def _wrk(daemon: Daemon, route: str, seconds: int) -> str:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-H", f"id: {route}"]
    command.append(f"http://127.0.0.1:{daemon.port}/")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def _status(daemon: Daemon) -> dict[str, int]:
    plugin: Any = daemon.get("/apis/wasm-reconciler.dev/v1alpha1/namespaces/default/wasmplugins/short")
    instances: dict[str, int] = plugin["status"]["instances"]
    return instances


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _cpu_of_all(pid: int) -> float:
    """Seconds that a process and all below it used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(_cpu_of_all(child) for child in _children(pid))
