"""A node with fifty plugins, one of which crashes at every start, and one file that is broken."""

import json
import shutil
from pathlib import Path

from specs.model import API_VERSION
from tests.guest_wat import TRAP, WORK_GLOBAL, answering, work

AREAS = ("account", "cart", "catalog", "checkout", "media", "orders", "search", "shipping")
PARTS = ("auth", "headers", "quota", "rewrite", "shape", "trace")
CRASHING = "media-shape"
TALKING = "catalog-trace"
GROUP = ("cart-shape", "cart-shape-next")
"""Two plugins on one route, with three instances and one."""
BROKEN = "payments.yaml"
BROKEN_LINE = 9

_BROKEN_TEXT = """\
# Who may pay.
apiVersion: wasm-reconciler.dev/v1alpha1
kind: WasmPlugin
metadata:
  name: payments-guard
spec:
  module: {path: quick.wat}
  limits:
    memory: lots
    timeout: 1s
"""


def talking(text: str) -> bytes:
    """A guest that answers with a text and logs it, as information."""
    said = answering(text, before=f"(drop (call $log (i32.const 2) (i32.const 16) (i32.const {len(text)})))")
    imported = b'(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32))) (memory'
    return said.replace(b"(memory", imported, 1)


class World:
    """Its directories below `root`, and what is written there."""

    def __init__(self, root: Path) -> None:
        self.specs, self.modules, self.state = root / "specs", root / "modules", root / "state"
        for place in (self.specs, self.modules, self.state):
            place.mkdir()
        self.flags = ("--specs", str(self.specs), "--module-root", str(self.modules))
        self._module("quick.wat", answering("fine"))
        self._module("slow.wat", answering("done", before=work(60_000), exports=WORK_GLOBAL))
        self._module("crash.wat", answering("never", start=TRAP))
        self._module("talk.wat", talking("I was asked"))

    def _module(self, name: str, text: bytes) -> None:
        (self.modules / name).write_bytes(text)

    def want(self, name: str, **spec: object) -> None:
        """Write a spec file in one step."""
        body = {"apiVersion": API_VERSION, "kind": "WasmPlugin", "metadata": {"name": name}}
        body["metadata"] = {"name": name, "labels": {"team": name.partition("-")[0]}}
        body["spec"] = {"module": {"path": "quick.wat"}, **spec}
        part = self.specs / f".{name}"
        part.write_text(json.dumps(body, indent=2))
        part.rename(self.specs / f"{name}.json")

    def wanted(self, name: str) -> dict[str, object]:
        """The spec as its file has it now."""
        spec: dict[str, object] = json.loads((self.specs / f"{name}.json").read_text())["spec"]
        return spec

    def break_a_file(self) -> None:
        """Put the broken file in place."""
        (self.specs / BROKEN).write_text(_BROKEN_TEXT)

    def fill(self) -> set[str]:
        """Write everything; the names of the plugins that will be ready."""
        names = {f"{area}-{part}" for area in AREAS for part in PARTS}
        for place, name in enumerate(sorted(names)):
            slow = place % 5 == 0
            special = {CRASHING: "crash.wat", TALKING: "talk.wat"}
            module = special.get(name) or ("slow.wat" if slow else "quick.wat")
            self.want(name, module={"path": module}, instances=1 + place % 4, config={"limit": place})
        self.want(GROUP[0], route=GROUP[0], instances=3)
        self.want(GROUP[1], route=GROUP[0], module={"path": "slow.wat"})
        self.want("batch-thumbnails", module={"path": "slow.wat"}, instances=60)
        self.break_a_file()
        return names - {CRASHING} | set(GROUP) | {"batch-thumbnails"}


def chromium() -> str | None:
    """The headless browser on this machine, if there is one."""
    return shutil.which("chromium-headless-shell") or shutil.which("chromium")
