"""Waiting for plugins to be what was asked for, with a line for each that changes as it comes nearer."""

import time
from collections.abc import Mapping
from typing import Any, Final

from rich.live import Live
from rich.markup import escape
from rich.table import Table

from api.advice import explain
from api.cli.frame import Failed, console
from api.client import Client, ClientError
from api.ports import condition

Object = Mapping[str, Any]
LONGEST_WATCH: Final = 30
"""Seconds of one watch; then a new one is opened."""


class Progress:
    """What is known of the plugins that are waited for. `generations`: at least these are to be Ready."""

    def __init__(self, generations: Mapping[str, int]) -> None:
        self._generations = dict(generations)
        self._seen: dict[str, Object] = {}
        self._done: dict[str, bool] = {}
        self._began = time.monotonic()
        self._took: dict[str, float] = {}

    def look(self, plugin: Object) -> None:
        """Take in a plugin as it is now."""
        name = plugin["metadata"]["name"]
        if name not in self._generations or name in self._done:
            return
        self._seen[name] = plugin
        verdict = settled(plugin, self._generations[name])
        if verdict is not None:
            self._done[name] = verdict
            self._took[name] = time.monotonic() - self._began

    @property
    def over(self) -> bool:
        """Whether each is Ready, or failed."""
        return len(self._done) == len(self._generations)

    @property
    def failed(self) -> list[Object]:
        """Those that failed."""
        return [self._seen[name] for name, good in self._done.items() if not good]

    @property
    def waiting(self) -> list[str]:
        """The names that are neither Ready nor failed."""
        return [name for name in self._generations if name not in self._done]

    def table(self) -> Table:
        """All of them, as they stand."""
        grid = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        for name in self._generations:
            grid.add_row(*self._row(name))
        return grid

    def _row(self, name: str) -> tuple[str, str, str, str]:
        plugin = self._seen.get(name)
        status = (plugin or {}).get("status") or {}
        instances, ready = status.get("instances") or {}, condition(status, "Ready")
        count = f"{instances.get('ready', 0)}/{instances.get('desired', '?')} ready"
        if name in self._done:
            mark = "[green]✓[/]" if self._done[name] else "[red]✗[/]"
            text = f"in {self._took[name]:.2f} s" if self._done[name] else ready["message"] if ready else ""
        else:
            mark, text = "[yellow]…[/]", ready["message"] if ready else "not looked at yet"
        return mark, escape(name), count, f"[dim]{escape(text)}[/]"


def settled(plugin: Object, generation: int) -> bool | None:
    """True: it is Ready in that generation or a later one; False: it failed; None: it is under way."""
    status = plugin.get("status") or {}
    if status.get("observedGeneration", 0) < generation:
        return None
    ready, progressing = condition(status, "Ready"), condition(status, "Progressing")
    if ready is None:
        return None
    if ready["status"] == "True":
        return True
    return False if progressing is not None and progressing["status"] == "False" else None


def wait_for(client: Client, generations: Mapping[str, int], timeout: float) -> None:
    """Return when all are Ready. Raises Failed with what is wrong with those that are not."""
    progress, deadline = Progress(generations), time.monotonic() + timeout
    out = console()
    if out.is_terminal:
        with Live(progress.table(), console=out, auto_refresh=False) as live:
            _follow(client, progress, deadline, lambda: live.update(progress.table(), refresh=True))
    else:
        _follow(client, progress, deadline, lambda: None)
        out.print(progress.table(), soft_wrap=True)
    problems = []
    for plugin in progress.failed:
        advice = explain(plugin)
        problems.append(f"{advice.paragraph}\n  Next: {advice.next}" if advice.next else advice.paragraph)
    problems += [
        f"{name} is not Ready after {timeout:g} s; wasm-reconciler explain {name} says why" for name in progress.waiting
    ]
    if problems:
        raise Failed("\n".join(problems))


def _follow(client: Client, progress: Progress, deadline: float, show: Any) -> None:
    """Look at all, then at each that changes, until it is over or the time is up."""
    while not progress.over:
        left = min(deadline - time.monotonic(), LONGEST_WATCH)
        if left <= 0:
            return
        listed = client.plugins()
        for item in listed["items"]:
            progress.look(item)
        show()
        if progress.over:
            return
        version = listed["metadata"]["resourceVersion"]
        path = f"{client.plugins_path()}?watch=true&resourceVersion={version}&timeoutSeconds={max(1, int(left))}"
        try:
            with client.lines(path, left) as lines:
                for line in lines:
                    if line["type"] in ("ADDED", "MODIFIED"):
                        progress.look(line["object"])
                        show()
                    if progress.over or time.monotonic() > deadline:
                        break
        except ClientError:
            if time.monotonic() < deadline - 1:
                raise
