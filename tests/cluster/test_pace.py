"""Many followers never ask at once; and what the simulation says of a thousand of them."""

import random

import pytest

from api.cluster import pace
from benchmarks.scale.__main__ import LAYOUTS, one_change, restarted


def test_waits_double_to_a_bound_and_are_spread() -> None:
    assert [pace.retry_delay(failures, lambda: 1.0) for failures in (1, 2, 3, 4)] == [0.2, 0.4, 0.8, 1.6]
    assert pace.retry_delay(1_000_000, lambda: 1.0) == pace.LONGEST
    assert pace.retry_delay(1_000_000, lambda: 0.0) == pace.LONGEST / 2


def test_a_lone_node_reports_at_once_and_many_take_turns() -> None:
    assert pace.report_delay(1, lambda: 1.0) < 0.05
    chance = random.Random(1).random
    times = sorted(pace.report_delay(1000, chance) for _ in range(1000))
    busiest = max(sum(second <= time < second + 1 for time in times) for second in range(20))
    assert busiest < 2 * pace.WRITES


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.file)
def test_a_change_reaches_a_hundred_nodes_in_the_goal(layout: object) -> None:
    assert one_change(layout, 100).p99 < 0.3  # type: ignore[arg-type]


def test_a_tree_reaches_a_thousand_nodes_in_the_goal_and_takes_a_restart_calmly() -> None:
    tree = next(layout for layout in LAYOUTS if layout.tree)
    change = one_change(tree, 1000)
    assert change.p99 < 0.3
    assert change.busy < 0.01
    again = restarted(tree, 1000)
    assert again.p99 < pace.LONGEST + 3.0
    assert again.busy < 0.1
