"""A daemon without what it takes for granted: room on its disks, descriptors, file events."""

import ast
import contextlib
import http.client
import os
import resource
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from api.wsgi.server import ACCEPT_PAUSE
from tests.daemon import ROOT, until
from tests.reliability.conftest import Daemon


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """A disk with no byte left."""
    filler = disk / ".filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    yield
    filler.unlink()


def install(name: str, module: str) -> dict[str, object]:
    return {"name": name, "instance_num": 1, "vm_config": {"engine": "wasmtime", "path": module}}


def test_a_full_disk_under_the_specs_refuses_changes_and_serves(
    tmp_path: Path, small_disk: Callable[[Path, str], None]
) -> None:
    small_disk(tmp_path / "specs", "64k")
    with Daemon(tmp_path) as daemon:
        daemon.module("one.wat", "one")
        daemon.start()
        assert daemon.ask("POST", "/wasm/install", install("a", "one.wat"))[0] == 202
        until(lambda: daemon.answers("a", "one"))
        files = {path: path.read_bytes() for path in daemon.specs.iterdir()}
        with full(daemon.specs):
            status, _, body = daemon.ask("POST", "/wasm/install", install("b", "one.wat"))
            assert status >= 400
            assert b"space" in body
            assert daemon.ask("POST", "/wasm/update", {"name": "a", "instance_num": 3})[0] >= 400
            assert daemon.answers("a", "one")
            assert {path: path.read_bytes() for path in daemon.specs.glob("[!.]*")} == files
        assert daemon.ask("POST", "/wasm/update", {"name": "a", "instance_num": 3})[0] == 202
        assert daemon.files() == {"a": ("one.wat", 3)}


def test_a_full_disk_under_the_state_still_serves_new_plugins(
    tmp_path: Path, small_disk: Callable[[Path, str], None]
) -> None:
    small_disk(tmp_path / "state", "512k")
    with Daemon(tmp_path) as daemon:
        daemon.module("one.wat", "one")
        daemon.start()
        with full(daemon.state):
            daemon.want("a", "one")
            until(lambda: daemon.answers("a", "one"))
        daemon.module("two.wat", "two")
        daemon.want("b", "two")
        until(lambda: daemon.answers("b", "two"))
        daemon.restart()
        until(lambda: daemon.answers("a", "one") and daemon.answers("b", "two"))


def test_without_descriptors_it_says_so_and_recovers(daemon: Daemon) -> None:
    for text in ("one", "two"):
        daemon.module(f"{text}.wat", text)
    daemon.want("a", "one")
    daemon.start()
    until(lambda: daemon.answers("a", "one"))
    before = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
    open_now = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (open_now, before[1]))
    clients = [threading.Thread(target=_ask, args=(daemon,)) for _ in range(20)]
    for client in clients:
        client.start()
    daemon.want("b", "two")
    until(lambda: "Too many open files" in daemon.log)
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, before)
    for client in clients:
        client.join()
    daemon.want("b", "two")  # else the next resync finds it, ten seconds later
    until(lambda: daemon.answers("b", "two"))
    assert daemon.answers("a", "one")


def test_without_descriptors_no_listener_spins_and_open_connections_are_served(daemon: Daemon) -> None:
    daemon.module("one.wat", "one")
    daemon.want("a", "one")
    daemon.start()
    until(lambda: daemon.answers("a", "one"))
    with ExitStack() as stack:
        kept = [
            stack.enter_context(contextlib.closing(http.client.HTTPConnection(place, timeout=30)))
            for place in (daemon.listen, daemon.admin)
        ]
        asks = [(kept[0], "/invoke/a"), (kept[1], "/readyz")]
        assert [status(*ask) for ask in asks] == [200, 200]
        before = resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{daemon.pid}/fd")), before[1]))
        for place in (daemon.listen, daemon.admin):
            host, _, port = place.rpartition(":")
            for _ in range(20):
                stack.enter_context(socket.create_connection((host, int(port))))
        until(lambda: daemon.log.count("no connection can be accepted") >= 1)
        began, used = time.monotonic(), cpu_seconds(daemon)
        assert [status(*ask) for ask in asks] == [200, 200]
        until(lambda: daemon.log.count("no connection can be accepted") >= 2)
        assert time.monotonic() - began > ACCEPT_PAUSE / 2, "it tries once a second"
        assert cpu_seconds(daemon) - used < 0.5
        resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, before)
        assert [status(*ask) for ask in asks] == [200, 200]
    until(lambda: daemon.answers("a", "one"))
    assert daemon.ask("GET", "/readyz")[0] == 200


def status(connection: http.client.HTTPConnection, path: str) -> int:
    """Ask on a connection that stays open."""
    connection.request("GET", path)
    with connection.getresponse() as answer:
        answer.read()
        return answer.status


def cpu_seconds(daemon: Daemon) -> float:
    """What the process has used."""
    fields = Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _ask(daemon: Daemon) -> None:
    with contextlib.suppress(OSError):
        daemon.call("a")


def test_without_file_events_it_polls_and_says_so(tmp_path: Path) -> None:
    """In a user namespace of its own, no user may have an inotify instance."""
    with Daemon(tmp_path, prefix=("unshare", "--user", "--map-root-user", "sh", "-c", LIMITED, "sh")) as daemon:
        if subprocess.run([*daemon.prefix, "true"], check=False, capture_output=True).returncode:
            pytest.skip("user namespaces, or their limits, are not to be had here")
        daemon.module("one.wat", "one")
        daemon.start()
        assert "no file events" in daemon.log
        daemon.want("a", "one")
        until(lambda: daemon.answers("a", "one"))


LIMITED = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"'


def test_no_time_limit_hangs_on_the_wall_clock() -> None:
    """A clock that is set forward or back moves no deadline, backoff or timer: these parts never look at it."""
    parts = [*ROOT.glob("reconciler/host/*.py"), *ROOT.glob("reconciler/core/*.py"), *ROOT.glob("api/dataplane/*.py")]
    parts += [ROOT / "reconciler/control" / f"{name}.py" for name in ("loop", "workqueue")]
    parts += [ROOT / "reconciler/wasm/ticker.py", ROOT / "specs/sync.py"]
    assert len(parts) > 20
    wall = {
        f"{path.name}:{node.lineno}"
        for path in parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"time", "time_ns", "now", "utcnow"}
        if isinstance(node.value, ast.Name) and node.value.id in {"time", "datetime"}
    }
    assert not wall
