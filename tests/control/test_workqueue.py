"""The work queue: each name once, in order, at its time."""

import threading
import time

import pytest

from reconciler.control.workqueue import QueueClosed, WorkQueue


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def drain(queue: WorkQueue, clock: Clock) -> list[str]:
    names = []
    while (item := queue.get(clock.now)) is not None:
        names.append(item[0])
    return names


def test_a_name_that_waits_is_not_queued_twice() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add(["a", "b", "a"])
    queue.add(["b", "c"])
    assert len(queue) == 3
    assert drain(queue, clock) == ["a", "b", "c"]


def test_the_wait_is_told() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add(["a"])
    clock.now += 2.5
    assert queue.get(clock.now) == ("a", 2.5)


def test_a_delayed_name_comes_at_its_time_and_the_earlier_time_wins() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add_after("a", 10.0)
    queue.add_after("b", 5.0)
    queue.add_after("b", 8.0)
    queue.add_after("a", 2.0)
    assert drain(queue, clock) == []
    clock.now += 2.0
    assert drain(queue, clock) == ["a"]
    clock.now += 3.0
    assert drain(queue, clock) == ["b"]
    clock.now += 100.0
    assert drain(queue, clock) == []


def test_being_queued_now_cancels_a_delay() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    queue.add_after("a", 5.0)
    queue.add(["a"])
    assert drain(queue, clock) == ["a"]
    clock.now += 10.0
    assert drain(queue, clock) == []


def test_closing_wakes_the_consumer() -> None:
    queue = WorkQueue(time.monotonic)
    ended = threading.Event()

    def consume() -> None:
        with pytest.raises(QueueClosed):
            queue.get(time.monotonic() + 60)
        ended.set()

    thread = threading.Thread(target=consume)
    thread.start()
    queue.close()
    assert ended.wait(5)
    thread.join()


def test_ten_thousand_names_take_no_time_that_grows_with_their_square() -> None:
    clock = Clock()
    queue = WorkQueue(clock)
    names = [f"plugin-{number}" for number in range(10_000)]
    queue.add(names)
    assert drain(queue, clock) == names


def test_a_consumer_that_is_woken_may_wait_less_long_than_it_said() -> None:
    queue = WorkQueue(time.monotonic)
    waker = threading.Timer(0.02, queue.wake)
    waker.start()
    began = time.monotonic()
    assert queue.get(began + 60) is None
    assert time.monotonic() - began < 30
    waker.join()
