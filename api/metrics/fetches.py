"""Counts what a fetcher brings, around it."""

import threading
from collections import Counter

from reconciler.core.revision import ModuleSource
from reconciler.host.supply import ModuleFetcher
from reconciler.wasm.kind import ModuleRefused


class FetchMeter:
    """How fetches of modules went: `success`, or the reason why one failed. For any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._results: Counter[str] = Counter()

    def count(self, result: str) -> None:
        """One more."""
        with self._lock:
            self._results[result] += 1

    def results(self) -> dict[str, int]:
        """All of them."""
        with self._lock:
            return dict(self._results)


class CountedFetcher:
    """A ModuleFetcher that counts what another one does."""

    def __init__(self, fetcher: ModuleFetcher, meter: FetchMeter) -> None:
        self._fetcher = fetcher
        self._meter = meter

    def fetch(self, source: ModuleSource) -> bytes:
        """The module's bytes. Raises ModuleRefused."""
        try:
            data = self._fetcher.fetch(source)
        except ModuleRefused as refused:
            self._meter.count(str(refused.failure.reason))
            raise
        self._meter.count("success")
        return data

    def signature(self, source: ModuleSource) -> bytes | None:
        """The text of its `.minisig` file; not counted. Raises ModuleRefused."""
        return self._fetcher.signature(source)
