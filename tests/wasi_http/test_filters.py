"""Filters around a component, as people use them: files in, requests through the data plane."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import ROOT, RunningDaemon, until
from tests.guest_wat import stamping
from tests.wasi_http.serve import Exchange, Said, ask
from tests.wasi_http.world import ECHO

COMPONENT = """
apiVersion: wasm-reconciler.dev/v1alpha1
kind: WasmPlugin
metadata: {name: app}
spec:
  filters: FILTERS
  module: {path: app.wasm}
"""
AUTH = """
apiVersion: wasm-reconciler.dev/v1alpha1
kind: WasmPlugin
metadata: {name: auth}
spec:
  module: {path: auth.wasm}
  config: open-sesame
"""
STAMP = """
apiVersion: wasm-reconciler.dev/v1alpha1
kind: WasmPlugin
metadata: {name: stamp}
spec: {module: {path: stamp.wat}}
"""
TOKEN = {"authorization": "Bearer open-sesame"}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RunningDaemon]:
    daemon = RunningDaemon(tmp_path)
    (daemon.modules / "app.wasm").write_bytes(ECHO.read_bytes())
    (daemon.modules / "auth.wasm").write_bytes((ROOT / "examples/filter-rust/filter.wasm").read_bytes())
    (daemon.modules / "stamp.wat").write_bytes(stamping("s"))
    write(daemon, "app", COMPONENT.replace("FILTERS", "[auth, stamp]"))
    write(daemon, "auth", AUTH)
    write(daemon, "stamp", STAMP)
    daemon.start()
    yield daemon
    daemon.stop()


def write(daemon: RunningDaemon, name: str, text: str) -> None:
    part = daemon.specs / f".{name}"
    part.write_text(text)
    part.rename(daemon.specs / f"{name}.yaml")


def condition(daemon: RunningDaemon, kind: str) -> dict[str, str]:
    path = "/apis/wasm-reconciler.dev/v1alpha1/namespaces/default/wasmplugins/app"
    status = daemon.json(path).get("status") or {}
    return next((one for one in status.get("conditions", []) if one["type"] == kind), {})


def say(daemon: RunningDaemon, body: bytes = b"", **headers: str) -> Said:
    return ask(daemon.listen, Exchange("POST" if body else "GET", "/echo", headers, body), id="app")


def test_filters_around_a_component(daemon: RunningDaemon) -> None:
    until(lambda: condition(daemon, "Ready").get("status") == "True", "the plugin to be ready")
    assert condition(daemon, "FiltersReady")["message"] == "requests pass auth, stamp"
    denied = say(daemon, b"body")
    assert denied.status == 401
    passed = say(daemon, b"body", **TOKEN)
    assert (passed.status, passed.body) == (200, b"bodyss")
    assert ("x-s", "s") in passed.headers

    # A filter goes, and comes back: the route is closed meanwhile, and says why.
    (daemon.specs / "stamp.yaml").unlink()
    until(lambda: condition(daemon, "FiltersReady").get("reason") == "FilterMissing", "the missing filter to be told")
    assert condition(daemon, "Ready")["status"] == "False"
    closed = say(daemon, **TOKEN)
    assert closed.status == 503
    assert b"closed by its filter 'stamp'" in closed.body
    write(daemon, "stamp", STAMP)
    until(lambda: condition(daemon, "Ready").get("status") == "True", "the filter to be back")
    assert say(daemon, **TOKEN).status == 200

    # What is no filter is told, and closes the route; a spec without filters opens it, on the same instances.
    write(daemon, "app", COMPONENT.replace("FILTERS", "[other]"))
    write(daemon, "other", COMPONENT.replace("FILTERS", "[]").replace("name: app", "name: other"))
    until(lambda: condition(daemon, "FiltersReady").get("reason") == "FilterUnsuitable", "the component to be refused")
    assert say(daemon).status == 503
    write(daemon, "app", COMPONENT.replace("FILTERS", "[]"))
    until(lambda: not condition(daemon, "FiltersReady"), "the filters to be gone")
    began = time.monotonic()
    while (found := say(daemon, b"open")).status != 200:
        assert time.monotonic() < began + 10
    assert found.body == b"open"
