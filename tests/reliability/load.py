"""Load from a real load generator, and what came of it."""

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_COUNTS = {
    "requests": r"(\d+) requests in",
    "refused": r"Non-2xx or 3xx responses: (\d+)",
    "connect": r"Socket errors: connect (\d+)",
    "read": r"Socket errors: .*read (\d+)",
    "write": r"Socket errors: .*write (\d+)",
    "timeout": r"Socket errors: .*timeout (\d+)",
}


@dataclass
class Load:
    """What wrk counted, once it was stopped."""

    requests: int = 0
    failed: int = 0


@contextmanager
def wrk(listen: str, route: str, connections: int = 4) -> Iterator[Load]:
    """Requests for a route that never stop, on connections that stay open."""
    counted = Load()
    process = subprocess.Popen(
        ["wrk", "-t1", f"-c{connections}", "-d3600s", "--timeout", "10s", "-H", f"id: {route}", f"http://{listen}/"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield counted
    finally:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=30)
    found = {name: re.search(pattern, said) for name, pattern in _COUNTS.items()}
    numbers = {name: int(match[1]) if match else 0 for name, match in found.items()}
    counted.requests = numbers.pop("requests")
    counted.failed = sum(numbers.values())
