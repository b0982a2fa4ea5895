"""The module fetcher of the daemon: a url or an image to bytes, within one deadline, given up at once when stopping.

Does not belong here: digests (the module cache checks them), keeping (reconciler.host.content).
"""

import threading
import time
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from reconciler.core.images import ImageRef
from reconciler.core.revision import ModuleSource
from reconciler.core.states import Reason
from reconciler.host.fetch.registry import Registry
from reconciler.host.fetch.web import Web, explain, refused
from reconciler.wasm.kind import ModuleRefused

FETCH_SECONDS: Final = 60.0
"""Longest fetch of one module: redirects, retries and a slow server together."""

MAX_SIGNATURE_BYTES: Final = 8192
"""A `.minisig` file has a few hundred."""

_T = TypeVar("_T")


class RemoteModules:
    """A ModuleFetcher for urls and images. Safe to use from several threads.

    A fetch runs on a thread of its own, which `close` leaves behind: a name server or a slow server must not hold up
    the end of the process. `stopping` is the event that ends the waits between tries.
    """

    def __init__(self, web: Web, registry: Registry, stopping: threading.Event, seconds: float = FETCH_SECONDS) -> None:
        self._web = web
        self._registry = registry
        self._stopping = stopping
        self._seconds = seconds
        self._lock = threading.Lock()
        self._waiting: set[SimpleQueue[Any]] = set()

    def fetch(self, source: ModuleSource) -> bytes:
        """The module's bytes, at most MAX_MODULE_BYTES. Raises ModuleRefused."""
        return self._wait_for(lambda: self._module(source))

    def signature(self, source: ModuleSource) -> bytes | None:
        """The text of the module's `.minisig` file: at the url plus `.minisig`, or in an annotation of the image.

        None where there is none. Raises ModuleRefused where it cannot be told.
        """
        return self._wait_for(lambda: self._minisig(source))

    def close(self) -> None:
        """Refuse all that is under way and all that comes. Idempotent."""
        self._stopping.set()
        with self._lock:
            for answers in self._waiting:
                answers.put(refused(Reason.FETCH_FAILED, "the host is stopping"))

    def _module(self, source: ModuleSource) -> bytes:
        deadline = time.monotonic() + self._seconds
        if source.url is None:
            return self._registry.module(_image(source), deadline)
        answer = self._web.get(source.url, deadline)
        if answer.status != 200:
            raise explain(source.url, answer)
        return answer.body

    def _minisig(self, source: ModuleSource) -> bytes | None:
        deadline = time.monotonic() + self._seconds
        if source.url is None:
            return self._registry.signature(_image(source), deadline)
        path, mark, query = source.url.partition("?")
        url = f"{path}.minisig{mark}{query}"
        answer = self._web.get(url, deadline, max_body=MAX_SIGNATURE_BYTES)
        if answer.status in (404, 410):
            return None
        if answer.status != 200:
            raise explain(url, answer)
        return answer.body

    def _wait_for(self, work: Callable[[], _T]) -> _T:
        answers: SimpleQueue[_T | ModuleRefused] = SimpleQueue()

        def run() -> None:
            result: _T | ModuleRefused = refused(Reason.INTERNAL, "the fetch broke off; the log says why")
            try:
                result = work()
            except ModuleRefused as error:
                result = error
            finally:
                answers.put(result)

        with self._lock:
            if self._stopping.is_set():
                raise refused(Reason.FETCH_FAILED, "the host is stopping")
            self._waiting.add(answers)
        threading.Thread(target=run, name="fetch", daemon=True).start()
        answer = answers.get()
        with self._lock:
            self._waiting.discard(answers)
        if isinstance(answer, ModuleRefused):
            raise answer
        return answer


def _image(source: ModuleSource) -> ImageRef:
    try:
        return ImageRef.parse(source.image or "")
    except ValueError as error:
        raise refused(Reason.FETCH_FAILED, str(error)) from None
