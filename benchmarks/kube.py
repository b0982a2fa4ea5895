"""How fast the Kubernetes API is with 1,000 plugins: a list, a get, a table, and a change on its way to 50 watchers."""

import http.client
import json
import selectors
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.convergence import PLUGINS, fill
from benchmarks.daemon import Daemon
from benchmarks.report import Figure

ALL = "/apis/wasm-reconciler.dev/v1alpha1/namespaces/default/wasmplugins"
WATCHERS = 50
CHANGES = 100
ROUNDS = 3
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}


def figures() -> Sequence[Figure]:
    """All figures of this file."""
    with tempfile.TemporaryDirectory() as place:
        specs, modules = fill(Path(place), PLUGINS)
        with Daemon(specs, modules, Path(place) / "state") as daemon:
            daemon.wait_ready(PLUGINS)
            time.sleep(4.0)  # two seconds after their start all of them are judged, and their status changes once more
            return [*reading(daemon), *watching(daemon)]


def reading(daemon: Daemon) -> Iterator[Figure]:
    """Reads on one connection, as a client library keeps it."""
    client = http.client.HTTPConnection(daemon.admin.removeprefix("http://"))
    size = len(timed(client, ALL)[1])
    yield Figure(
        f"Kubernetes API: list of 1,000 plugins ({size / 1e6:.1f} MB)",
        [timed(client, ALL)[0] for _ in range(50)],
        "ms",
        bar=60.0,
    )
    yield Figure(
        "Kubernetes API: the same as kubectl's table",
        [timed(client, f"{ALL}?limit=500", TABLE)[0] for _ in range(50)],
        "ms",
    )
    names = [f"{ALL}/p{number}" for number in range(300)]
    yield Figure("Kubernetes API: get of one of them", [timed(client, name)[0] for name in names], "ms", bar=5.0)


def timed(client: http.client.HTTPConnection, path: str, headers: dict[str, str] | None = None) -> tuple[float, bytes]:
    """Milliseconds and body of a GET."""
    began = time.perf_counter()
    client.request("GET", path, headers=headers or {})
    body = client.getresponse().read()
    return (time.perf_counter() - began) * 1000, body


def watching(daemon: Daemon) -> Iterator[Figure]:
    """A label is changed over and over: from the request's start until each of the watchers has read the event."""
    found: list[float] = []
    for round_ in range(ROUNDS):
        latencies = watch_changes(daemon, round_)
        found.append(statistics.quantiles(latencies, n=100)[98])
    yield Figure(f"Kubernetes API: a change reaches {WATCHERS} watchers, p99 of each run", found, "ms", bar=100.0)


def watch_changes(daemon: Daemon, round_: int) -> list[float]:
    """Milliseconds of every change to every watcher."""
    host, _, port = daemon.admin.removeprefix("http://").partition(":")
    client = http.client.HTTPConnection(host, int(port))
    version = json.loads(timed(client, f"{ALL}?limit=1")[1])["metadata"]["resourceVersion"]
    chosen = selectors.DefaultSelector()
    sockets = [socket.create_connection((host, int(port))) for _ in range(WATCHERS)]
    try:
        for one in sockets:
            query = f"watch=true&resourceVersion={version}&labelSelector=watched"
            one.sendall(f"GET {ALL}?{query} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            assert one.recv(4096).startswith(b"HTTP/1.1 200")
            chosen.register(one, selectors.EVENT_READ)
        return [entry for number in range(CHANGES) for entry in one_change(client, chosen, f"r{round_}n{number}")]
    finally:
        chosen.close()
        for one in sockets:
            one.close()
        time.sleep(2.0)  # the server looks every second whether a watcher is still there


def one_change(client: http.client.HTTPConnection, chosen: selectors.BaseSelector, value: str) -> list[float]:
    """Change a label to a new value; milliseconds until each watcher was told."""
    body = json.dumps({"metadata": {"labels": {"watched": value}}})
    wanted = f'"watched":"{value}"'.encode()
    waiting = {key.fileobj: b"" for key in chosen.get_map().values()}
    latencies = []
    began = time.perf_counter()
    client.request("PATCH", f"{ALL}/p7", body, {"Content-Type": "application/merge-patch+json"})
    while waiting:
        for key, _ in chosen.select():
            assert isinstance(key.fileobj, socket.socket)
            data = key.fileobj.recv(65536)
            assert data, "a watch ended"
            if key.fileobj in waiting:
                waiting[key.fileobj] += data
                if wanted in waiting[key.fileobj]:
                    latencies.append((time.perf_counter() - began) * 1000)
                    del waiting[key.fileobj]
    assert client.getresponse().read()
    return latencies
