"""The watch cache: numbers, snapshots of the past, what is remembered."""

from collections.abc import Iterable
from typing import Any

import pytest

from api.kube.cache import TooNew, TooOld, WatchCache
from api.kube.numbers import Numbers


class Objects:
    """A feed that is told what to say."""

    def __init__(self) -> None:
        self.news: list[tuple[str, dict[str, Any] | None]] = []

    def put(self, name: str, value: object = None, uid: str = "u") -> None:
        self.news.append((name, {"metadata": {"name": name, "uid": uid}, "spec": value}))

    def drop(self, name: str) -> None:
        self.news.append((name, None))

    def changes(self) -> Iterable[tuple[str, dict[str, Any] | None]]:
        news, self.news = self.news, []
        return news


@pytest.fixture
def objects() -> Objects:
    return Objects()


@pytest.fixture
def cache(objects: Objects) -> WatchCache:
    return WatchCache(objects, Numbers(100), kept=5)


def story(cache: WatchCache, since: int) -> list[tuple[str, str]]:
    changes, _ = cache.since(since)
    return [
        ("added" if one.before is None else "changed", one.after.name)
        if one.after is not None
        else ("gone", one.before.name if one.before else "")
        for one in changes
    ]


def test_a_change_gets_the_next_number_and_no_change_gets_none(cache: WatchCache, objects: Objects) -> None:
    objects.put("a", 1)
    first = cache.get("a")
    objects.put("a", 1)
    assert cache.get("a") is first
    objects.put("a", 2)
    second = cache.get("a")
    assert first and second
    assert (first.version, second.version) == (101, 102)
    assert second.data["metadata"]["resourceVersion"] == "102"
    assert cache.view().version == 102


def test_an_object_made_anew_is_another_one(cache: WatchCache, objects: Objects) -> None:
    objects.put("a", 1)
    cache.view()
    objects.put("a", 1, uid="v")
    assert story(cache, 101) == [("gone", "a"), ("added", "a")]


def test_the_past_can_be_listed_while_it_is_remembered(cache: WatchCache, objects: Objects) -> None:
    objects.put("a", 1)
    objects.put("b", 1)
    then = cache.view()
    objects.put("a", 2)
    objects.drop("b")
    objects.put("c", 1)
    assert [item.name for item in cache.view().items] == ["a", "c"]
    assert cache.at(then.version) == then
    assert story(cache, then.version) == [("changed", "a"), ("gone", "b"), ("added", "c")]
    for value in range(3, 8):
        objects.put("a", value)
    with pytest.raises(TooOld):
        cache.at(then.version)
    with pytest.raises(TooOld):
        cache.since(then.version)
    assert len(story(cache, cache.floor)) == 5


def test_numbers_of_another_run_are_too_old_and_those_of_no_run_too_new(cache: WatchCache) -> None:
    with pytest.raises(TooOld):
        cache.since(99)
    with pytest.raises(TooNew):
        cache.since(101)
    assert cache.since(100) == ([], 100)


def test_a_poke_ends_a_wait(cache: WatchCache) -> None:
    seen = cache.pokes
    cache.poke()
    cache.wait(seen, timeout=60)
    cache.close()
    cache.wait(cache.pokes, timeout=60)
    assert cache.closed
