"""Routes behind filters: the order, who is leased when, what closes a route, and that chains cannot lock up."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reconciler.core.plan import ConfigurePool, RemovePool, ResizePool
from reconciler.core.states import Reason
from reconciler.host.invoke import RouteUnavailable
from reconciler.host.router import Expectation
from reconciler.wasm.kind import GuestFailed, Request, Response
from tests.guest_wat import TRAP, WORK_GLOBAL, answering, stamping, work
from tests.host.conftest import World


def behind(world: World, *filters: str, plugin: str = "up", wasm: bytes = b"", **more: Any) -> str:
    spec = world.spec(plugin, wasm or stamping("u"))
    revision = world.install(spec, more.pop("instances", 1))
    world.apply(ConfigurePool(plugin, revision, world.settings(plugin, filters=filters, **more)))
    return revision


def ask(world: World, body: bytes = b"", route: str = "up") -> Response:
    return world.host.invoke(Request(route, "POST", body=body))


def calls(world: World, plugin: str, revision: str) -> int:
    return world.pool(plugin, revision).calls


def test_requests_pass_in_order_and_answers_in_the_other(world: World) -> None:
    for letter in "ab":
        world.install(world.spec(letter, stamping(letter)), 1)
    behind(world, "a", "b")
    response = ask(world, b"body")
    assert response.body == b"uba"
    assert [name for name, _ in response.headers] == ["x-u", "x-b", "x-a"]


def test_a_filter_that_answers_leaves_the_upstream_alone(world: World) -> None:
    outer = world.install(world.spec("a", stamping("a")), 1)
    world.install(world.spec("b", answering("denied")), 1)
    up = behind(world, "a", "b")
    response = ask(world)
    assert response.body == b"denieda"
    assert [name for name, _ in response.headers] == ["x-a"]
    assert (calls(world, "a", outer), calls(world, "up", up)) == (1, 0)
    assert world.pool("a", outer).busy == 0


@pytest.mark.parametrize("waiting", [False, True], ids=["at once", "in the data plane"])
def test_a_missing_filter_closes_the_route(world: World, waiting: bool) -> None:
    up = behind(world, "gone")
    with pytest.raises(RouteUnavailable, match="closed by its filter 'gone': there is no such plugin"):
        if waiting:
            lease = world.host.acquire("up", None)  # type: ignore[arg-type]
            assert lease is not None
            lease.call(Request("up"))
        else:
            ask(world)
    assert calls(world, "up", up) == 0


def test_a_filter_that_is_scaled_to_zero_or_removed_closes_the_route(world: World) -> None:
    revision = world.install(world.spec("a", stamping("a")), 1)
    behind(world, "a")
    assert ask(world).status == 200
    world.apply(ResizePool("a", revision, 0))
    with pytest.raises(RouteUnavailable, match="scaled to zero"):
        ask(world)
    world.apply(RemovePool("a", revision))
    with pytest.raises(RouteUnavailable, match="no such plugin"):
        ask(world)
    world.install(world.spec("a", stamping("b")), 1)
    assert [name for name, _ in ask(world).headers] == ["x-u", "x-b"]


def test_a_filter_is_in_force_from_the_moment_that_it_is_desired(world: World) -> None:
    behind(world)
    assert ask(world).status == 200
    world.host.expect({"up": Expectation("up", 8, 5.0, 2**20, 1, ("a",))})
    with pytest.raises(RouteUnavailable, match="'a'"):
        ask(world)


def test_plugins_of_one_route_share_their_filters(world: World) -> None:
    behind(world)
    other = world.install(world.spec("z", stamping("u")), 1, "up")
    world.apply(ConfigurePool("z", other, world.settings("up", filters=("gone",))))
    for _ in range(2):
        with pytest.raises(RouteUnavailable):
            ask(world)


def test_a_trap_in_a_filter_is_the_filters(world: World) -> None:
    outer = world.install(world.spec("a", stamping("a")), 1)
    bad = world.install(world.spec("b", stamping("b", before=TRAP)), 1)
    up = behind(world, "a", "b")
    lease = world.host.acquire("up", None)  # type: ignore[arg-type]
    assert lease is not None
    with pytest.raises(GuestFailed) as failed:
        lease.call(Request("up"))
    assert failed.value.failure.reason is Reason.TRAPPED
    assert lease.plugin == "b"
    assert (world.pool("b", bad).restarts, world.pool("a", outer).restarts, calls(world, "up", up)) == (1, 0, 0)
    assert world.pool("a", outer).busy == 0


def test_an_upstream_that_fails_gives_the_filters_back(world: World) -> None:
    revision = world.install(world.spec("a", stamping("a")), 1)
    behind(world, "a", wasm=answering("never", before=TRAP))
    with pytest.raises(GuestFailed):
        ask(world)
    assert (world.pool("a", revision).busy, world.pool("a", revision).restarts) == (0, 0)


def test_a_busy_filter_is_waited_for(world: World) -> None:
    world.install(world.spec("a", stamping("a")), 1)
    slow = answering("up", before=work(2_000_000), exports=WORK_GLOBAL)
    behind(world, "a", wasm=slow, instances=4)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: ask(world).body, range(12)))
    assert answers == [b"upa"] * 12


def test_chains_in_opposite_orders_do_not_lock_up(world: World) -> None:
    for letter in "ab":
        world.install(world.spec(letter, stamping(letter, before=work(300_000), exports=WORK_GLOBAL)), 1)
    behind(world, "a", "b", plugin="one")
    behind(world, "b", "a", plugin="two")

    def many(route: str) -> int:
        good = 0
        for _ in range(30):
            try:
                good += ask(world, route=route).status == 200
            except RouteUnavailable as error:
                assert "calls that wait for this one" in str(error)
        return good

    with ThreadPoolExecutor(2) as threads:
        counts = list(threads.map(many, ("one", "two")))
    assert sum(counts) > 0
    for letter in "ab":
        (pool,) = world.host.observe(letter).pools
        assert pool.busy == 0
