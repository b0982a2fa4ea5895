"""Writing a plugin with the answer before one's eyes: `dev`."""

import os
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
from rich.markup import escape

from api.advice import explain
from api.cli.frame import Failed, asks_daemon, command, console
from api.cli.invoke import call, show_call
from api.cli.progress import settled
from api.cli.toolchains import BuildFailed, build, module_of
from api.client import Client, ClientError
from specs.document import validate_file
from specs.model import WasmPlugin
from specs.watch import Watcher

RELOAD_SECONDS: Final = 30.0
QUIET: Final = 0.05
"""Seconds after a change until the source is read: editors write in several steps."""

Object = Mapping[str, Any]


@command("dev", "wasm-reconciler dev hello/hello.wat --once")
@click.argument("source", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.option("--path", default="/", show_default=True, help="The path of the request that is sent after each build.")
@click.option("--once", is_flag=True, help="Build, load, ask once, and end.")
@asks_daemon
def dev(client: Client, source: Path, path: str, once: bool) -> None:
    """Build a source whenever it is saved, load it into the daemon, send a request, and show the answer.

    The plugin is the one that plugin.yaml beside the source describes; the daemon is told of it if it does not have it.
    CLANG, GO, RUSTC and ASC in the environment name other compilers. End it with Ctrl-C.
    """
    work = _Work(client, source, path)
    seen = source.read_bytes()
    good = work.turn()
    if once:
        sys.exit(0 if good else 1)
    changed = threading.Event()
    with Watcher(lambda _path, _files: changed.set()) as watcher:
        watcher.watch(source.parent)
        console().print(f"[dim]watching {escape(str(source))}; save it to see the change, Ctrl-C to end[/]")
        changed.set()  # it may have been saved since it was built
        while True:
            changed.wait()
            time.sleep(QUIET)
            changed.clear()
            now = source.read_bytes() if source.exists() else seen
            if now != seen:
                seen = now
                work.turn()


class _Work:
    """One plugin in the making."""

    def __init__(self, client: Client, source: Path, path: str) -> None:
        self._client = client
        self._source = source
        self._path = path
        self._plugin = _plugin_beside(source, client)

    def turn(self) -> bool:
        """Build, load, ask. Whether all of it went well; problems are shown."""
        out, began = console(), time.monotonic()
        module = module_of(self._source)
        before = module.read_bytes() if module != self._source and module.exists() else b""
        revision = self._revision()
        try:
            build(self._source)
        except BuildFailed as error:
            out.print("[red]not built[/]")
            out.out(str(error), highlight=False)
            return False
        built = time.monotonic() - began
        same = module != self._source and module.read_bytes() == before
        try:
            plugin = self._loaded(None if same else revision)
        except ClientError as error:
            out.print(f"[red]{escape(str(error))}[/]")
            return False
        took = time.monotonic() - began - built
        advice = explain(plugin)
        out.print(
            f"[green]built[/] in {built:.2f} s, [{'green' if advice.ready else 'red'}]"
            f"{'loaded' if advice.ready else 'not loaded'}[/] in {took * 1000:.0f} ms"
        )
        if not advice.ready:
            out.print(escape(advice.paragraph), soft_wrap=True)
            out.print(f"[bold]Next:[/] {escape(advice.next)}", soft_wrap=True)
            return False
        headers = [("x-request-id", f"dev-{os.urandom(8).hex()}")]
        called = call(self._client, self._plugin.route, self._path, "GET", headers, b"")
        show_call(called)
        return called.answer.status < 400

    def _revision(self) -> str:
        """The revision that is wanted now; the daemon is told of the plugin if it does not have it."""
        live = self._client.find(self._plugin.name)
        if live is None:
            return ""
        return str(((live.get("status") or {}).get("revision") or {}).get("desired", ""))

    def _loaded(self, before: str | None) -> Object:
        """The plugin once it is ready or failed, with another revision than `before`. Raises ClientError."""
        live = self._client.find(self._plugin.name)
        if live is None:
            live = self._client.ask("POST", self._client.plugins_path(), self._plugin.to_dict())
        generation = live["metadata"]["generation"]
        deadline = time.monotonic() + RELOAD_SECONDS
        # A source that is its own module may have been loaded before we looked: then its revision does not change.
        patience = time.monotonic() + 2.0
        while time.monotonic() < deadline:
            live = self._client.plugin(self._plugin.name)
            desired = ((live.get("status") or {}).get("revision") or {}).get("desired", "")
            fresh = before is None or desired != before or time.monotonic() > patience
            if fresh and settled(live, generation) is not None:
                return dict(live)
            time.sleep(0.02)
        raise ClientError(f"{self._plugin.name} is not loaded after {RELOAD_SECONDS:.0f} s")


def _plugin_beside(source: Path, client: Client) -> WasmPlugin:
    """The plugin of plugin.yaml, with the module's path as the daemon sees it. Raises Failed."""
    file = source.parent / "plugin.yaml"
    documents, problems = validate_file(file)
    if problems:
        raise Failed("\n".join(str(problem) for problem in problems))
    root = Path(client.get("/node")["moduleRoot"])
    module = module_of(source).absolute()
    if not module.is_relative_to(root):
        raise Failed(
            f"the daemon reads modules below {root} only, and {module} is not there;"
            f" start it with: wasm-reconciler serve --specs specs --module-root {Path.cwd()}"
        )
    path = module.relative_to(root).as_posix()
    for document in documents:
        spec = document.plugin.spec
        if spec.module.path is not None and Path(spec.module.path).name == module.name:
            moved = spec.module.model_copy(update={"path": path})
            return document.plugin.model_copy(update={"spec": spec.model_copy(update={"module": moved})})
    raise Failed(f"{file} describes no plugin whose module is {module.name}")
