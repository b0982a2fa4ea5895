"""What a change of a spec would do, told beforehand: held against what the reconciler makes of the same change."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from api.planning import Effect, change_of, changes
from reconciler.control.resolve import Resolver
from reconciler.host.files import FileDigests
from specs.document import plugin_from
from specs.model import WasmPlugin


def plugin(spec: dict[str, Any] | None = None, name: str = "a") -> WasmPlugin:
    data = {"apiVersion": "wasm-reconciler.dev/v1alpha1", "kind": "WasmPlugin", "metadata": {"name": name}}
    return plugin_from(data | {"spec": {"module": {"path": "a.wasm"}} | (spec or {})})[0]


CHANGES: list[dict[str, Any]] = [
    {"instances": 3},
    {"route": "other"},
    {"filters": ["auth"]},
    {"suspend": True},
    {"engine": "v8"},
    {"abi": "wasi-command"},
    {"module": {"path": "b.wasm"}},
    {"config": {"greeting": "hi"}},
    {"env": [{"name": "A", "value": "b"}]},
    {"capabilities": {"allowedHosts": ["example.com"]}},
    {"capabilities": {"stores": ["s"]}},
    {"capabilities": {"namespace": "n"}},
    {"limits": {"memory": "32Mi"}},
    {"limits": {"timeout": "2s"}},
    {"limits": {"startTimeout": "6s"}},
    {"limits": {"fuel": 1000}},
    {"limits": {"queue": 5}},
    {"limits": {"queueTimeout": "5s"}},
    {"limits": {"requestBytes": 5}},
    {"limits": {"responseBytes": 5}},
    {"pool": {"maxInvocations": 5}},
    {"pool": {"reuse": 5}},
    {"rollout": {"drainTimeout": "5s"}},
    {"rollout": {"autoRevert": False}},
    {"rollout": {"minHealthyTime": "5s"}},
]


@pytest.mark.parametrize("spec", CHANGES, ids=str)
def test_the_effect_is_what_the_reconciler_makes_of_the_change(spec: dict[str, Any], tmp_path: Path) -> None:
    for name in ("a.wasm", "b.wasm"):
        (tmp_path / name).write_bytes(name.encode())
    resolver = Resolver(tmp_path, FileDigests())
    before, after = resolver.target(plugin()), resolver.target(plugin(spec))
    if before.revision != after.revision:
        real = Effect.ROLL
    elif before.instances != after.instances:
        real = Effect.RESIZE
    elif before.settings != after.settings:
        real = Effect.CONFIGURE
    else:
        real = Effect.RECORD
    change = change_of(plugin(), plugin(spec))
    assert change is not None
    assert change.effect is real


def test_every_field_of_the_spec_is_among_the_changes() -> None:
    tried = {
        f"{part}.{key}" if isinstance(value, dict) else part
        for spec in CHANGES
        for part, value in spec.items()
        for key in (value if isinstance(value, dict) else [""])
    }
    fields = set()
    for name, info in type(plugin().spec).model_fields.items():
        inner = getattr(info.annotation, "model_fields", None)
        alias = info.alias or name
        fields |= {f"{alias}.{each.alias or key}" for key, each in inner.items()} if inner else {alias}
    fields -= {f"module.{key}" for key in ("url", "image", "digest", "verify")} | {"capabilities.preopens", "config"}
    assert fields <= tried


def test_the_strongest_effect_names_the_change_and_each_field_is_listed() -> None:
    change = change_of(plugin({"instances": 1}), plugin({"instances": 2, "limits": {"memory": "32Mi"}}))
    assert change is not None
    assert change.effect is Effect.ROLL
    assert {field.path: (field.before, field.after, field.effect) for field in change.fields} == {
        "spec.instances": (1, 2, Effect.RESIZE),
        "spec.limits.memory": ("64Mi", "32Mi", Effect.ROLL),
    }


def test_a_default_that_is_written_out_is_no_change() -> None:
    written = {"instances": 1, "route": "a", "limits": {"memory": "64Mi"}, "suspend": False}
    assert change_of(plugin(), plugin(written)) is None


def test_new_ones_are_created_and_missing_ones_removed_only_when_pruning() -> None:
    live, wanted = {"a": plugin(), "b": plugin(name="b")}, {"a": plugin(), "c": plugin(name="c")}
    kept = changes(live, wanted, prune=False)
    assert [(change.name, change.effect) for change in kept] == [("c", Effect.CREATE)]
    pruned = changes(live, wanted, prune=True)
    assert [(change.name, change.effect) for change in pruned] == [("b", Effect.REMOVE), ("c", Effect.CREATE)]


def test_a_suspended_plugin_says_that_it_waits() -> None:
    change = change_of(plugin(), plugin({"suspend": True, "instances": 4}))
    assert change is not None
    assert dataclasses.astuple(change)[:2] == ("a", Effect.RESIZE)
    assert "suspended" in change.note
