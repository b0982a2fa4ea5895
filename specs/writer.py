"""What the endpoints do to desired state: edit the file that owns a plugin. Starts and stops nothing.

Every call is judged by what the file says on disk at that moment, as an editor may have changed it; it writes in one
step and returns once the store shows the result, all under one lock. A call that raises has changed nothing.
"""

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from specs.document import parse_text
from specs.edit import Editor, holds_nothing, new_file
from specs.elements import Element
from specs.errors import Problem, SpecConflict, SpecInvalid, SpecNotFound, SpecReadOnly, SpecWriteFailed
from specs.files import decode_text, put_file, read_bytes, remove_file
from specs.model import MAX_INSTANCES, WasmPlugin
from specs.source import CLUSTER, Source
from specs.store import Desired, DesiredStore, Owner, takes_writes

FLUSH_SECONDS: Final = 10.0
"""Longest wait for the store to show what was written."""

_BOM: Final = b"\xef\xbb\xbf"
_LONGEST_STEM: Final = 200
"""File names end at 255 bytes; a temporary name and a suffix must fit as well."""


class Flusher(Protocol):
    """What makes the store look again."""

    def flush(self, timeout: float) -> bool:
        """Wait until a listing that began after this call is done, at most `timeout` seconds."""

    def look(self, source: str, file: str, timeout: float) -> bool:
        """Wait until what that file (of the source at that path) says is in force, at most `timeout` seconds."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a call did. `desired` is the plugin as the store now has it (None: it is no longer desired)."""

    desired: Desired | None
    changed: bool


class DesiredWriter:
    """Creates, changes and removes plugins by editing files. For any thread.

    A new plugin goes to the first `config` source, else to the first directory that can be written.
    """

    def __init__(self, store: DesiredStore, sync: Flusher, sources: Sequence[Source]) -> None:
        self._store = store
        self._sync = sync
        self._sources = {source.id: source for source in sources}
        self._lock = threading.Lock()

    def create(self, plugin: WasmPlugin) -> Change:
        """Add a plugin. An equal one that exists already is returned unchanged.

        Raises SpecConflict where a different one has the name, SpecReadOnly, SpecWriteFailed, SpecInvalid (the file
        that it belongs in is broken).
        """
        with self._lock:
            self._sync.flush(FLUSH_SECONDS)
            existing = self._store.get(plugin.name)
            if existing is not None:
                if not _equal(existing.plugin, plugin):
                    raise SpecConflict(f"{plugin.name} is already registered")
                return Change(existing, changed=False)
            source = self._target()
            if source.kind == "config":
                file = self._append(source, plugin)
            else:
                file = self._new_file(source, plugin)
            shown = self._shown(plugin.name, source, file, lambda shown: _equal(shown, plugin))
            return Change(shown, changed=True)

    def replace(self, plugin: WasmPlugin, expected_resource_version: int | None = None) -> Change:
        """Make a plugin another one of the same name.

        Raises SpecNotFound, SpecConflict (it is no longer at the expected version), and what `create` raises.
        """
        with self._lock:
            existing = self._existing(plugin.name, expected_resource_version)
            if _equal(existing.plugin, plugin):
                return Change(existing, changed=False)
            source = self._edit(existing.owner, plugin.name, lambda editor, element: editor.replace(element, plugin))
            shown = self._shown(plugin.name, source, existing.owner.file, lambda shown: _equal(shown, plugin))
            return Change(shown, changed=True)

    def set_instances(self, name: str, instances: int, expected_resource_version: int | None = None) -> Change:
        """Change the number of instances, and not a character more. Raises what `replace` raises."""
        if not 0 <= instances <= MAX_INSTANCES:
            message = f"{instances} is not between 0 and {MAX_INSTANCES}"
            raise SpecInvalid((Problem(message, field="spec.instances"),))
        with self._lock:
            existing = self._existing(name, expected_resource_version)
            old = existing.plugin
            if old.spec.instances == instances:
                return Change(existing, changed=False)
            owner = existing.owner
            source = self._edit(owner, name, lambda editor, element: editor.set_instances(element, old, instances))
            # An editor may have changed the rest in the same moment; that is none of this call's business.
            shown = self._shown(name, source, owner.file, lambda shown: shown.spec.instances == instances)
            return Change(shown, changed=True)

    def delete(self, name: str, expected_resource_version: int | None = None) -> Change:
        """Remove a plugin, and with it the documents that it shadows, or they would come forward.

        `desired` of the result is the plugin as it was. Raises what `replace` raises.
        """
        with self._lock:
            existing = self._existing(name, expected_resource_version)
            shown = True
            # The owner goes last: where a file is read-only, the one that serves is still there.
            for owner in (*reversed(existing.shadowed), existing.owner):
                source = self._edit(owner, name, lambda editor, element: editor.remove(element))
                shown = self._sync.look(str(source.path), owner.file, FLUSH_SECONDS)
            # Where the look takes too long, the files say all the same that it is gone: that is what is told.
            if shown and self._store.get(name) is not None:
                raise SpecConflict(f"{name} was removed, but it was written anew in the meantime")
            return Change(existing, changed=True)

    def _existing(self, name: str, expected: int | None) -> Desired:
        existing = self._current(name)
        if existing is None:
            self._sync.flush(FLUSH_SECONDS)  # it may have come, or moved to another file, in this moment
            existing = self._current(name)
        if existing is None:
            raise SpecNotFound(f"{name} is not registered")
        if expected is not None and existing.resource_version != expected:
            found = existing.resource_version
            raise SpecConflict(f"{name} was changed since it was read: it is at version {found}, not {expected}")
        return existing

    def _current(self, name: str) -> Desired | None:
        """The plugin as all the files that claim its name say now. Raises SpecConflict where one does not settle."""
        looked: set[tuple[str, str]] = set()
        while (existing := self._store.get(name)) is not None:
            claims = {(owner.source, owner.file) for owner in (existing.owner, *existing.shadowed)} - looked
            if not claims:
                break
            for id_, file in claims:
                source = self._sources[id_]
                if source.kind != CLUSTER and not self._sync.look(str(source.path), file, FLUSH_SECONDS):
                    raise SpecConflict(f"{_path(source, file)} is being written; try again")
            looked |= claims
        return existing

    def _target(self) -> Source:
        sources = sorted(self._sources.values(), key=lambda source: source.kind != "config")
        for source in sources:
            if source.kind == "config" or takes_writes(source):
                return source
        where = ", ".join(str(source.path) for source in sources) or "there is none"
        raise SpecReadOnly(where, "no configuration file, and no directory that can be written")

    def _edit(self, owner: Owner, name: str, change: Callable[[Editor, Element], str]) -> Source:
        """Change a plugin in its file; returns the source that has the file."""
        source = self._sources[owner.source]
        if source.kind == CLUSTER:
            raise SpecReadOnly(f"{name} in {source.id}", "it is only followed here")
        path = _path(source, owner.file)
        raw, text = _read(path)
        if hashlib.sha256(raw).hexdigest() != self._store.digest(source.id, owner.file):
            raise SpecConflict(f"{path} was changed in this moment; look again")
        editor = Editor(text, str(path))
        element = editor.find(name, owner.document)
        if element is None:
            raise SpecConflict(f"{name} is no longer in {path}; look again")
        edited = change(editor, element)
        if source.kind == "directory" and holds_nothing(edited, str(path)):
            remove_file(path)
        else:
            _write(path, raw, edited)
        source.trust(owner.file)
        return source

    def _append(self, source: Source, plugin: WasmPlugin) -> str:
        """Add a plugin to a file; returns the file."""
        raw, text = _read(source.path) if source.path.exists() else (b"", "")
        editor = Editor(text, str(source.path))
        if editor.find(plugin.name, 0) is not None:
            raise SpecConflict(f"{plugin.name} is already in {source.path}, where it is broken")
        _write(source.path, raw, editor.append(plugin))
        source.trust(source.path.name)
        return source.path.name

    def _new_file(self, source: Source, plugin: WasmPlugin) -> str:
        """Write a file with just that plugin; returns the file."""
        path = _free_path(source.path, plugin.name)
        if not source.path.is_dir():  # not made here: a directory that is away for a moment must not come back empty
            raise SpecWriteFailed(str(path), f"there is no directory {source.path}; make it and try again")
        _write(path, b"", new_file(plugin))
        source.trust(path.name)
        return path.name

    def _shown(self, name: str, source: Source, file: str, wanted: Callable[[WasmPlugin], bool]) -> Desired:
        """The plugin as the store has it after what was just written to a file."""
        done = self._sync.look(str(source.path), file, FLUSH_SECONDS)
        shown = self._store.get(name)
        if shown is None or not wanted(shown.plugin):
            why = "something else changed it at the same time" if done else "the file could not be looked at in time"
            raise SpecConflict(f"{name} was written, but does not show: {why}")
        return shown


def _path(source: Source, file: str) -> Path:
    return source.path if source.kind == "config" else source.path / file


def _equal(one: WasmPlugin, other: WasmPlugin) -> bool:
    """Whether two plugins mean the same: a default that is written out makes no difference."""
    return one.route == other.route and one.metadata == other.metadata and _rest(one) == _rest(other)


def _rest(plugin: WasmPlugin) -> object:
    return plugin.spec.model_copy(update={"route": None})


def _read(path: Path) -> tuple[bytes, str]:
    """A file's content and text. Raises SpecInvalid where it is too broken to be edited."""
    try:
        raw = read_bytes(path)
    except FileNotFoundError as ex:
        raise SpecConflict(f"{path} is no longer there; look again") from ex
    except OSError as ex:
        raise SpecWriteFailed(str(path), ex.strerror or str(ex)) from ex
    text = decode_text(raw, str(path))
    parsed = parse_text(text, str(path))
    if not parsed.complete:
        raise SpecInvalid(parsed.problems)
    return raw, text


def _write(path: Path, before: bytes, text: str) -> None:
    put_file(path, (_BOM if before.startswith(_BOM) else b"") + text.encode())


def _free_path(folder: Path, name: str) -> Path:
    """A file for a new plugin, named after it."""
    stem = name
    if len(stem) > _LONGEST_STEM:
        stem = f"{name[:_LONGEST_STEM]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    path = folder / f"{stem}.yaml"
    number = 1
    while path.exists() or path.is_symlink():
        number += 1
        path = folder / f"{stem}-{number}.yaml"
    return path
