"""How fast the data plane itself is: a guest that does nothing, called inline, under wrk.

The server runs on one core and wrk on another. Run: python -m benchmarks.dataplane [--seconds N] [--profile FILE]
"""

import argparse
import cProfile
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from api.dataplane.server import DataPlane
from api.dataplane.settings import Settings
from api.settings import Address
from reconciler.host.invoke import Lease, RouteLimits, Waiter
from reconciler.wasm.kind import Request, Response


class HelloLease:
    """Answers at once, on the loop."""

    plugin = "hello"
    revision = "1"
    inline = True
    streams = False

    def call(self, request: Request) -> Response:
        return Response(200, [("content-type", "text/plain")], b"hello")

    def call_briefly(self, request: Request) -> Response:
        return self.call(request)

    def cancel(self) -> None:
        return


class HelloDispatcher:
    """Every route is known, and an instance is always free."""

    def __init__(self) -> None:
        self._lease = HelloLease()
        self._limits = RouteLimits(request_bytes=1 << 20, queue_timeout=1.0)

    def limits(self, route: str) -> RouteLimits:
        return self._limits

    def acquire(self, route: str, waiter: Waiter) -> Lease | None:
        return self._lease

    def abandon(self, route: str, waiter: Waiter) -> None:
        return


class ProfiledDataPlane(DataPlane):
    """Profiles the loop's thread."""

    profile = cProfile.Profile()

    def _run(self) -> None:
        self.profile.runcall(super()._run)


def load(port: int, seconds: int, connections: int, cpu: int) -> dict[str, float]:
    """Run wrk against the port; requests a second and the 99th percentile in milliseconds."""
    command = ["taskset", "-c", str(cpu), "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    command += ["-H", "id: hello", f"http://127.0.0.1:{port}/?name=book1"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    late = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    if rate is None or late is None or "Non-2xx" in text:
        raise SystemExit(text)
    return {
        "requests_per_second": float(rate[1]),
        "p99_ms": float(late[1]) * {"us": 0.001, "ms": 1, "s": 1000}[late[2]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--profile", type=Path)
    options = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("skipped: wrk is not installed (Debian: apt-get install wrk)")
    cpus = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cpus[0]})
    kind = ProfiledDataPlane if options.profile else DataPlane
    plane = kind(HelloDispatcher(), Address("127.0.0.1", 0), Settings())
    plane.start()
    try:
        figures = load(plane.port, options.seconds, options.connections, cpus[-1])
    finally:
        plane.stop(1.0)
    if options.profile:
        ProfiledDataPlane.profile.dump_stats(options.profile)
    print(json.dumps({"benchmark": "dataplane hello, inline"} | figures))


if __name__ == "__main__":
    main()
