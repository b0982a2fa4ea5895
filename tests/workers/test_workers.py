"""What several worker processes promise beyond the seam: exact sums, one line for all, and what a crash may cost."""

import http.client
import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path

from reconciler.core.plan import ResizePool
from reconciler.core.states import PoolPhase
from tests.guest_wat import WORK_GLOBAL, answering, work
from tests.workers.conftest import There

SHARING = """
  (import "env" "proxy_get_shared_data" (func (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_send_local_response"
"""
LONG = answering("x", before=work(60_000_000), exports=WORK_GLOBAL)


def sharing(text: str) -> bytes:
    """As answering(), and it may share data with other instances."""
    return answering(text).replace(b'\n      (import "env" "proxy_send_local_response"', SHARING.encode(), 1)


def test_instances_are_spread_evenly_and_are_as_many_as_wanted(two: There) -> None:
    revision = two.install(two.spec("one", answering("x")), 5)
    assert sorted(two.shares("one", revision).values()) == [2, 3]
    for count, spread in ((1, [1]), (2, [1, 1]), (7, [3, 4])):
        two.apply(ResizePool("one", revision, count))
        two.until(lambda: sorted(two.shares("one", revision).values()) == spread)  # noqa: B023
        assert two.pool("one", revision).ready == count


def test_a_worker_without_the_plugin_has_the_other_answer(two: There) -> None:
    two.expect("one", 1)
    revision = two.install(two.spec("one", answering("x")), 1)
    assert len(two.shares("one", revision)) == 1
    assert Counter(two.ask("one") for _ in range(40)) == {(200, "x"): 40}
    two.until(lambda: two.pool("one", revision).calls == 40)
    two.until(lambda: [counts.by_status for counts in two.meters.requests.snapshot().values()] == [{200: 40}])


def test_guests_that_share_data_are_all_in_one_worker(two: There) -> None:
    two.expect("one", 4)
    revision = two.install(two.spec("one", sharing("x")), 4)
    two.until(lambda: list(two.shares("one", revision).values()) == [4])
    assert Counter(two.ask("one") for _ in range(10)) == {(200, "x"): 10}


def test_as_many_requests_wait_as_may_whichever_worker_they_came_to(two: There) -> None:
    two.expect("one", 1, queue=2)
    two.install(two.spec("one", LONG), 1, queue=2)
    with ThreadPoolExecutor(8) as clients:
        answers = Counter(status for status, _ in clients.map(lambda _: two.ask("one"), range(8)))
    assert set(answers) == {200, 503}
    assert answers[200] >= 3


def test_every_instance_is_at_hand_for_every_client_even_where_none_may_wait(two: There) -> None:
    two.expect("one", 2, queue=0)
    two.install(two.spec("one", LONG), 2, queue=0)
    clients = [http.client.HTTPConnection("127.0.0.1", two.plane.port, timeout=30) for _ in range(4)]
    for client in clients:  # two of them are at each worker
        client.connect()
    for pair in combinations(clients, 2):
        for client in pair:
            client.request("GET", "/", headers={"id": "one"})
        answers = [client.getresponse() for client in pair]
        assert [(answer.status, answer.read()) for answer in answers] == [(200, b"x")] * 2
    for client in clients[:3]:
        client.request("GET", "/", headers={"id": "one"})
    answers = [client.getresponse() for client in clients[:3]]
    assert sorted((answer.status, len(answer.read()) > 1) for answer in answers)[-1] == (503, True)
    for client in clients:
        client.close()


def test_a_worker_that_is_killed_costs_only_what_it_was_doing(two: There) -> None:
    two.expect("one", 4)
    revision = two.install(two.spec("one", answering("x")), 4)
    two.until(lambda: len(two.crew.pids) == 2)
    stop, answers, lost = threading.Event(), Counter[tuple[int, str]](), Counter[str]()

    def load() -> None:
        while not stop.is_set():
            try:
                answers[two.ask("one")] += 1
            except OSError as error:
                lost[type(error).__name__] += 1

    clients = [threading.Thread(target=load) for _ in range(4)]
    for client in clients:
        client.start()
    for worker in (0, 1):
        before = dict(two.crew.pids)
        os.kill(before[worker], signal.SIGKILL)
        two.until(lambda: two.crew.pids.get(worker) not in (None, before[worker]))  # noqa: B023
        two.until(lambda: sorted(two.shares("one", revision).values()) == [2, 2])
    stop.set()
    for client in clients:
        client.join()
    cut = sum(number for (status, _), number in answers.items() if status == 502)  # it was there for another worker
    assert {status for status, _ in answers} <= {200, 502}
    assert sum(lost.values()) + cut <= 2 * len(clients)
    pool = two.pool("one", revision)
    assert (pool.ready, pool.phase, pool.serving) == (4, PoolPhase.IDLE, True)
    assert pool.restarts >= 4
    assert "one" in two.changed


def test_a_worker_that_keeps_dying_is_done_without(tmp_path: Path) -> None:
    two = There(tmp_path)
    two.expect("one", 3)
    revision = two.install(two.spec("one", answering("x")), 3)
    two.until(lambda: len(two.crew.pids) == 2)
    while 0 in two.crew.counted():
        pid = two.crew.pids[0]
        os.kill(pid, signal.SIGKILL)
        two.until(lambda: 0 not in two.crew.counted() or two.crew.pids.get(0) not in (None, pid))  # noqa: B023
    two.until(lambda: two.shares("one", revision) == {1: 3})
    assert two.ask("one") == (200, "x")
    two.close()
