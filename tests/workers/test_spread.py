"""How instances are spread: exactly as many as are wanted, evenly, and where they were before."""

from hypothesis import given
from hypothesis import strategies as st

from reconciler.workers.spread import home, shares

WORKERS = st.sets(st.integers(0, 7), min_size=1)


@given(st.integers(0, 10_000), st.integers(0, 7), WORKERS, st.booleans())
def test_the_sum_is_what_is_wanted(instances: int, first: int, available: set[int], together: bool) -> None:
    spread = shares(instances, first, sorted(available), together=together)
    assert sum(spread.values()) == instances
    assert set(spread) <= available
    assert len(spread) == (1 if together else max(1, min(instances, len(available))))


@given(st.integers(1, 10_000), st.integers(0, 7), WORKERS)
def test_no_share_is_more_than_one_larger_than_another(instances: int, first: int, available: set[int]) -> None:
    spread = shares(instances, first, sorted(available))
    full = [spread.get(worker, 0) for worker in available]
    assert max(full) - min(full) <= 1


@given(st.integers(1, 20), st.integers(0, 7))
def test_fewer_instances_stay_where_they_are(instances: int, first: int) -> None:
    before, after = (shares(count, first, range(8)) for count in (instances + 1, instances))
    assert all(before[worker] >= share for worker, share in after.items())


def test_without_a_worker_there_is_no_share() -> None:
    assert shares(3, 0, []) == {}


def test_plugins_with_one_instance_are_spread_over_all_workers() -> None:
    counts = [0, 0]
    for number in range(200):
        ((worker, _),) = shares(1, home(f"plugin-{number}", 2), [0, 1]).items()
        counts[worker] += 1
    assert min(counts) > 60
