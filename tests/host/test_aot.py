"""The AOT cache keeps within its bound, and never gives out what is not whole."""

import os
from pathlib import Path

from reconciler.host.aot import AotCache


def test_the_least_recently_used_go_first_and_other_versions_count(tmp_path: Path) -> None:
    old = AotCache(tmp_path, "engine-1", max_bytes=5_000)
    new = AotCache(tmp_path, "engine-2", max_bytes=5_000)
    for number, (cache, name) in enumerate([(old, "a"), (new, "b"), (new, "c")]):
        cache.put(name, bytes(2_000 - number))
        for file in tmp_path.rglob(f"{name}.cwasm"):
            os.utime(file, (number, number))
    assert old.get("a") is None, "three do not fit, and it was the oldest"
    assert new.get("b") is not None
    new.put("d", bytes(2_000))
    assert new.get("c") is None, "b was used since, c was not"
    assert new.get("b") is not None


def test_code_larger_than_the_bound_is_kept_until_the_next(tmp_path: Path) -> None:
    cache = AotCache(tmp_path, "engine", max_bytes=100)
    cache.put("big", bytes(1_000))
    assert cache.get("big") == bytes(1_000)
    cache.put("next", bytes(10))
    assert cache.get("big") is None
