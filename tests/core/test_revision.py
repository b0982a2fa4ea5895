"""A revision names what an instance is made of, and nothing else."""

from dataclasses import replace

import pytest

from reconciler.core.revision import InstanceLimits, InstanceSpec, ModuleSource, PreopenDir, revision_of

SPEC = InstanceSpec(
    plugin="p",
    module=ModuleSource("sha256:1", path="a.wasm"),
    abi="auto",
    engine="wasmtime",
    config="{}",
    env=(("A", "1"),),
    allowed_hosts=(),
    stores=(),
    preopens=(),
    namespace="p",
    limits=InstanceLimits(1, 1.0, 1.0, None, 1, 1),
)


@pytest.mark.parametrize(
    "change",
    [
        {"module": ModuleSource("sha256:2", path="a.wasm")},
        {"abi": "proxy-wasm"},
        {"engine": "other"},
        {"config": '{"a": 1}'},
        {"env": (("A", "2"),)},
        {"allowed_hosts": ("example.org",)},
        {"stores": ("state",)},
        {"preopens": (PreopenDir("/a", "/a", True),)},
        {"namespace": "shared"},
        {"limits": InstanceLimits(2, 1.0, 1.0, None, 1, 1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_change_of_what_instances_are_made_of_is_a_new_revision(change: dict[str, object]) -> None:
    assert revision_of(replace(SPEC, **change)) != revision_of(SPEC)  # type: ignore[arg-type]


def test_the_same_content_at_another_place_is_the_same_revision() -> None:
    assert revision_of(replace(SPEC, module=ModuleSource("sha256:1", path="b.wasm"))) == revision_of(SPEC)
