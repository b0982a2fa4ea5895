"""Changes of revision under constant load: no request fails, nothing is answered by a revision that was replaced before
the request was made, and what a change leaves behind in memory is bounded."""

import http.client
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.daemon import until
from tests.guest_wat import answering
from tests.hostile.resident import resident
from tests.reliability.conftest import Daemon
from tests.reliability.load import wrk

pytestmark = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk makes the load")


class Witness:
    """Asks all the time, and knows which revision was seen by anybody before it asked."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.newest = 0
        self.asked = 0
        self.stale = 0
        self.failed = 0

    def ask(self, connection: http.client.HTTPConnection) -> int:
        """One request. The number that its answer bears."""
        newest = self.newest
        connection.request("GET", "/", headers={"id": "a"})
        answer = connection.getresponse()
        body = answer.read()
        self.asked += 1
        if answer.status != 200:
            self.failed += 1
            return newest
        number = int(body)
        self.stale += number < newest
        self.newest = max(self.newest, number)
        return number

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Ask on a connection that stays open, until the end."""
        ended = threading.Event()

        def watch() -> None:
            connection = http.client.HTTPConnection(self._daemon.listen, timeout=30)
            while not ended.is_set():
                self.ask(connection)
            connection.close()

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def change_many_times(daemon: Daemon, changes: int, warm: int) -> float:
    """So many changes under load. How many bytes each left resident, after the first `warm`."""
    daemon.write(daemon.modules / "a.wat", answering("0"))
    daemon.want("a", "a", 2)
    daemon.start()
    until(lambda: daemon.answers("a", "0"))
    witness = Witness(daemon)
    before = 0
    with wrk(daemon.listen, "a") as load, witness.watching():
        for number in range(1, changes + 1):
            daemon.write(daemon.modules / "a.wat", answering(str(number)))
            until(lambda: witness.newest >= number, f"change {number}", 30)  # noqa: B023
            if number == warm:
                before = resident(daemon.pid)
    grown = resident(daemon.pid) - before
    print(
        f"\n{changes} changes: {load.requests} requests by wrk, {load.failed} failed; {witness.asked} by the witness,"
    )
    print(f"{witness.failed} failed, {witness.stale} stale; {grown / (changes - warm):.0f} bytes a change")
    assert load.requests > changes
    assert (load.failed, witness.failed, witness.stale) == (0, 0, 0)
    return grown / (changes - warm)


def test_60_changes_under_load_lose_nothing(daemon: Daemon) -> None:
    change_many_times(daemon, 60, 20)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_1000_changes_under_load_lose_nothing_and_leave_nothing(daemon: Daemon) -> None:
    began = time.monotonic()
    grown = change_many_times(daemon, 1000, 100)
    print(f"{time.monotonic() - began:.0f} s")
    assert grown <= 2048
