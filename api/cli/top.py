"""What happens now, at a glance: `top`."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

import click
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from api.cli.frame import asks_daemon, command, console
from api.cli.numbers import Counters, Rates, Scrape, rates, read
from api.client import Client
from api.ports import condition

Object = Mapping[str, Any]


@command("top", "wasm-reconciler top -n 1")
@click.option("-n", "--times", type=click.IntRange(min=1), help="End after that many looks. Default: go on.")
@click.option("--every", type=click.FloatRange(min=0.2), default=1.0, show_default=True, help="Seconds between looks.")
@asks_daemon
def top(client: Client, times: int | None, every: float) -> None:
    """Show requests, latency, instances and queues of every plugin, live. End it with Ctrl-C."""
    out, screens = console(), _screens(client, times, every)
    if not out.is_terminal:
        out = Console(highlight=False, width=160)
        for screen in screens:
            out.print(screen)
        return
    with Live(console=out, auto_refresh=False) as live:
        for screen in screens:
            live.update(screen, refresh=True)


def _screens(client: Client, times: int | None, every: float) -> Iterator[Group]:
    before = _scrape(client)
    while times is None or times > 0:
        time.sleep(every)
        after = _scrape(client)
        yield _screen(client, before, after)
        before, times = after, None if times is None else times - 1


def _scrape(client: Client) -> Scrape:
    return read(client.text("/metrics"), time.monotonic())


def _screen(client: Client, before: Scrape, after: Scrape) -> Group:
    plugins = client.plugins()["items"]
    found = [rates(before, after, name) for name in after.plugins]
    head = Text.assemble(
        (f"{sum(rate.requests for rate in found):,.0f} requests/s", "bold"),
        f"  {sum(rate.failed for rate in found):,.0f} failed/s  {after.connections:.0f} connections"
        f"  {sum(after.queued.values()):.0f} waiting  {after.memory / 2**20:.0f} MiB resident",
    )
    grid = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in ("NAME", "STATE"):
        grid.add_column(column, no_wrap=True)
    for column in ("REQ/S", "FAILED/S", "P50", "P99", "READY", "BUSY", "WAITING", "REPLACED", "MEMORY LIMIT"):
        grid.add_column(column, justify="right", no_wrap=True)
    for plugin in plugins:
        name = plugin["metadata"]["name"]
        counters = after.plugins.get(name, Counters())
        grid.add_row(*_row(plugin, counters, rates(before, after, name), after.queued))
    return Group(head, grid)


def _row(plugin: Object, counters: Counters, rate: Rates, queued: Mapping[str, float]) -> list[str]:
    status, name = plugin.get("status") or {}, plugin["metadata"]["name"]
    ready = condition(status, "Ready")
    good = ready is not None and ready["status"] == "True"
    memory = (status.get("enforced") or {}).get("memory", 0)
    route = plugin["spec"].get("route") or name
    return [
        escape(name),
        "[green]Ready[/]" if good else f"[red]{escape(ready['reason'])}[/]" if ready else "[yellow]New[/]",
        f"{rate.requests:,.0f}",
        f"[red]{rate.failed:,.0f}[/]" if rate.failed else "0",
        _milliseconds(rate.p50),
        _milliseconds(rate.p99),
        f"{counters.ready:.0f}/{counters.desired:.0f}",
        f"{counters.busy:.0f}",
        f"{queued.get(route, 0):.0f}",
        f"{counters.restarts:.0f}",
        f"{memory / 2**20:.0f} MiB" if memory else "-",
    ]


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.2f} ms"
