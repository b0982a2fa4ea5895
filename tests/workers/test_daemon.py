"""A daemon with worker processes: it outlives them, and they do not outlive it."""

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import ROOT, until
from tests.examples.daemon import serve
from tests.guest_wat import WORK_GLOBAL, answering, work
from tests.reliability.conftest import SPEC, Daemon
from tests.reliability.load import wrk

EXAMPLES = ROOT / "examples"
BOOK = "/?name=book1"
WHOLE = 10.0
"""Seconds until everything is as before. It takes a tenth of one; machines that run tests are busy."""


def children(pid: int) -> list[int]:
    """The processes that a process started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers(daemon: Daemon) -> list[int]:
    """The worker processes."""
    (nursery,) = children(daemon.pid)
    return children(nursery)


def ready(daemon: Daemon, name: str) -> tuple[int, int]:
    """How many instances are ready, and how many were replaced."""
    status = daemon.json(f"/apis/wasm-reconciler.dev/v1alpha1/namespaces/default/wasmplugins/{name}").get("status", {})
    instances = status.get("instances", {})
    return instances.get("ready", 0), instances.get("restarts", 0)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path, "--workers", "2") as made:
        made.module("a.wat", "old")
        made.module("b.wat", "new")
        made.want("one", "a", 3)
        yield made


def test_a_killed_worker_costs_its_requests_and_the_rest_goes_on(daemon: Daemon) -> None:
    daemon.start()
    until(lambda: daemon.answers("one", "old"))
    until(lambda: ready(daemon, "one") == (3, 0))
    pid, before = daemon.pid, workers(daemon)
    with wrk(daemon.listen, "one", connections=8) as load:
        until(lambda: b"wasm_reconciler_connections 8.0" in daemon.ask("GET", "/metrics")[2], "all are connected")
        os.kill(before[0], signal.SIGKILL)
        until(lambda: before[0] not in (now := workers(daemon)) and len(now) == 2, "another worker", WHOLE)
        until(lambda: (now := ready(daemon, "one"))[0] == 3 and now[1], "it is whole", WHOLE)
        until(lambda: daemon.answers("one", "old"))
    assert 0 < load.failed <= 8
    assert load.requests > 0
    assert daemon.pid == pid
    assert before[1] in workers(daemon)
    assert "SIGKILL" in daemon.log


def test_a_new_revision_takes_over_in_all_workers_without_a_failed_request(daemon: Daemon) -> None:
    daemon.start()
    until(lambda: daemon.answers("one", "old"))
    with wrk(daemon.listen, "one", connections=4) as load:
        for module, text in (("b", "new"), ("a", "old"), ("b", "new")):
            daemon.want("one", module, 3)
            until(lambda: daemon.answers("one", text))  # noqa: B023
        until(lambda: ready(daemon, "one")[0] == 3)
    assert load.failed == 0
    assert load.requests > 0
    assert {daemon.call("one") for _ in range(8)} == {(200, b"new")}


def test_workers_end_with_a_daemon_that_is_killed_and_the_next_one_starts_its_own(daemon: Daemon) -> None:
    daemon.start()
    until(lambda: daemon.answers("one", "old"))
    before = workers(daemon)
    daemon.kill()
    daemon.start()
    until(lambda: daemon.answers("one", "old"))
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in before), "the old workers' end")


def test_a_stop_lets_requests_end_and_then_everything_ends(daemon: Daemon) -> None:
    (daemon.modules / "a.wat").write_bytes(answering("x", before=work(1_000_000_000), exports=WORK_GLOBAL))
    daemon.write(
        daemon.specs / "one.yaml", SPEC.format(name="one", module="a", instances=3) + "  limits: {timeout: 60s}\n"
    )
    daemon.start()
    until(lambda: ready(daemon, "one")[0] == 3)
    before = [*children(daemon.pid), *workers(daemon)]
    answers: list[tuple[int, bytes]] = []
    calls = [threading.Thread(target=lambda: answers.append(daemon.call("one"))) for _ in range(2)]
    for call in calls:
        call.start()
    until(lambda: b"wasm_reconciler_connections 2.0" in daemon.ask("GET", "/metrics")[2], "both calls are there")
    began = time.monotonic()
    daemon.stop()
    for call in calls:
        call.join()
    assert answers == [(200, b"x")] * 2
    assert time.monotonic() - began < 14, "it waits for requests, not for the end of its patience"
    assert not any(Path(f"/proc/{pid}").exists() for pid in before)


def test_guests_call_guests_that_are_in_other_workers(tmp_path: Path) -> None:
    shutil.copy(EXAMPLES / "layotto" / "config.json", tmp_path / "config.json")
    flags = ("--config", tmp_path / "config.json", "--stores", EXAMPLES / "stores.yaml", "--module-root", EXAMPLES)
    with serve(tmp_path / "state", *flags, "--workers", "3") as daemon:
        daemon.wait_until_ready({"id_1_1", "id_1_2", "id_2"})
        answers = {(answer.status, answer.body) for _ in range(9) if (answer := daemon.call_by_header("id_1", BOOK))}
        assert answers == {(200, b"There are 100 inventories for book1.")}
