"""Backoff: short at first, bounded, and different for different names."""

from reconciler.core.backoff import JITTER, LONGEST, crash_delay, start_delay


def test_waits_double_from_a_tenth_of_a_second_up_to_five_minutes() -> None:
    waits = [start_delay(failures, "a") for failures in range(1, 40)]
    assert 0.1 <= waits[0] <= 0.12
    for failures, wait in enumerate(waits, 1):
        plain = min(LONGEST, 0.1 * 2 ** (failures - 1))
        assert plain <= wait <= plain * (1 + JITTER)


def test_nothing_failed_means_no_wait_and_the_first_crash_neither() -> None:
    assert start_delay(0, "a") == crash_delay(0, "a") == crash_delay(1, "a") == 0.0
    assert crash_delay(2, "a") == start_delay(1, "a")


def test_names_that_failed_together_come_back_apart() -> None:
    waits = {start_delay(8, f"plugin-{number}") for number in range(50)}
    assert len(waits) > 40
