"""The same components answer alike under `wasmtime serve` and under our daemon.

What differs on purpose, and is therefore not compared: `date`, `server` and framing headers are the server's own;
trailers that an answer's `trailer` header did not announce are sent here and dropped there, so the requests announce
them; a component that fails is 502 here and 500 there.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon import RunningDaemon, until
from tests.wasi_http.serve import Exchange, ask, built, generated, serving
from tests.wasi_http.world import ECHO

SPEC = """
apiVersion: wasm-reconciler.dev/v1alpha1
kind: WasmPlugin
metadata: {name: app}
spec:
  module: {path: app.wasm}
  limits: {requestBytes: 16Mi, responseBytes: 16Mi, memory: 256Mi, timeout: 30s, startTimeout: 60s}
  pool: {reuse: REUSE}
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("component", "count", "reuse"),
    [
        pytest.param(lambda: ECHO, 200, 1, id="c-fresh"),
        pytest.param(lambda: ECHO, 200, 50, id="c-reused"),
        pytest.param(lambda: built("python.wasm"), 200, 1, id="python", marks=pytest.mark.soak),
        pytest.param(lambda: built("javascript.wasm"), 200, 1, id="javascript", marks=pytest.mark.soak),
    ],
)
def test_generated_requests_are_answered_alike(
    tmp_path: Path, component: Callable[[], Path], count: int, reuse: int
) -> None:
    path = component()
    daemon = RunningDaemon(tmp_path)
    with serving(path) as theirs:
        shutil.copy(path, daemon.modules / "app.wasm")
        (daemon.specs / "app.yaml").write_text(SPEC.replace("REUSE", str(reuse)))
        daemon.start()
        try:
            until(lambda: ask(daemon.listen, Exchange("GET", "/"), id="app").status == 200, "the first answer", 120)
            trailers = 0
            for exchange in generated(count):
                ours = ask(daemon.listen, exchange, id="app")
                assert ours == ask(theirs, exchange, id="app"), exchange
                trailers += len(ours.trailers)
            assert trailers or path != ECHO
        finally:
            daemon.stop()
