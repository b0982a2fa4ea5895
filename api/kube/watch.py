"""Watches: changes as a stream of JSON lines, over a connection that stays open.

A watch holds a thread of the admin port, so there is a bounded number of places; one that finds none is answered 429,
which clients take as "try again". A watcher reads from the cache's memory of changes at its own pace: it can hold up
nobody, and one that falls so far behind that the memory has moved on is ended with 410, after which clients list anew.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.kube.cache import Change, Item, TooNew, TooOld, WatchCache
from api.kube.errors import KubeError
from api.kube.requests import Form, ListOptions
from api.kube.resources import Resource
from api.kube.table import Columns, partial, table
from api.streaming import Places

DEFAULT_TIMEOUT: Final = 1800.0
"""Seconds that a watch lasts which does not say how long."""
BOOKMARK_EVERY: Final = 60.0
"""Seconds between bookmarks of a watch in which nothing happens."""
LOOK_UP: Final = 1.0
"""Seconds after which a waiting watch sees whether its client is still there."""
GATHER: Final = 0.01
"""Seconds for which further changes are gathered after some were sent."""


class WatchPlaces:
    """The places for watches."""

    def __init__(self, number: int) -> None:
        self._places = Places(number)

    def take(self) -> None:
        """Take a place. Raises KubeError 429 where none is free."""
        if not self._places.take():
            message = f"there are {self._places.number} watches already; end some, or try again"
            raise KubeError(429, message, details={"retryAfterSeconds": 1}, headers={"Retry-After": "1"})

    def leave(self) -> None:
        """Give it back."""
        self._places.leave()


@dataclass(frozen=True, slots=True)
class WatchRequest:
    """One watch: of what, from where, in which form. `include` is for tables; `gone` tells a client that left."""

    resource: Resource
    columns: Columns
    form: Form
    include: str
    options: ListOptions
    gone: Callable[[], bool]


class WatchStream:
    """The body of a watch's answer: an iterable of chunks that the server closes."""

    def __init__(self, request: WatchRequest, cache: WatchCache, places: WatchPlaces) -> None:
        """Takes a place, until `close`. Raises KubeError 429."""
        self._request = request
        self._cache = cache
        self._places = places
        self._encoder = _Encoder(request)
        self._open = True
        self._version = request.options.version
        places.take()

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._initial()
            yield from self._changes()
        except TooOld:
            yield self._encoder.error(
                KubeError(410, f"too old resource version: {self._version} ({self._cache.floor})", reason="Expired")
            )
        except TooNew:
            yield self._encoder.error(too_new(self._version))

    def close(self) -> None:
        """Give the place back. Idempotent."""
        if self._open:
            self._open = False
            self._places.leave()

    def _initial(self) -> Iterator[bytes]:
        options = self._request.options
        if options.version and not options.initial_events:
            return
        view = self._cache.view()
        if options.version > view.version:
            self._cache.since(options.version)
        selected = [item for item in view.items if options.selection.matches(item.data)]
        if selected:
            yield b"".join(self._encoder.event("ADDED", item, item.version) for item in selected)
        self._version = view.version
        if options.initial_events and options.bookmarks:
            yield self._encoder.bookmark(view.version, initial_end=True)

    def _changes(self) -> Iterator[bytes]:
        options = self._request.options
        now = time.monotonic()
        deadline = now + (DEFAULT_TIMEOUT if options.timeout is None else options.timeout)
        bookmark_at = now + BOOKMARK_EVERY
        while True:
            pokes = self._cache.pokes
            changes, self._version = self._cache.since(self._version)
            chunk = b"".join(self._encode(changes))
            now = time.monotonic()
            if chunk:
                yield chunk
                now = time.monotonic()
                bookmark_at = now + BOOKMARK_EVERY
            if now >= deadline or self._cache.closed or self._request.gone():
                break
            if options.bookmarks and now >= bookmark_at:
                bookmark_at = now + BOOKMARK_EVERY
                yield self._encoder.bookmark(self._version)
            if chunk:
                time.sleep(GATHER)
            self._cache.wait(pokes, min(LOOK_UP, max(0.0, deadline - now)))
        if options.bookmarks and not self._request.gone():
            yield self._encoder.bookmark(self._version)

    def _encode(self, changes: Iterable[Change]) -> Iterator[bytes]:
        matches = self._request.options.selection.matches
        for change in changes:
            before = change.before if change.before is not None and matches(change.before.data) else None
            after = change.after if change.after is not None and matches(change.after.data) else None
            if after is not None:
                yield self._encoder.event("MODIFIED" if before else "ADDED", after, change.version)
            elif before is not None:
                yield self._encoder.event("DELETED", change.after or before, change.version)


class _Encoder:
    """Events in the form that the client wants."""

    def __init__(self, request: WatchRequest) -> None:
        self._request = request
        self._head = True

    def event(self, kind: str, item: Item, version: int) -> bytes:
        """One event. `version` differs from the item's where the object is gone."""
        if self._request.form is Form.OBJECT and item.version == version:
            return b'{"type":"%s","object":%s}\n' % (kind.encode(), item.json)
        data = item.data
        if item.version != version:
            data = {**data, "metadata": {**data["metadata"], "resourceVersion": str(version)}}
        return _line(kind, self._form(data, str(version)))

    def bookmark(self, version: int, *, initial_end: bool = False) -> bytes:
        """A bookmark: nothing happened up to that version that was not told."""
        resource = self._request.resource
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if initial_end:
            metadata["annotations"] = {"k8s.io/initial-events-end": "true"}
        data = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": metadata}
        if self._request.form is Form.TABLE:
            row = {"cells": [], "object": partial(data)}
            body = table(self._request.columns, (), "None", 0.0, metadata, head=self._first())
            return _line("BOOKMARK", body | {"rows": [row]})
        return _line("BOOKMARK", partial(data) if self._request.form is Form.METADATA else data)

    def error(self, error: KubeError) -> bytes:
        """What ends the watch."""
        return _line("ERROR", error.answer())

    def _form(self, data: Mapping[str, Any], version: str) -> Mapping[str, Any]:
        request = self._request
        if request.form is Form.TABLE:
            metadata = {"resourceVersion": version}
            return table(request.columns, (data,), request.include, time.time(), metadata, head=self._first())
        return partial(data) if request.form is Form.METADATA else data

    def _first(self) -> bool:
        first, self._head = self._head, False
        return first


def _line(kind: str, data: Mapping[str, Any]) -> bytes:
    return json.dumps({"type": kind, "object": data}, separators=(",", ":")).encode() + b"\n"


def too_new(version: int) -> KubeError:
    """504: that version has not been given out yet, by this server."""
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    return KubeError(
        504,
        f"Too large resource version: {version}",
        reason="Timeout",
        details={"causes": causes, "retryAfterSeconds": 1},
    )
