"""The AOT cache: what the engine compiled, kept in the state directory for the next start.

`aot/FINGERPRINT/DIGEST.cwasm`, a file that ends with its own SHA-256. Loading a damaged file would run damaged machine
code, so the hash is checked before the engine sees it; a file of another engine version lies in another directory.
Losing a file costs a compilation, nothing else: so nothing here raises, and the least recently used go first.
"""

import contextlib
import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from reconciler.host.room import Room, sizes
from specs.files import lock_temporary, temporary_beside

MAX_BYTES: Final = 2 * 2**30
"""Bytes of all files together, of all engine versions."""

_TRAILER: Final = 32


class AotCache:
    """Compiled code by name. `directory` None keeps nothing. Safe to use from several threads and processes."""

    def __init__(self, directory: Path | None, fingerprint: str, max_bytes: int = MAX_BYTES) -> None:
        self._root = directory
        self._fingerprint = fingerprint
        self._lock = threading.Lock()
        self._room = Room(max_bytes, self._held)

    def get(self, name: str) -> memoryview | None:
        """The code of that name; None where there is none, or it is damaged."""
        path = self._path(name)
        if path is None:
            return None
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        code = memoryview(data)[:-_TRAILER]
        if len(data) > _TRAILER and hashlib.sha256(code).digest() == data[-_TRAILER:]:
            return code
        self.drop(name)
        return None

    def put(self, name: str, code: bytes) -> None:
        """Keep code. A full or read-only disk is no matter."""
        path = self._path(name)
        if path is None:
            return
        part = temporary_beside(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with part.open("xb") as file:
                lock_temporary(file.fileno())
                file.write(code)
                file.write(hashlib.sha256(code).digest())
            part.replace(path)
            with self._lock:
                if self._room.add(len(code) + _TRAILER):
                    self._sweep(path)
                    self._room.recount()
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """Let others wait that want to make code of that name: they will find what was made meanwhile.

        It saves work and promises nothing: where the disk does not allow it, each makes the code for itself.
        """
        path = self._path(name)
        with contextlib.ExitStack() as stack:
            if path is not None:
                lock = path.with_name(f".{path.name}.lock")
                with contextlib.suppress(OSError):
                    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    file = stack.enter_context(lock.open("ab"))
                    stack.callback(lock.unlink, missing_ok=True)
                    fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def drop(self, name: str) -> None:
        """Forget code that turned out to be no good."""
        path = self._path(name)
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink()

    def _path(self, name: str) -> Path | None:
        return None if self._root is None else self._root / self._fingerprint / f"{name}.cwasm"

    def _held(self) -> int:
        assert self._root is not None
        return sum(sizes(self._root))

    def _sweep(self, newest: Path) -> None:
        """Bring the cache below its bound; what was just written stays."""
        assert self._root is not None
        found = [(entry.stat(), entry) for entry in self._root.rglob("*.cwasm")]
        excess = sum(stat.st_size for stat, _ in found) - self._room.most
        for stat, path in sorted(found, key=lambda item: item[0].st_mtime_ns):
            if excess <= 0:
                return
            if path != newest:
                path.unlink(missing_ok=True)
                excess -= stat.st_size
