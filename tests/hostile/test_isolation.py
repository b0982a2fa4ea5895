"""Plugins that try to see each other's data. Only those that both name a namespace share one."""

import pytest

from reconciler.core.observed import Failure
from reconciler.wasm.kind import Response
from specs.document import parse_text
from tests.hostile.conftest import Street
from tests.reliability.conftest import SPEC
from tests.wasm.world import Memory, Step, probe

KEY, VALUE, NAME, OUT, SIZE, CAS = 1024, 1100, 1200, 1300, 1304, 1308
DATA = {KEY: b"key", VALUE: b"secret", NAME: b"plugin/one"}
WRITE: tuple[Step, ...] = (
    ("proxy_set_shared_data", [KEY, 3, VALUE, 6, 0]),
    ("proxy_register_shared_queue", [KEY, 3, OUT]),
    ("proxy_enqueue_shared_queue", [1, VALUE, 6]),
    ("proxy_define_metric", [0, KEY, 3, OUT]),
    ("proxy_record_metric", [1, 7]),
)
READ: tuple[Step, ...] = (
    ("proxy_get_shared_data", [KEY, 3, OUT, SIZE, CAS]),
    ("proxy_resolve_shared_queue", [0, 0, KEY, 3, OUT]),
    ("proxy_resolve_shared_queue", [NAME, 3, KEY, 3, OUT]),
    ("proxy_resolve_shared_queue", [NAME, 10, KEY, 3, OUT]),
    ("proxy_dequeue_shared_queue", [1, OUT, SIZE]),
    ("proxy_get_metric", [1, OUT]),
)
NOT_FOUND = 1


def statuses(street: Street, name: str) -> list[int]:
    answer = street.ask(name)
    assert isinstance(answer, Response), answer
    return Memory(answer.body).statuses


def live_together(street: Street, one: dict[str, object], two: dict[str, object]) -> list[int]:
    """What plugin `two` finds of what plugin `one` wrote."""
    limits = {"timeout": "5s"}
    street.settle_in(probe(*WRITE, data=DATA).encode(), "one", limits=limits, capabilities=one)
    street.settle_in(probe(*READ, data=DATA).encode(), "two", limits=limits, capabilities=two)
    assert statuses(street, "one") == [0] * len(WRITE)
    return statuses(street, "two")


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({}, {}),
        ({}, {"namespace": "one"}),
        ({"namespace": "two"}, {}),
        ({"namespace": "a"}, {"namespace": "b"}),
    ],
    ids=["neither names one", "one names the other", "the other names the one", "each names its own"],
)
def test_plugins_do_not_see_each_others_data(street: Street, one: dict[str, object], two: dict[str, object]) -> None:
    assert set(live_together(street, one, two)) == {NOT_FOUND}


def test_plugins_that_name_one_namespace_share_it(street: Street) -> None:
    found = live_together(street, {"namespace": "a"}, {"namespace": "a"})
    assert [found[0], found[1], found[4], found[5]] == [0] * 4


def test_a_namespace_cannot_be_spelt_like_a_plugins_own() -> None:
    text = SPEC.format(name="two", module="a", instances=1) + "  capabilities: {namespace: plugin/one}\n"
    (problem,) = parse_text(text, "two.yaml").problems
    assert problem.field == "spec.capabilities.namespace"


def test_a_store_is_read_only_by_who_may(street: Street) -> None:
    read: Step = ("proxy_get_state", [NAME, 5, KEY, 3, OUT, SIZE])
    wat = probe(read, data={NAME: b"books", KEY: b"key"}).encode()
    street.settle_in(wat, "one", limits={"timeout": "5s"}, capabilities={"stores": ["books"]})
    street.settle_in(wat, "two", limits={"timeout": "5s"}, capabilities={"stores": ["other"]})
    assert not isinstance(street.ask("one"), Failure)
    assert statuses(street, "one") == [0]
    assert statuses(street, "two") == [10]
