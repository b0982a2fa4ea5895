"""What a plugin's requests cost while a hostile one lives next door: the 99th percentile at a fixed load.

Minutes long and about time, so no unit test: it measures, prints a table, and fails where a neighbour waits more than
twice as long as next to a plugin that answers. That one is asked by the same clients, so that what is measured is the
harm and not their load. Spells of each kind take turns, and all of a kind count together, so that a machine which is
slow for a while is slow for all.
"""

import csv
import http.client
import os
import shutil
import statistics
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from tests.daemon import until
from tests.guest_wat import answering, trap_on_call
from tests.hostile.guests import EXIT, FOR_EVER, SPIN, constants, doing, guest, storm
from tests.hostile.resident import resident
from tests.reliability.conftest import Daemon

ROUNDS = 4
SECONDS = 2
"""How long a spell is, and how many there are of each kind."""
RATE = 100
"""Requests a second of each of two clients."""
MOST = 2.0

GROW = "(loop $more{n} (br_if $more{n} (i32.ne (memory.grow {n} (i32.const 16)) (i32.const -1))))"
FILL = "(memory.fill {n} (i32.const 0) (i32.const 1) (i32.mul (memory.size {n}) (i32.const 65536)))"
BOMB = GROW + FOR_EVER.format(body=FILL).replace("$ever", "$ever{n}")
DOWN = "(func $down (result i32) (i32.add (call $down) (i32.const 1)))"
TABLE = "(loop $more (br_if $more (i32.ne (table.grow (ref.null func) (i32.const 1000)) (i32.const -1))))"
LOG = f"(call $proxy_log {constants(2, 0, 8000)})"
APPEND = f"(call $proxy_set_buffer_bytes {constants(1, 0x7FFFFFFF, 0, 0, 65536)})"
SHARE = f"(call $proxy_set_shared_data {constants(0, 9, 0, 100000, 0)})"
AGAIN = f"(drop (call $proxy_get_buffer_bytes {constants(0, 0, 9, 64, 68)}))"

HOSTILE: Mapping[str, bytes] = {
    "loop in a request": doing("proxy_on_request_headers", SPIN),
    "loop in configure": doing("proxy_on_configure", SPIN),
    "loop in a timer": doing("proxy_on_tick", SPIN),
    "loop in its 100th call": answering("x", before=f"(if (i32.eq (global.get $calls) (i32.const 100)) (then {SPIN}))"),
    "memory bomb": doing("proxy_on_request_headers", BOMB.format(n=0)),
    "memory bomb, 4 memories": doing(
        "proxy_on_request_headers",
        "".join(GROW.format(n=number) for number in range(4)) + BOMB.format(n=3),
        extra="(memory 1) (memory 1) (memory 1)",
    ),
    "recursion": doing("proxy_on_request_headers", "(drop (call $down))", extra=DOWN),
    "table bomb": doing("proxy_on_request_headers", TABLE, extra="(table 1 funcref)"),
    "log storm": storm(LOG, imports="proxy_log"),
    "shared data storm": storm(SHARE, imports="proxy_set_shared_data"),
    "response flood": storm(APPEND, imports="proxy_set_buffer_bytes"),
    "trap in each 3rd call": answering("x", before=trap_on_call(3)),
    "exit": doing("proxy_on_request_headers", EXIT, imports=["proc_exit"]),
    "re-entrant allocator": doing("malloc", AGAIN),
    "trap at the start": guest({"proxy_on_configure": "unreachable"}),
}


@contextmanager
def bothered(daemon: Daemon, clients: int = 2) -> Iterator[None]:
    """Clients that ask the hostile plugin, one request after the other."""
    ended = threading.Event()

    def ask() -> None:
        while not ended.is_set():
            try:
                daemon.call("bad")
            except (OSError, http.client.HTTPException):
                ended.wait(0.01)
            ended.wait(0.01)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def latencies(daemon: Daemon) -> list[float]:
    """Seconds that each request of a spell of fixed load on the neighbour took; all must be answered."""
    command = ["hey", "-z", f"{SECONDS}s", "-c", "2", "-q", str(RATE), "-o", "csv", "-H", "id: good"]
    said = subprocess.run([*command, f"http://{daemon.listen}/"], check=True, capture_output=True, text=True).stdout
    rows = list(csv.DictReader(said.splitlines()))
    assert {row["status-code"] for row in rows} == {"200"}, said[:1000]
    assert len(rows) > SECONDS * RATE / 2
    return [float(row["response-time"]) for row in rows]


def percentile(seconds: list[float]) -> float:
    """Milliseconds within which 99 of 100 requests were answered."""
    return statistics.quantiles(seconds, n=100)[98] * 1000


def compare(daemon: Daemon, hostile: str) -> tuple[float, float, float]:
    """The neighbour's percentile alone, next to a plugin that answers, and next to that module."""
    alone: list[float] = []
    beside: dict[str, list[float]] = {"kind": [], hostile: []}
    for _ in range(ROUNDS):
        alone += latencies(daemon)
        for module in beside:
            daemon.want("bad", module, 2)
            until(lambda: installed(daemon, module), "the plugin")  # noqa: B023
            with bothered(daemon):
                beside[module] += latencies(daemon)
            (daemon.specs / "bad.yaml").unlink()
            until(lambda: not installed(daemon, module), "its end")  # noqa: B023
    return percentile(alone), percentile(beside["kind"]), percentile(beside[hostile])


def installed(daemon: Daemon, module: str) -> bool:
    """Whether the daemon knows a plugin of that module."""
    return f'"{module}.wat"' in str(daemon.ask("GET", PLUGIN)[2])


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.skipif(shutil.which("hey") is None, reason="hey makes the load")
def test_a_neighbour_waits_at_most_twice_as_long(daemon: Daemon) -> None:
    daemon.module("good.wat", "good")
    daemon.module("kind.wat", "kind")
    daemon.want("good", "good", 2)
    daemon.start()
    until(lambda: daemon.answers("good", "good"))
    latencies(daemon)
    print(f"\n{os.cpu_count()} cores, {resident(daemon.pid) / 2**20:.0f} MiB")
    print(f"{'next to':28}   alone  answering   hostile")
    found: dict[str, float] = {}
    for number, (name, wasm) in enumerate(HOSTILE.items()):
        daemon.write(daemon.modules / f"bad{number}.wat", wasm)
        alone, quiet, loud = compare(daemon, f"bad{number}")
        found[name] = loud / quiet
        print(f"{name:28} {alone:5.1f} ms {quiet:7.1f} ms {loud:6.1f} ms {loud / quiet:5.1f}x", flush=True)
    assert {name: ratio for name, ratio in found.items() if ratio > MOST} == {}


PLUGIN = "/apis/wasm-reconciler.dev/v1alpha1/wasmplugins"
