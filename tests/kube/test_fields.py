"""Sets of fields, merging by them, and who owns them."""

from typing import Any

import pytest

from api.kube.fields import NotFields, difference, dotted, fields_of, from_v1, merge, remove, to_v1
from api.kube.managers import (
    APPLY,
    MAX_UPDATERS,
    UPDATE,
    ApplyConflict,
    Manager,
    Managers,
    applied,
    apply_owners,
    decode,
    updated,
)

A = ("f:spec", "f:env", 'k:{"name":"A"}')


def apply(managers: Managers, live: Any, config: Any, by: str, *, force: bool = False) -> tuple[Any, Managers]:
    result, said = applied(managers, live, config, by)
    return result, apply_owners(managers, live, result, said, Manager(by, APPLY, frozenset()), force=force)


def update(managers: Managers, old: Any, new: Any, by: str) -> Managers:
    return updated(managers, old, new, Manager(by, UPDATE, frozenset()))


def owned(managers: Managers, name: str) -> frozenset[Any]:
    return next((one.fields for one in managers if one.name == name), frozenset())


def test_fields_are_written_as_kubernetes_writes_them() -> None:
    data = {
        "metadata": {"labels": {"app.kubernetes.io/name": "x"}},
        "spec": {"env": [{"name": "A", "value": "1"}], "config": {"a": {"b": 1}, "c": {}}, "module": {"path": "p"}},
    }
    assert to_v1(fields_of(data)) == {
        "f:metadata": {"f:labels": {"f:app.kubernetes.io/name": {}}},
        "f:spec": {
            "f:env": {'k:{"name":"A"}': {".": {}, "f:name": {}, "f:value": {}}},
            "f:config": {"f:a": {".": {}, "f:b": {}}, "f:c": {}},
            "f:module": {"f:path": {}},
        },
    }
    assert from_v1(to_v1(fields_of(data))) == fields_of(data)
    assert dotted((*A, "f:value")) == '.spec.env[name="A"].value'


@pytest.mark.parametrize("data", [[], {"spec": {}}, {"f:spec": 1}])
def test_what_is_not_fields_is_refused(data: Any) -> None:
    with pytest.raises(NotFields):
        from_v1(data)


def test_lists_are_one_value_but_for_env_which_merges_by_name() -> None:
    live = {
        "spec": {"env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}], "capabilities": {"stores": ["x"]}}
    }
    config = {
        "spec": {"env": [{"name": "B", "value": "3"}, {"name": "C", "value": "4"}], "capabilities": {"stores": ["y"]}}
    }
    merged = merge(live, config)
    assert [(one["name"], one["value"]) for one in merged["spec"]["env"]] == [("A", "1"), ("B", "3"), ("C", "4")]
    assert merged["spec"]["capabilities"] == {"stores": ["y"]}
    assert live["spec"]["env"][1]["value"] == "2", "the input is not changed"


def test_removing_leaves_no_empty_mappings_but_those_that_were_there() -> None:
    data = {"spec": {"limits": {"queue": 1}, "config": {}, "env": [{"name": "A", "value": "1"}]}}
    gone = frozenset({("f:spec", "f:limits", "f:queue"), A, (*A, "f:name"), (*A, "f:value")})
    assert remove(data, gone, frozenset()) == {"spec": {"config": {}}}
    kept = frozenset({(*A, "f:value")})
    assert remove(data, gone, kept)["spec"]["env"] == [{"name": "A", "value": "1"}]


def test_an_update_takes_over_what_it_changes() -> None:
    one = update((), {}, {"spec": {"instances": 1, "route": "r"}}, "one")
    two = update(one, {"spec": {"instances": 1, "route": "r"}}, {"spec": {"instances": 2}}, "two")
    assert owned(two, "one") == frozenset()
    assert owned(two, "two") == {("f:spec", "f:instances")}
    assert update(two, {"spec": {"instances": 2}}, {"spec": {"instances": 2}}, "three") == two


def test_applying_the_same_changes_nothing() -> None:
    config = {"spec": {"instances": 1}}
    live, managers = apply((), {}, config, "me")
    again, same = apply(managers, live, config, "me")
    assert (again, same) == (live, managers)


def test_what_is_not_said_any_more_goes_unless_another_says_it() -> None:
    live, managers = apply((), {}, {"spec": {"instances": 1, "route": "r"}}, "one")
    live, managers = apply(managers, live, {"spec": {"route": "r"}}, "two")
    assert owned(managers, "one") >= owned(managers, "two")
    live, managers = apply(managers, live, {"spec": {}}, "one")
    assert live == {"spec": {"route": "r"}}
    live, managers = apply(managers, live, {}, "two")
    assert live == {"spec": {}}, "the first still says that there is one"


def test_an_item_stays_while_another_manager_says_something_in_it() -> None:
    live, managers = apply((), {}, {"spec": {"env": [{"name": "A", "value": "1"}]}}, "one")
    live, managers = apply(managers, live, {"spec": {"env": [{"name": "A", "value": "1"}]}}, "two")
    live, managers = apply(managers, live, {"spec": {"module": {"path": "p"}}}, "one")
    assert live["spec"]["env"] == [{"name": "A", "value": "1"}]


def test_changing_what_another_owns_is_a_conflict_that_names_it() -> None:
    live = {"spec": {"instances": 1}}
    managers = update((), {}, live, "hand")
    with pytest.raises(ApplyConflict) as caught:
        apply(managers, live, {"spec": {"instances": 2}}, "me")
    assert caught.value.sentence().startswith('Apply failed with 1 conflict: conflict with "hand" using')
    assert caught.value.causes()[0]["field"] == ".spec.instances"
    # Saying the same as the other is sharing, not taking.
    _, shared = apply(managers, live, live, "me")
    assert owned(shared, "hand") == owned(shared, "me")
    _, forced = apply(managers, live, {"spec": {"instances": 2}}, "me", force=True)
    assert [one.name for one in forced] == ["me"]


def test_several_conflicts_are_listed_by_manager() -> None:
    live = {"spec": {"instances": 1, "route": "r"}}
    managers = update((), {}, live, "hand")
    with pytest.raises(ApplyConflict) as caught:
        apply(managers, live, {"spec": {"instances": 2, "route": "s"}}, "me")
    lines = caught.value.sentence().splitlines()
    assert lines[0] == "Apply failed with 2 conflicts:"
    assert lines[2:] == ["- .spec.instances", "- .spec.route"]


def test_many_updaters_become_one() -> None:
    live: Any = {"metadata": {"labels": {}}}
    managers: Managers = ()
    for number in range(MAX_UPDATERS + 5):
        new = {"metadata": {"labels": {**live["metadata"]["labels"], f"l{number}": "x"}}}
        by = Manager(f"m{number}", UPDATE, frozenset(), f"2026-01-01T00:00:{number:02}Z")
        managers, live = updated(managers, live, new, by), new
    assert len(managers) == MAX_UPDATERS
    assert managers[0].name == "ancient-changes"
    assert frozenset().union(*(one.fields for one in managers)) == fields_of(live)


def test_managers_survive_being_written_and_read() -> None:
    managers = (
        Manager("a", APPLY, frozenset({A}), "2026-01-01T00:00:00Z"),
        Manager("b", UPDATE, frozenset({A}), "", "scale"),
    )
    assert decode([one.entry() for one in managers]) == managers
    assert decode([{}]) == ()
    for wrong in ({}, [1], [{"operation": "Guess"}], [{"operation": "Apply", "manager": 1}]):
        with pytest.raises(NotFields):
            decode(wrong)


def test_a_difference_tells_changed_from_gone() -> None:
    changed, gone = difference({"spec": {"a": 1, "b": 2}}, {"spec": {"a": 1, "b": 3, "c": 4}})
    assert changed == {("f:spec", "f:b"), ("f:spec", "f:c")}
    assert gone == frozenset()
