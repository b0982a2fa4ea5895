"""What a worker says by itself: what changed about plugins at once, and from time to time what only counts.

The thread `outbox` says it, as those who notice a change must not block.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Final, Protocol

from reconciler.core.observed import ObservedPlugin
from reconciler.workers.messages import Queued, Seen, Told
from reconciler.workers.wire import Ended, Line

EVERY: Final = 0.25
"""Seconds between two looks at what counts."""


class Observed(Protocol):
    """The pools."""

    def observe(self, plugin: str) -> ObservedPlugin:
        """What there is of a plugin."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a look gives: the plugins that were called since the last one, who waits, and what else is told."""

    called: frozenset[str] = frozenset()
    waiting: tuple[tuple[str, int], ...] = ()
    contents: tuple[object, ...] = ()


class Outbox:
    """Says what changed. `sample()` looks; it is called on the thread."""

    def __init__(self, line: Line, pools: Observed, sample: Callable[[], Sample]) -> None:
        self._line = line
        self._pools = pools
        self._sample = sample
        self._applied = 0
        self._saying = threading.Lock()
        self._news = threading.Condition()
        self._changed: dict[str, None] = {}
        self._contents: list[object] = []
        self._waiting: tuple[tuple[str, int], ...] = ()
        self._called: frozenset[str] = frozenset()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def changed(self, plugin: str) -> None:
        """A pass over the plugin may be wanted. Never blocks."""
        with self._news:
            self._changed[plugin] = None
            self._news.notify()

    def tell(self, content: object) -> None:
        """Say something that is passed on as it is. Never blocks."""
        with self._news:
            self._contents.append(content)
            self._news.notify()

    def applied(self, number: int, plugins: Iterable[str]) -> None:
        """All up to that number is done, and was about these plugins. Raises Ended."""
        with self._saying:
            self._applied = number
            self._say(plugins, ())

    def close(self) -> None:
        """Say what is left and end. Idempotent."""
        with self._news:
            self._closed = True
            self._news.notify()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            with suppress(Ended):
                self._speak()
        finally:
            if not self._closed:  # a worker that can say nothing is no use: it is replaced
                self._line.end()

    def _speak(self) -> None:
        due = monotonic() + EVERY
        while not self._closed:
            with self._news:
                wait = max(0.0, due - monotonic())
                self._news.wait_for(lambda: self._changed or self._contents or self._closed, wait)
                changed, self._changed = tuple(self._changed), {}
                contents, self._contents = self._contents, []
            if changed:
                with self._saying:
                    self._say(changed, changed)
            for content in contents:
                self._line.send(Told(content))
            if self._closed or monotonic() >= due:
                self._look()
                due = monotonic() + EVERY

    def _look(self) -> None:
        sample = self._sample()
        plugins = sample.called | self._called  # one that has just ended is looked at once more
        self._called = sample.called
        if plugins:
            with self._saying:
                self._say(plugins, ())
        if sample.waiting != self._waiting:
            self._waiting = sample.waiting
            self._line.send(Queued(sample.waiting))
        for content in sample.contents:
            self._line.send(Told(content))

    def _say(self, plugins: Iterable[str], changed: Sequence[str]) -> None:
        """With `_saying` held: what is said later was seen later."""
        seen = tuple(self._pools.observe(plugin) for plugin in plugins)
        self._line.send(Seen(self._applied, seen, tuple(changed)))
