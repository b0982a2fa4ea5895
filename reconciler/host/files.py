"""Module files: reading them within bounds, telling them apart by digest.

Belongs here: opening, sizes, digests. Does not: where a path may point (control.resolve), what is done with the bytes.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from stat import S_ISREG
from typing import Final

from reconciler.core.observed import Failure
from reconciler.core.states import Reason
from reconciler.wasm.kind import ModuleRefused

MAX_MODULE_BYTES: Final = 256 * 2**20
"""No module is larger; a larger file is refused unread."""

_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe in the place of a file must not hold the thread


def read_module(path: Path) -> bytes:
    """A module file's bytes. Raises ModuleRefused: no such file, a directory, too large, unreadable."""
    try:
        return _read(os.open(path, _FLAGS), path)
    except OSError as error:
        raise _unreadable(path, error) from None


class RootedFiles:
    """The files under a root, also where somebody swaps a symlink in between check and use. For several threads.

    Where a path leads is decided once, by whoever resolved it; here it is walked from the root down, one name at a
    time, and a symlink on the way is a refusal. So what is opened is what was checked, whoever may write there.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def read(self, path: Path) -> bytes:
        """A module file's bytes, as read_module. `path` is absolute and free of symlinks. Raises ModuleRefused."""
        try:
            names = path.relative_to(self._root).parts
        except ValueError:
            names = ()
        if not names or ".." in names:
            raise ModuleRefused(Failure(Reason.POLICY_DENIED, f"{path} lies out of the module root {self._root}"))
        try:
            return _read(self._open(names), path)
        except OSError as error:
            raise _unreadable(path, error) from None

    def _open(self, names: tuple[str, ...]) -> int:
        """Raises OSError, ELOOP or ENOTDIR where a name has become a symlink."""
        folder = os.open(self._root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in names[:-1]:
                inner = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                os.close(folder)
                folder = inner
            return os.open(names[-1], _FLAGS | os.O_NOFOLLOW, dir_fd=folder)
        finally:
            os.close(folder)


def _read(descriptor: int, path: Path) -> bytes:
    """Reads, and closes whatever happens. Raises ModuleRefused, OSError."""
    try:
        status = os.fstat(descriptor)
        if not S_ISREG(status.st_mode):
            raise ModuleRefused(Failure(Reason.NOT_FOUND, f"{path} is no file"))
        if status.st_size > MAX_MODULE_BYTES:
            message = f"{path} has {status.st_size} bytes; a module has at most {MAX_MODULE_BYTES}"
            raise ModuleRefused(Failure(Reason.TOO_LARGE, message))
        with open(descriptor, "rb", closefd=False) as file:
            return file.read(MAX_MODULE_BYTES)
    finally:
        os.close(descriptor)


def _unreadable(path: Path, error: OSError) -> ModuleRefused:
    if isinstance(error, FileNotFoundError):
        return ModuleRefused(Failure(Reason.NOT_FOUND, f"there is no file {path}"))
    return ModuleRefused(Failure(Reason.NOT_FOUND, f"{path} cannot be read: {error.strerror}"))


def matches(data: bytes, digest: str) -> bool:
    """Whether the bytes have that `sha256:` or `md5:` digest."""
    algorithm, _, wanted = digest.partition(":")
    if algorithm == "md5":
        return hashlib.md5(data, usedforsecurity=False).hexdigest() == wanted
    return hashlib.sha256(data).hexdigest() == wanted


class FileDigests:
    """SHA-256 of files, computed again only when size, times or inode changed. For one thread."""

    def __init__(self, read: Callable[[Path], bytes] = read_module) -> None:
        self._read = read
        self._known: dict[str, tuple[tuple[int, int, int, int], str, str]] = {}

    def signature(self, path: str) -> tuple[int, int, int, int] | None:
        """What tells cheaply that a file may have changed; None where there is none."""
        try:
            status = os.stat(path)
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino

    def digests(self, path: str) -> tuple[str, str]:
        """The file's `sha256:HEX` and `md5:HEX`. Raises ModuleRefused."""
        signature = self.signature(path)
        known = self._known.get(path)
        if known is not None and signature is not None and known[0] == signature:
            return known[1], known[2]
        data = self._read(Path(path))
        sha = f"sha256:{hashlib.sha256(data).hexdigest()}"
        md5 = f"md5:{hashlib.md5(data, usedforsecurity=False).hexdigest()}"
        if signature is not None:
            self._known[path] = (signature, sha, md5)
        return sha, md5
