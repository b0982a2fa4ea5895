"""Which kind a module is of."""

import pytest

from reconciler.wasm.engine import Engine
from reconciler.wasm.kind import ModuleRefused
from reconciler.wasm.kinds import standard_kinds
from reconciler.wasm.proxy_wasm.shared import SharedSpaces
from tests.wasm.world import Upstreams

FILTER = b'(module (memory (export "memory") 1) (func (export "proxy_abi_version_0_2_0")))'
COMMAND = b'(module (memory (export "memory") 1) (func (export "_start")))'
REACTOR = b'(module (memory (export "memory") 1) (func (export "_start")) (func (export "proxy_abi_version_0_2_0")))'
NEITHER = b'(module (func (export "compute")))'
HTTP = b"""(component
  (instance $empty)
  (export "wasi:http/incoming-handler@0.2.9" (instance $empty)))"""
COMPONENT = b"\0asm\x0d\0\x01\0"


@pytest.mark.parametrize(
    ("module", "abi", "kind"),
    [
        (FILTER, "auto", "proxy-wasm"),
        (FILTER, "proxy-wasm", "proxy-wasm"),
        (COMMAND, "auto", "wasi-command"),
        (COMMAND, "wasi-command", "wasi-command"),
        (REACTOR, "auto", "proxy-wasm"),
        (HTTP, "auto", "wasi-http"),
        (HTTP, "wasi-http", "wasi-http"),
    ],
)
def test_a_module_finds_its_kind(engine: Engine, module: bytes, abi: str, kind: str) -> None:
    kinds = standard_kinds(engine, Upstreams(), SharedSpaces())
    assert kinds.choose(engine.compile(module).shape, abi).name == kind


@pytest.mark.parametrize(
    ("module", "abi", "words"),
    [
        (NEITHER, "auto", "it exports compute"),
        (COMMAND, "proxy-wasm", "no proxy-wasm module"),
        (FILTER, "wasi-http", "no wasi-http module"),
        (FILTER, "fourth", "not fourth"),
        (COMPONENT, "auto", "component"),
        (COMPONENT, "proxy-wasm", "component"),
    ],
)
def test_what_fits_no_kind_is_refused_in_words(engine: Engine, module: bytes, abi: str, words: str) -> None:
    kinds = standard_kinds(engine, Upstreams(), SharedSpaces())
    with pytest.raises(ModuleRefused) as caught:
        kinds.choose(engine.compile(module).shape, abi)
    assert (caught.value.failure.reason, caught.value.failure.next_step) == ("UnsupportedABI", "stall")
    assert words in caught.value.failure.message
