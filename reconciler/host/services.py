"""What the host offers to the guests of one plugin: its log, the stores it may read, calls of other plugins."""

import logging
import time
from collections.abc import Callable, Mapping
from typing import Final

from reconciler.core.revision import InstanceSpec
from reconciler.host.loglimit import LogBudget
from reconciler.wasm.kind import CallContext, KeyValueStore, Request, Response
from specs.layotto import ANY_STORE

LEVELS: Final[tuple[int, ...]] = (
    logging.DEBUG,  # trace
    logging.DEBUG,
    logging.INFO,
    logging.WARNING,
    logging.ERROR,
    logging.CRITICAL,
)
"""proxy-wasm's log levels, as logging's."""

Invoke = Callable[[Request, CallContext], Response]
"""A call of another plugin; raises GuestFailed."""

GUEST_LOGGER: Final = "guest"
"""The logger that carries what guests say; records have `plugin` and `request_id`."""


class PluginServices:
    """GuestServices for one InstanceSpec; a store that its capabilities do not name is not there."""

    def __init__(self, spec: InstanceSpec, find_store: Callable[[str], KeyValueStore | None], invoke: Invoke) -> None:
        self._plugin = spec.plugin
        self._stores: Mapping[str, None] = dict.fromkeys(spec.stores)
        self._find_store = find_store
        self._log = logging.getLogger(GUEST_LOGGER)
        self._budget = LogBudget(time.monotonic)
        self.invoke = invoke

    def log(self, level: int, message: str, request_id: str = "") -> None:
        """Write a guest's line to the plugin's log; of a flood, a part, and how many lines are missing."""
        severity = LEVELS[level] if 0 <= level < len(LEVELS) else logging.INFO
        if not self._log.isEnabledFor(severity) or not self._budget.spend(len(message)):
            return
        about = {"plugin": self._plugin, "request_id": request_id}
        if dropped := self._budget.take_dropped():
            self._log.warning("%d lines were not written: the plugin logs too much", dropped, extra=about)
        self._log.log(severity, "%s", message, extra=about)

    def log_level(self) -> int:
        """The least level that reaches the log."""
        heard = (level for level, severity in enumerate(LEVELS) if self._log.isEnabledFor(severity))
        return next(heard, len(LEVELS) - 1)

    def store(self, name: str) -> KeyValueStore | None:
        """A state store that the plugin may read."""
        return self._find_store(name) if name in self._stores or ANY_STORE in self._stores else None
