"""A source whose plugins are handed to it: objects that are kept elsewhere, such as in a cluster.

Whoever follows that place says what there is (`replace`), what changed (`put`), or that it cannot tell (`fail`); then
what was said before stays in force. What is in force is also kept in a file, from which a new start begins: with the
other place out of reach, the node goes on as it was.

Belongs here: objects to plugins, last known good. Does not: how the objects get here.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from specs.document import Document, decode
from specs.errors import Problem
from specs.explain import dotted
from specs.files import put_file
from specs.followed import FileState
from specs.source import CLUSTER, Listing

Object = Mapping[str, Any]

UNHEARD: Final = "nothing was heard from it yet"
_KEPT: Final = ("apiVersion", "kind", "metadata", "spec")
_METADATA: Final = ("name", "labels", "annotations", "generation")


class MirrorSource:
    """Holds objects by name. `place` is where they come from; `file` keeps them. For any thread.

    `poke` is called after every change: there is something to list.
    """

    kind: Final = CLUSTER

    def __init__(self, place: str, file: Path, poke: Callable[[], None] = lambda: None) -> None:
        self.id: Final = f"kube:{place}"
        self.path: Final = file
        self._poke = poke
        self._lock = threading.Lock()
        self._error = UNHEARD
        self._objects: dict[str, Object] = {}
        self._states: dict[str, FileState] = {}  # copied before it is changed: listings hand it out
        self._saved = b""
        for found in _read(file):
            self._take(found)

    def on_change(self, poke: Callable[[], None]) -> None:
        """Call that after every change."""
        self._poke = poke

    def trust(self, file: str) -> None:
        """See Source.trust. Nothing is written here."""

    def listing(self) -> Listing:
        """See Source.listing."""
        with self._lock:
            return Listing(self._states, self._error)

    def look(self, files: Collection[str]) -> Listing:
        """See Source.look. All is in memory."""
        return self.listing()

    def generation(self, name: str) -> int:
        """The generation that the other place gave the object; 0 where there is none."""
        with self._lock:
            found = self._objects.get(name)
        return 0 if found is None else int(found["metadata"].get("generation") or 0)

    def replace(self, objects: Iterable[Object]) -> None:
        """These are all there are."""
        with self._lock:
            given = {str(found["metadata"]["name"]): found for found in objects}
            self._states = dict(self._states)
            for name in self._objects.keys() - given.keys():
                del self._objects[name], self._states[name]
            for found in given.values():
                self._take(found)
            self._error = ""
        self._changed()

    def put(self, name: str, found: Object | None) -> None:
        """That one changed, or is gone."""
        with self._lock:
            self._states = dict(self._states)
            if found is not None:
                changed = self._take(found)
            else:
                changed = self._objects.pop(name, None) is not None
                self._states.pop(name, None)
        if changed:
            self._changed()

    def fail(self, why: str) -> None:
        """It cannot be told what there is; empty: it can again."""
        with self._lock:
            changed, self._error = self._error != why, why
        if changed:
            self._poke()

    def save(self) -> None:
        """Write what is in force to the file, where that is not what it says. Raises SpecError."""
        with self._lock:
            items = [self._objects[name] for name in sorted(self._objects)]
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}).encode()
        if text != self._saved:
            put_file(self.path, text)
            self._saved = text

    def _changed(self) -> None:
        self._poke()

    def _take(self, found: Object) -> bool:
        """Enter an object. Returns whether anything about it is new. Call with the lock."""
        metadata = found["metadata"]
        name = str(metadata["name"])
        kept = {key: found[key] for key in _KEPT if key in found}
        kept["metadata"] = {key: metadata[key] for key in _METADATA if metadata.get(key)}
        before = self._objects.get(name)
        if before == kept:
            return False
        self._objects[name] = kept
        old = self._states.get(name, FileState(name))
        digest = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
        decoded = decode({**kept, "metadata": {k: v for k, v in kept["metadata"].items() if k != "generation"}})
        if decoded.plugin is None:
            problems = tuple(Problem(message, name, field=dotted(path)) for path, message in decoded.problems)
            self._states[name] = FileState(name, digest, old.documents, problems, kept=bool(old.documents))
        else:
            self._states[name] = FileState(name, digest, (Document(decoded.plugin, 0, 1, decoded.notices),))
        return True


def _read(file: Path) -> list[Object]:
    """What was in force before; nothing where the file is missing or not whole."""
    try:
        found = json.loads(file.read_bytes())
        return [one for one in found["items"] if isinstance(one["metadata"]["name"], str)]
    except (OSError, ValueError, KeyError, TypeError):
        return []
