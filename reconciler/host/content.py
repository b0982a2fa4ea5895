"""What modules were made of, kept in the state directory: a restart needs neither the server nor the file again.

`modules/sha256-HEX` holds the content with that digest; another name for it (its md5, the digest of an image) is a
symlink beside; `sha256-HEX.NOTE` a small text about it, such as its signature. Content is checked whenever it is read.
The directory is bounded: what was used longest ago goes first; what is in use, or would be gone back to, stays.

Belongs here: files, digests, the bound. Does not: where content comes from, what it means (modules.py).
"""

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable, Set
from pathlib import Path
from typing import Final

from reconciler.host.room import Room, sizes
from specs.errors import SpecError
from specs.files import put_file

MAX_CONTENT_BYTES: Final = 2**30
"""What the directory holds at most, besides what is in use."""


class ContentStore:
    """Content by digest. Safe to use from several threads. A full or read-only disk costs a fetch, nothing else.

    `needed` are digests of content that stays though nothing runs it: what a plugin would go back to.
    """

    def __init__(
        self,
        directory: Path,
        max_bytes: int = MAX_CONTENT_BYTES,
        needed: Callable[[], Set[str]] = frozenset,
    ) -> None:
        self._directory = directory / "modules"
        self._needed = needed
        self._room = Room(max_bytes, lambda: sum(sizes(self._directory)))
        self._lock = threading.Lock()

    def __contains__(self, digest: str) -> bool:
        """Whether content with that digest is kept, without reading it."""
        return self._path(digest).exists()

    def get(self, digest: str) -> bytes | None:
        """The content; None where it is not kept, or was damaged: then it is removed."""
        path = self._path(digest)
        try:
            real = self._directory / path.readlink().name if path.is_symlink() else path
            data = real.read_bytes()
            if real.name != _name(data):
                real.unlink()
                return None
            os.utime(real)
        except OSError:
            return None
        return data

    def put(self, digest: str, data: bytes, in_use: Set[str] = frozenset()) -> None:
        """Keep content under a digest that names it; remove what is too much, save what `in_use` names."""
        name, size = _name(data), 0
        with self._lock, contextlib.suppress(OSError, SpecError):
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not (self._directory / name).exists():
                put_file(self._directory / name, data)
                size = len(data)
            if self._path(digest).name != name:
                self._link(self._path(digest), name)
            if self._room.add(size):
                self._sweep({name, *(self._real(other) for other in in_use | self._needed())})
                self._room.recount()

    def note(self, digest: str, kind: str) -> bytes | None:
        """A note about kept content; None where there is none."""
        try:
            return self._note(digest, kind).read_bytes()
        except OSError:
            return None

    def put_note(self, digest: str, kind: str, text: bytes) -> None:
        """Keep a note beside content that is kept."""
        with self._lock, contextlib.suppress(OSError, SpecError):
            if digest in self:
                put_file(self._note(digest, kind), text)

    def _path(self, digest: str) -> Path:
        return self._directory / digest.replace(":", "-")

    def _real(self, digest: str) -> str:
        """The name of the file that holds the content."""
        path = self._path(digest)
        try:
            return path.readlink().name
        except OSError:
            return path.name

    def _note(self, digest: str, kind: str) -> Path:
        return self._directory / f"{self._real(digest)}.{kind}"

    def _link(self, link: Path, name: str) -> None:
        if link.is_symlink():
            link.unlink()
        link.symlink_to(name)

    def _sweep(self, keep: Set[str]) -> None:
        """Make room: content with its notes, least recently used first; then links that lead nowhere."""
        contents: list[tuple[float, int, Path]] = []
        for path in self._directory.iterdir():
            if not (path.is_symlink() or "." in path.name):
                stat = path.stat()
                contents.append((stat.st_mtime, stat.st_size, path))
        surplus = sum(size for _, size, _ in contents) - self._room.most
        for _, size, path in sorted(contents):
            if surplus <= 0:
                return
            if path.name not in keep:
                for file in (path, *self._directory.glob(f"{path.name}.*")):
                    file.unlink(missing_ok=True)
                surplus -= size
        for path in self._directory.iterdir():
            if path.is_symlink() and not path.exists():
                path.unlink(missing_ok=True)


def _name(data: bytes) -> str:
    return f"sha256-{hashlib.sha256(data).hexdigest()}"
