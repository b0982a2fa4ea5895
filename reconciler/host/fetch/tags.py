"""What a tag of an image names now. Asked in the background: whoever wants to know never waits for a registry.

A tag moves, so its digest is asked for again after a while; when it changed, those who asked are told. A registry that
does not answer changes nothing: the last known digest stays.
"""

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from reconciler.core.images import ImageRef
from reconciler.core.observed import Failure
from reconciler.core.states import Reason
from reconciler.host.fetch.web import refused
from reconciler.wasm.kind import ModuleRefused

TAG_SECONDS: Final = 300.0
"""How long a tag's digest is taken for current."""

RETRY_SECONDS: Final = 10.0
"""How soon a failed lookup is made again."""

LOOKUP_SECONDS: Final = 30.0


class DigestSource(Protocol):
    """Asks a registry."""

    def digest(self, image: ImageRef, deadline: float) -> str:
        """The digest of the manifest that a reference names now. Raises ModuleRefused."""


@dataclass(slots=True)
class _Tag:
    digest: str | None = None
    failure: Failure | None = None
    due: float = 0.0
    asking: bool = False
    waiting: set[str] = field(default_factory=set)


class ImageTags:
    """Digests of tags. Safe to use from several threads. `changed(plugins)` is called from a thread of its own."""

    def __init__(
        self,
        registry: DigestSource,
        changed: Callable[[Iterable[str]], None],
        *,
        seconds: float = TAG_SECONDS,
        at_once: int = 4,
    ) -> None:
        self._registry = registry
        self._changed = changed
        self._seconds = seconds
        self._lock = threading.Lock()
        self._free = threading.BoundedSemaphore(at_once)
        self._tags: dict[ImageRef, _Tag] = {}

    def known(self, image: ImageRef, plugin: str) -> str | None:
        """The digest as far as it is known; begins a lookup where that is due, and `plugin` is told of a change."""
        with self._lock:
            tag = self._tags.setdefault(image, _Tag())
            tag.waiting.add(plugin)
            if tag.asking or time.monotonic() < tag.due:
                return tag.digest
            tag.asking = True
        threading.Thread(target=self._look, args=(image, tag), name="tags", daemon=True).start()
        return tag.digest

    def digest(self, image: ImageRef, plugin: str) -> str:
        """The digest. Raises ModuleRefused while it is not known: reason Loading, or why the lookup failed."""
        digest = self.known(image, plugin)
        if digest is not None:
            return digest
        with self._lock:
            failure = self._tags[image].failure
        if failure is not None:
            raise ModuleRefused(failure)
        raise refused(Reason.LOADING, f"the registry is asked what {image} names")

    def _look(self, image: ImageRef, tag: _Tag) -> None:
        digest, failure = tag.digest, None
        with self._free:
            try:
                digest = self._registry.digest(image, time.monotonic() + LOOKUP_SECONDS)
            except ModuleRefused as error:
                failure = error.failure
        with self._lock:
            told = tuple(tag.waiting) if (digest, failure) != (tag.digest, tag.failure) else ()
            tag.digest, tag.failure, tag.asking = digest, failure, False
            tag.due = time.monotonic() + (self._seconds if failure is None else RETRY_SECONDS)
            tag.waiting.clear()
        if told:
            self._changed(told)
