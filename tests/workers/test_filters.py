"""Filters where pools lie in several workers: nothing gets past one, wherever it came and wherever its upstream is."""

from collections import Counter

from reconciler.core.plan import ConfigurePool
from reconciler.host.router import Expectation
from tests.guest_wat import answering
from tests.workers.conftest import There


def test_a_request_passes_its_filter_whichever_worker_it_came_to(two: There) -> None:
    two.host.expect(
        {"up": Expectation("up", 64, 10.0, 2**20, 1, ("door",)), "door": Expectation("door", 64, 10.0, 2**20, 1)}
    )
    door = two.install(two.spec("door", answering("closed")), 1)
    up = two.install(two.spec("up", answering("open")), 1)
    assert Counter(two.ask("up") for _ in range(12)) == {(200, "closed"): 12}
    two.host.expect({"up": Expectation("up", 64, 10.0, 2**20, 1)})
    two.apply(ConfigurePool("up", up, two.settings_of("up")))
    assert Counter(two.ask("up") for _ in range(12)) == {(200, "open"): 12}
    two.until(lambda: two.shares("door", door) in ({0: 1}, {1: 1}))
    two.host.expect({"up": None, "door": None})


def test_filters_and_an_upstream_that_are_in_different_workers_answer_together(two: There) -> None:
    names = ["up", *(f"door-{number}" for number in range(4))]
    filters = tuple(names[1:])
    two.host.expect({name: Expectation(name, 64, 10.0, 2**20, 1) for name in filters})
    two.host.expect({"up": Expectation("up", 64, 10.0, 2**20, 1, filters)})
    for name in filters:
        two.install(two.spec(name, passing()), 1)
    two.install(two.spec("up", answering("open")), 1)
    assert Counter(two.ask("up") for _ in range(12)) == {(200, "open"): 12}
    two.host.expect(dict.fromkeys(names))


def test_a_route_is_closed_by_the_filter_that_is_missing_not_by_one_that_is_elsewhere(two: There) -> None:
    two.host.expect({"up": Expectation("up", 64, 10.0, 2**20, 1, ("here", "nowhere"))})
    two.install(two.spec("here", passing()), 1)
    two.install(two.spec("up", answering("open")), 1)
    for _ in range(6):
        status, said = two.ask("up")
        assert (status, "closed by its filter 'nowhere'" in said) == (503, True)
    two.host.expect({"up": None})


def passing() -> bytes:
    """A filter that lets everything through."""
    return b"""
    (module
      (memory (export "memory") 1)
      (func (export "proxy_abi_version_0_2_1"))
      (func (export "malloc") (param i32) (result i32) i32.const 4096)
      (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32) i32.const 0))
    """
