"""Smoke test of an installed command: it serves the examples, answers, and ends cleanly at SIGTERM.

Usage: smoke.py COMMAND EXAMPLES STATE
"""

import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path


def main(command: str, examples: Path, state: Path) -> None:
    """Start, ask, stop; a failed step raises."""
    subprocess.run([command, "--version"], check=True)
    subprocess.run([command, "validate", str(examples / "layotto" / "config.json")], check=True)
    daemon = subprocess.Popen(
        [
            *(command, "serve", "--config", examples / "layotto" / "config.json", "--stores", examples / "stores.yaml"),
            *("--module-root", examples, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--state", state),
        ],
        cwd=state.parent,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        address = ""
        for line in daemon.stderr:
            if found := re.search(r"data plane on (http://\S+)", line):
                address = found[1]
                break
        assert address, "the daemon said no address"
        assert ask(f"{address}/?name=book1") == "There are 100 inventories for book1."
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.stderr.read()
    assert daemon.wait(20) == 0, f"exit code {daemon.returncode}"
    print("smoke test: 1 passed, 0 failed")


def ask(url: str) -> str:
    """The answer of id_1."""
    for _ in range(50):
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers={"id": "id_1"}), timeout=10) as answer:
                return answer.read().decode()
        except urllib.error.HTTPError as error:
            if error.code != 503:
                raise
            time.sleep(0.1)
    raise AssertionError("still 503")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
