"""Is everything as it should be? `doctor`."""

import os
import platform
import resource
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from rich.markup import escape

from api.cli.frame import asks_daemon, command, console, output_option
from api.cli.invoke import data_plane
from api.cli.output import print_data
from api.client import Client, ClientError
from api.node import max_maps
from api.ports import condition
from api.version import version

MAPS: Final = 65530
"""Memory maps that a process may have by default: about 31,000 instances."""
FILES: Final = 4096
"""Open files below which clients may be turned away."""


class Verdict(StrEnum):
    """How a check ended."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, what was seen, and what to do about it."""

    verdict: Verdict
    about: str
    text: str
    advice: str = ""


_MARKS: Final = {Verdict.GOOD: "[green]✓[/]", Verdict.WARNING: "[yellow]![/]", Verdict.BAD: "[red]✗[/]"}


@command("doctor", "wasm-reconciler doctor")
@output_option("json", "yaml")
@asks_daemon
def doctor(client: Client, output: str) -> None:
    """Check this machine and the daemon: versions, limits, ports, file events, permissions, sources, plugins.

    Exits with 1 where something is wrong.
    """
    findings = [*machine(), *daemon(client)]
    if output == "table":
        out = console()
        for finding in findings:
            advice = f" [bold]{escape(finding.advice)}[/]" if finding.advice else ""
            line = f"{_MARKS[finding.verdict]} {finding.about}: {escape(finding.text)}{advice}"
            out.print(line, soft_wrap=True)
    else:
        print_data(
            [{"verdict": str(f.verdict), "about": f.about, "text": f.text, "advice": f.advice} for f in findings],
            output,
        )
    sys.exit(1 if any(finding.verdict is Verdict.BAD for finding in findings) else 0)


def machine() -> Iterator[Finding]:
    """What can be seen without a daemon."""
    yield Finding(Verdict.GOOD, "versions", f"wasm-reconciler {version()}, Python {platform.python_version()}")
    maps = max_maps()
    if maps is not None and maps < MAPS:
        advice = "raise it: sysctl vm.max_map_count=262144"
        yield Finding(Verdict.WARNING, "memory maps", f"at most {maps}, so about {maps // 2} instances;", advice)
    elif maps is not None:
        yield Finding(Verdict.GOOD, "memory maps", f"at most {maps}, so about {maps // 2} instances")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES:
        advice = f"start the daemon under: ulimit -n {min(hard, 65536) if hard > 0 else 65536}"
        yield Finding(Verdict.WARNING, "open files", f"at most {soft};", advice)
    else:
        yield Finding(Verdict.GOOD, "open files", f"at most {soft}")
    yield Finding(Verdict.GOOD, "processors", f"{os.cpu_count()}")


def daemon(client: Client) -> Iterator[Finding]:
    """What a running daemon says of itself."""
    try:
        node = client.get("/node")
    except ClientError as error:
        yield Finding(Verdict.BAD, "admin port", str(error))
        return
    yield Finding(Verdict.GOOD, "admin port", f"{client.server} answers, process {node['pid']}")
    if node["version"] != version():
        advice = "restart it, or use the command that belongs to it"
        yield Finding(Verdict.WARNING, "daemon", f"version {node['version']}, this command is {version()};", advice)
    yield from _data_plane(client)
    yield from _files(node)
    yield from _sources(client.get("/sources")["items"])
    yield from _plugins(client.plugins()["items"])


def _data_plane(client: Client) -> Iterator[Finding]:
    address = data_plane(client).address
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        advice = "look at what lies between, or at the daemon's log"
        yield Finding(Verdict.BAD, "data plane", f"{address} does not take connections: {error};", advice)
    else:
        yield Finding(Verdict.GOOD, "data plane", f"{address} takes connections")


def _files(node: Any) -> Iterator[Finding]:
    if node["fileEvents"]:
        advice = "raise it: sysctl fs.inotify.max_user_watches=524288"
        yield Finding(Verdict.WARNING, "file events", f"files are polled: {node['fileEvents']};", advice)
    else:
        yield Finding(Verdict.GOOD, "file events", "the system tells of changes")
    state = Path(node["state"])
    if state.exists() and not os.access(state, os.W_OK):
        text = f"{state} cannot be written by this user"
        yield Finding(Verdict.WARNING, "state directory", text)
    else:
        yield Finding(Verdict.GOOD, "state directory", str(state))


def _sources(sources: Iterable[Any]) -> Iterator[Finding]:
    for source in sources:
        if source["error"]:
            advice = "what it said before stays in force; make it readable"
            yield Finding(Verdict.BAD, "source", f"{source['path']}: {source['error']};", advice)
        for file in source["files"]:
            for problem in file["problems"]:
                place = f"{problem['file']}:{problem['line']}:{problem['column']}"
                yield Finding(Verdict.BAD, "source", f"{place}: {problem['message']}", "")
        if not source["error"] and not any(file["problems"] for file in source["files"]):
            writable = "" if source["writable"] else ", read-only"
            yield Finding(Verdict.GOOD, "source", f"{source['path']}, {len(source['files'])} files{writable}")


def _plugins(plugins: Iterable[Any]) -> Iterator[Finding]:
    ready = 0
    for plugin in plugins:
        state = condition(plugin.get("status"), "Ready")
        if state is not None and state["status"] == "True":
            ready += 1
        else:
            name = plugin["metadata"]["name"]
            text = f"{name} is not ready: {state['reason'] if state else 'it is new'};"
            yield Finding(Verdict.BAD, "plugin", text, f"wasm-reconciler explain {name}")
    if ready:
        yield Finding(Verdict.GOOD, "plugins", f"{ready} ready")
