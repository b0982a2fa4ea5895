"""The guest threads and the mailbox alone, where sockets cannot reach every corner."""

import threading

import pytest
import uvloop

from api.dataplane.mailbox import Mailbox
from api.dataplane.threads import GuestThreads
from tests.api.dataplane.parts import DEADLINE, eventually


def test_as_many_jobs_run_at_once_as_are_given_and_threads_are_used_again() -> None:
    threads = GuestThreads(limit=16, idle_seconds=DEADLINE)
    for _ in range(3):
        meeting = threading.Barrier(9)
        for _ in range(8):
            assert threads.run(lambda meeting=meeting: meeting.wait(DEADLINE))
        meeting.wait(DEADLINE)
        eventually(lambda: threads.idle == threads.threads)
    assert threads.threads == 8
    threads.close()
    eventually(lambda: threads.threads == 0)
    assert not threads.run(lambda: None)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_job_that_raises_costs_others_nothing() -> None:
    threads = GuestThreads(limit=1, idle_seconds=DEADLINE)
    done = threading.Event()
    hold = threading.Event()

    def raises() -> None:
        hold.wait(DEADLINE)
        raise ZeroDivisionError

    threads.run(raises)
    threads.run(raises)
    threads.run(done.set)
    hold.set()
    assert done.wait(DEADLINE)
    threads.close()
    eventually(lambda: threads.threads == 0)


def test_idle_threads_that_end_leave_no_job_behind() -> None:
    threads = GuestThreads(limit=2, idle_seconds=0.0005)
    for _ in range(500):
        done = threading.Event()
        threads.run(done.set)
        assert done.wait(DEADLINE)
    threads.close()
    eventually(lambda: threads.threads == 0)


def test_letters_from_many_threads_all_arrive_even_when_the_loop_ends_meanwhile() -> None:
    loop = uvloop.new_event_loop()
    mailbox = Mailbox(loop)
    got: list[int] = []

    def run() -> None:
        loop.run_forever()
        mailbox.close()
        loop.close()

    runner = threading.Thread(target=run)
    runner.start()

    def send(first: int) -> None:
        for number in range(first, first + 1000):
            mailbox.post(got.append, number)
            if number == 2500:
                loop.call_soon_threadsafe(loop.stop)

    senders = [threading.Thread(target=send, args=(first,)) for first in range(0, 4000, 1000)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    runner.join()
    assert sorted(got) == list(range(4000))


def test_a_receiver_that_raises_keeps_nobody_from_their_letter() -> None:
    loop = uvloop.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)
    mailbox = Mailbox(loop)

    def raises(content: object) -> None:
        raise ZeroDivisionError

    mailbox.post(raises, None)
    mailbox.post(lambda content: loop.stop(), None)
    loop.run_forever()
    mailbox.close()
    loop.close()
