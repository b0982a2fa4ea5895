"""A real daemon process to measure."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self


def memory_of(pid: int) -> float:
    """Resident megabytes of a process."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) / 1024


class Killed(Exception):
    """The daemon was killed, as was wanted."""


class Daemon:
    """Runs `python -m api serve` on free ports, on one processor if asked; a context manager."""

    def __init__(self, specs: Path, modules: Path, state: Path, *extra: str, cpu: int | None = None) -> None:
        listen = ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-level", "info"]
        where = ["--specs", str(specs), "--module-root", str(modules), "--state", str(state)]
        pinned = [] if cpu is None else ["taskset", "-c", str(cpu)]
        self._log = state.with_suffix(".log")
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [*pinned, sys.executable, "-m", "api", "serve", *where, *listen, *extra],
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        self.pid = self._process.pid
        self.host = "127.0.0.1"
        self.port = 0
        self.admin = ""

    def __enter__(self) -> Self:
        while not self.admin:
            if self._process.poll() is not None:
                raise RuntimeError(self._log.read_text()[-2000:])
            text = self._log.read_text()
            data = re.search(r"data plane on http://[^:]+:(\d+)", text)
            admin = re.search(r"admin on (http://\S+)", text)
            if data and admin:
                self.port, self.admin = int(data[1]), admin[1]
            else:
                time.sleep(0.002)
        return self

    def kill(self) -> None:
        """End it as a crash would. Raises Killed, for whoever still uses it."""
        self._process.kill()
        self._process.wait()
        raise Killed

    def __exit__(self, *_: object) -> None:
        if self._process.poll() == -signal.SIGKILL:
            return
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(30):
            raise RuntimeError(f"exit code {self._process.returncode}: {self._log.read_text()[-2000:]}")

    def get(self, path: str) -> object:
        """JSON from the admin port."""
        try:
            with urllib.request.urlopen(f"{self.admin}{path}", timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:  # 503: not ready yet
            return json.load(error)

    def wait_ready(self, count: int) -> None:
        """Until that many plugins are Ready. Asks only when the log tells of each: asking would be part of the cost."""
        while self._log.read_text().count("reason=Installed") < count:
            time.sleep(0.01)
        while True:
            ready = self.get("/actuator/health/readiness")
            components = ready["components"].values() if isinstance(ready, dict) else ()
            if sum(component["status"] == "UP" for component in components) > count:
                return
            time.sleep(0.02)

    def cpu_seconds(self) -> float:
        """What the process has used, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
