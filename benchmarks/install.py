"""How soon an install over HTTP is a plugin that serves: of a module that the daemon knows, and of one that is new.

Run with `python -m benchmarks install`.
"""

import http.client
import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import wasmtime

from benchmarks.daemon import Daemon
from benchmarks.report import Figure, percentile
from reconciler.wasm.engine import Engine
from tests.guest_wat import answering

KNOWN = 100
NEW = 12
BYTES = 280_000
"""The size of a function that TinyGo makes."""


def large_module(number: int) -> bytes:
    """A module of about BYTES that answers, and that no other number gives."""
    body = " ".join(
        f"(local.set 0 (i32.add (i32.mul (local.get 0) (i32.const {step * 7919 + number})) (i32.load (i32.const 64))))"
        for step in range(40)
    )
    functions = "".join(
        f'(func (export "f{index}") (param i32) (result i32) {body} (local.get 0))' for index in range(490)
    )
    return bytes(wasmtime.wat2wasm(answering(f"large {number}", exports=functions)))


def figures() -> Iterator[Figure]:
    """All figures of this file."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        specs, modules = root / "specs", root / "modules"
        specs.mkdir()
        modules.mkdir()
        (modules / "known.wat").write_bytes(answering("known"))
        for number in range(NEW):
            (modules / f"new{number}.wasm").write_bytes(large_module(number))
        size = (modules / "new0.wasm").stat().st_size // 1000
        with Daemon(specs, modules, root / "state") as daemon:
            admin = http.client.HTTPConnection(urlsplit(daemon.admin).netloc)
            install(admin, "first", "known.wat")
            known = [install(admin, f"p{number}", "known.wat") for number in range(KNOWN)]
            beyond = [beyond_compiling(admin, modules / f"new{number}.wasm") for number in range(NEW)]
    yield Figure("POST /wasm/install?wait of a known module, p50", known, "ms", bar=10.0)
    yield Figure("the same, p99", [percentile(known, 0.99)], "ms", bar=30.0)
    yield Figure(f"the same of a new module of {size} KB, beyond what compiling it takes", beyond, "ms", bar=10.0)


def install(admin: http.client.HTTPConnection, name: str, module: str) -> float:
    """Milliseconds until the answer, which comes when the plugin is Ready."""
    body = json.dumps({"name": name, "instance_num": 1, "vm_config": {"engine": "wasmtime", "path": module}})
    began = time.perf_counter()
    admin.request("POST", "/wasm/install?wait=30s", body, {"Content-Type": "application/json"})
    answer = admin.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status}: {text.decode()}")
    return (time.perf_counter() - began) * 1000


def beyond_compiling(admin: http.client.HTTPConnection, module: Path) -> float:
    """Milliseconds of an install beyond those of compiling the same bytes in this process, right before it."""
    engine = Engine()
    engine.compile(answering("warm"))
    began = time.perf_counter()
    engine.compile(module.read_bytes())
    compiling = (time.perf_counter() - began) * 1000
    engine.close()
    return install(admin, module.stem, module.name) - compiling
