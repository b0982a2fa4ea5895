"""The desired state: all sources merged, one owner for each name.

Belongs here: merging, ownership, generations, resource versions, subscribers. Does not: when to look (sync.py), where
plugins are written (directory.py, config_file.py), changing them (writer.py).
"""

import hashlib
import os
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from specs.document import Document
from specs.errors import Problem
from specs.followed import FileState
from specs.identity import Identity, IdentityStore
from specs.model import WasmPlugin
from specs.source import CLUSTER, Listing, Source


@dataclass(frozen=True, slots=True)
class Owner:
    """Where a plugin is written: source, file in it, line (from 1) and the plugin's place in the file (from 0)."""

    source: str
    file: str
    line: int
    document: int = 0

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data, in the shape of `status.owner`."""
        return {"source": self.source, "file": self.file, "line": self.line}

    def __str__(self) -> str:
        return f"{self.source} {self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Desired:
    """One plugin as it should run.

    `generation` rises when the spec changes and survives a restart. `resource_version` is the store's version at the
    plugin's last change of any kind. `created` is in epoch seconds. `shadowed` are other documents that claim the
    name. `notices` are sentences on what is accepted without effect.
    """

    plugin: WasmPlugin
    generation: int
    resource_version: int
    uid: str
    created: float
    owner: Owner
    shadowed: tuple[Owner, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The plugin's identity."""
        return self.plugin.name


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All plugins at one moment, sorted by name. Iterates over them."""

    resource_version: int
    plugins: Mapping[str, Desired]

    def __iter__(self) -> Iterator[Desired]:
        return iter(self.plugins.values())

    def __len__(self) -> int:
        return len(self.plugins)


@dataclass(frozen=True, slots=True)
class FileStatus:
    """One file of a source. `documents` counts the plugins in force; `last_good`: some are of an older content."""

    path: str
    digest: str
    documents: int
    last_good: bool
    problems: tuple[Problem, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {
            "path": self.path,
            "digest": f"sha256:{self.digest}" if self.digest else "",
            "documents": self.documents,
            "lastGood": self.last_good,
            "problems": [
                {"message": p.message, "file": p.file, "line": p.line, "column": p.column, "field": p.field}
                for p in self.problems
            ],
        }


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source. `error` says why it could not be listed; what it said before is then in force."""

    id: str
    kind: str
    path: str
    writable: bool
    error: str
    files: tuple[FileStatus, ...]

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data."""
        return {
            "id": self.id,
            "kind": self.kind,
            "path": self.path,
            "writable": self.writable,
            "error": self.error,
            "files": [file.to_dict() for file in self.files],
        }


@dataclass(frozen=True, slots=True)
class _Claim:
    """A document that wants a name."""

    owner: Owner
    document: Document


Subscriber = Callable[[frozenset[str]], None]


class DesiredStore:
    """Holds the desired state. Reading takes no lock; `refresh` is for one thread at a time (it locks).

    `sources` in order of precedence: of two documents that are first seen together, the earlier source's owns the
    name. An owner keeps the name for as long as it claims it. `wall` gives epoch seconds.
    """

    def __init__(
        self, sources: Sequence[Source], identities: IdentityStore, wall: Callable[[], float] = time.time
    ) -> None:
        self._sources = tuple(sources)
        if len({source.id for source in self._sources}) < len(self._sources):
            raise ValueError("a source is given twice")
        self._identities = identities
        self._wall = wall
        self._lock = threading.Lock()
        self._listings: Mapping[str, Listing] = {}
        self._troubles: dict[tuple[str, str], str] = {}
        self._strangers = set(identities.all)
        self._plugins: dict[str, Desired] = {}
        self._snapshot = Snapshot(identities.resource_version, MappingProxyType(self._plugins))
        self._index: dict[str, dict[tuple[int, str, int], _Claim]] = {}
        self._claims: dict[str, tuple[_Claim, ...]] = {}
        self._subscribers: tuple[Subscriber, ...] = ()
        self._listeners: tuple[Callable[[], None], ...] = ()

    def get(self, name: str) -> Desired | None:
        """One plugin, if it is desired."""
        return self._snapshot.plugins.get(name)

    def list(self) -> Snapshot:
        """All plugins at this moment."""
        return self._snapshot

    def route(self, route: str) -> tuple[Desired, ...]:
        """The plugins of a route's group, sorted by name."""
        return tuple(desired for desired in self._snapshot if desired.plugin.route == route)

    def sources(self) -> tuple[SourceStatus, ...]:
        """All sources, as of their last listing."""
        listings = self._listings
        return tuple(_status(source, listings.get(source.id, Listing())) for source in self._sources)

    def troubles(self) -> dict[tuple[str, str], str]:
        """What is wrong now, by source and file (no file: the source as a whole). Cheap where little is wrong."""
        return dict(self._troubles)

    def digest(self, source: str, file: str) -> str:
        """The sha256 of the content that a file had when it was last read; empty where it was not."""
        listing = self._listings.get(source)
        state = None if listing is None else listing.files.get(file)
        return "" if state is None else state.digest

    def is_settled(self, path: str, file: str) -> bool:
        """Whether what is in force of a file, of the source at that path, is what it said when it was last seen."""
        return not any(
            str(source.path) == path and file in self._listings[source.id].unsettled
            for source in self._sources
            if source.id in self._listings
        )

    def subscribe(self, callback: Subscriber) -> None:
        """Call `callback` after each change with the names that changed or went, on the thread that found it."""
        self._subscribers = (*self._subscribers, callback)

    def on_listing(self, callback: Callable[[], None]) -> None:
        """Call `callback` after each listing that says something new, of plugins or of what is wrong with files."""
        self._listeners = (*self._listeners, callback)

    def refresh(self) -> float | None:
        """List all sources and take over what they say.

        Returns the seconds after which to do so again because something is about to settle, or None.
        """
        return self._take(lambda source: source.listing())

    def look(self, files: Mapping[str, Collection[str]]) -> float | None:
        """As refresh, where only some files may have changed, by their source's path; and what was about to settle."""
        return self._take(lambda source: source.look(files.get(str(source.path), ())))

    def _take(self, listing: Callable[[Source], Listing]) -> float | None:
        with self._lock:
            listings = {source.id: listing(source) for source in self._sources}
            news, changed = self._merge(listings)
        if news:
            for listener in self._listeners:
                listener()
        if changed:
            for subscriber in self._subscribers:
                subscriber(changed)
        return min((one.again for one in listings.values() if one.again is not None), default=None)

    def _merge(self, listings: Mapping[str, Listing]) -> tuple[bool, frozenset[str]]:
        """Take over what changed, and only that: thousands of other plugins cost next to nothing.

        Returns whether there is anything new at all, of plugins or of what is wrong; and whose claims changed.
        """
        before, self._listings = self._listings, listings
        candidates: set[str] = set()
        news = False
        for order, (source, listing) in enumerate(listings.items()):
            old = before.get(source, Listing())
            if listing.error != old.error:
                news = True
                self._troubled(source, "", listing.error)
            if listing.files is not old.files:
                news = True
                candidates |= self._enter(order, source, old.files, listing.files)
        touched = {name for name in candidates if self._rank(name)}
        removed = [name for name in touched if name not in self._claims]
        version = self._snapshot.resource_version + (1 if touched else 0)
        updated = {name: self._desire(name, self._claims[name], version) for name in touched - set(removed)}
        if touched:
            plugins = self._plugins.copy()  # of a plain dict: that is quick, whatever it holds
            plugins |= updated
            for name in removed:
                del plugins[name]
            if updated.keys() - self._plugins.keys():
                plugins = {name: plugins[name] for name in sorted(plugins)}
            self._plugins = plugins
            self._snapshot = Snapshot(version, MappingProxyType(plugins))
        self._remember(updated, removed)
        return news, frozenset(touched)

    def _enter(self, order: int, source: str, old: Mapping[str, FileState], new: Mapping[str, FileState]) -> set[str]:
        """Bring the index up to date with a source's files. Returns the names whose claims may have changed."""
        names: set[str] = set()
        entered = [path for path, file in new.items() if old.get(path) is not file]
        replaced = [path for path in entered if path in old]
        if len(old) + len(entered) - len(replaced) > len(new):
            replaced += old.keys() - new.keys()
        for path in replaced:
            self._troubled(source, path, "")
            for document in old[path].documents:
                names.add(document.plugin.name)
                del self._index[document.plugin.name][order, path, document.ordinal]
        for path in entered:
            self._troubled(source, path, "; ".join(map(str, new[path].problems)))
            for document in new[path].documents:
                names.add(document.plugin.name)
                owner = Owner(source, path, document.line, document.ordinal)
                index = self._index.setdefault(document.plugin.name, {})
                index[order, path, document.ordinal] = _Claim(owner, document)
        return names

    def _troubled(self, source: str, file: str, trouble: str) -> None:
        """Remember what is wrong with a file, or that nothing is."""
        if trouble:
            self._troubles = {**self._troubles, (source, file): trouble}
        elif (source, file) in self._troubles:
            self._troubles = {place: known for place, known in self._troubles.items() if place != (source, file)}

    def _rank(self, name: str) -> bool:
        """Order a name's claims, the owner's first: the file that owned it, else by source, path and place.

        Returns whether anything about them changed.
        """
        known = self._identities.all.get(name)
        mine = (known.source, known.file) if known else None
        index = self._index[name]
        claims = tuple(
            claim
            for _, claim in sorted(
                index.items(), key=lambda entry: ((entry[1].owner.source, entry[1].owner.file) != mine, entry[0])
            )
        )
        if claims == self._claims.get(name, ()):
            return False
        if claims:
            self._claims[name] = claims
        else:
            del self._claims[name], self._index[name]
        return True

    def _desire(self, name: str, claims: tuple[_Claim, ...], version: int) -> Desired:
        first = claims[0]
        known = self._identities.all.get(name)
        spec = _hash(first.document.plugin)
        generation = 1 if known is None else known.generation + (known.spec != spec)
        return Desired(
            plugin=first.document.plugin,
            generation=generation,
            resource_version=version,
            uid=known.uid if known else str(uuid.uuid4()),
            created=known.created if known else self._wall(),
            owner=first.owner,
            shadowed=tuple(claim.owner for claim in claims[1:]),
            notices=first.document.notices,
        )

    def _remember(self, updated: Mapping[str, Desired], removed: Sequence[str]) -> None:
        changed = {
            name: Identity(one.uid, one.created, one.generation, _hash(one.plugin), one.owner.source, one.owner.file)
            for name, one in updated.items()
        }
        gone = list(removed)
        self._strangers -= updated.keys()
        if self._strangers and not self._troubles:
            # Plugins that went while the daemon was down. Where something could not be read, they may yet come back.
            gone += self._strangers
            self._strangers = set()
        changed = {name: identity for name, identity in changed.items() if self._identities.all.get(name) != identity}
        if changed or gone or self._snapshot.resource_version != self._identities.resource_version:
            self._identities.save(changed, gone, self._snapshot.resource_version)


def _hash(plugin: WasmPlugin) -> str:
    """A hash of all of the spec, defaults included: writing a default out is no change."""
    return hashlib.sha256(plugin.spec.model_dump_json().encode()).hexdigest()


def _status(source: Source, listing: Listing) -> SourceStatus:
    return SourceStatus(
        id=source.id,
        kind=source.kind,
        path=str(source.path),
        writable=takes_writes(source),
        error=listing.error,
        files=tuple(_file_status(file) for _, file in sorted(listing.files.items())),
    )


def _file_status(file: FileState) -> FileStatus:
    return FileStatus(file.path, file.digest, len(file.documents), file.kept, file.problems)


def takes_writes(source: Source) -> bool:
    """Whether plugins can be written there."""
    return source.kind != CLUSTER and is_writable(source.path)


def is_writable(path: Path) -> bool:
    """Whether files can be put there. A file is replaced by a rename, so what counts is its folder."""
    folder = path if path.is_dir() else path.parent
    return os.access(folder, os.W_OK | os.X_OK)
