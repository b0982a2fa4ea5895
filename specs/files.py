"""Spec files on disk: read within bounds, put in place whole or not at all."""

import errno
import fcntl
import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from specs.errors import Problem, SpecInvalid, SpecReadOnly, SpecWriteFailed

MAX_BYTES: Final = 4 * 2**20
"""Largest file that is read; a larger one is refused by its size, unread."""

_TEMPORARY: Final = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
_READ_ONLY: Final = (errno.EROFS, errno.EACCES, errno.EPERM)


def decode_text(raw: bytes, file: str) -> str:
    """The text of a file without its byte order mark. Raises SpecInvalid where it is not UTF-8."""
    try:
        return raw.removeprefix(b"\xef\xbb\xbf").decode()
    except UnicodeDecodeError as ex:
        before = raw[: ex.start]
        line, column = before.count(b"\n") + 1, ex.start - before.rfind(b"\n")
        raise SpecInvalid((Problem("this is not text in UTF-8", file, line, column),)) from ex


def read_bytes(path: Path) -> bytes:
    """A file's content. Raises SpecInvalid where it is too large or no regular file, and OSError."""
    # Without O_NONBLOCK a named pipe would hold the thread until somebody writes.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise SpecInvalid((Problem("this is not a regular file", str(path)),))
        if found.st_size > MAX_BYTES:
            message = f"the file has {found.st_size} bytes; at most {MAX_BYTES} are read"
            raise SpecInvalid((Problem(message, str(path)),))
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise SpecInvalid((Problem(f"the file has more than {MAX_BYTES} bytes", str(path)),))
    return raw


def put_file(path: Path, raw: bytes) -> None:
    """Make `raw` the content of a file. Keeps its mode. A reader sees the old content or the new, never a part.

    Raises SpecReadOnly where the file may not be written, SpecWriteFailed for anything else (a full disk); the old
    content is then still there.
    """
    refuse_symlink(path)
    temporary = temporary_beside(path)
    try:
        if path.exists() and not os.access(path, os.W_OK):
            raise SpecReadOnly(str(path), "it is marked read-only")
        mode = path.stat().st_mode & 0o7777 if path.exists() else 0o644
        _write(temporary, raw, mode)
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as ex:
        raise _failure(path, ex) from ex
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """A name, not taken yet, for a file that will be renamed to `path`. Whoever writes it locks it (lock_temporary)."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def lock_temporary(descriptor: int) -> None:
    """Show that a temporary file is being written, for as long as it is open here and this process lives."""
    with suppress(OSError):  # not every file system has locks; then a leftover may be taken for what it is not
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files of writers that were killed; those of living ones are locked. Raises nothing."""
    with suppress(OSError):
        for path in [path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name)]:
            with suppress(OSError), path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def remove_file(path: Path) -> None:
    """Delete a file. Raises as put_file does."""
    refuse_symlink(path)
    try:
        path.unlink()
        _sync_folder(path.parent)
    except OSError as ex:
        raise _failure(path, ex) from ex


def refuse_symlink(path: Path) -> None:
    """Raises SpecReadOnly for a symlink.

    A rename over it would cut the file off from where it comes from, such as the ConfigMap behind a mount.
    """
    if path.is_symlink():
        raise SpecReadOnly(str(path), "it is a symlink, as in a ConfigMap mount")


def _write(path: Path, raw: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        lock_temporary(descriptor)
        os.fchmod(descriptor, mode)
        file.write(raw)
        file.flush()
        os.fsync(descriptor)


def _sync_folder(path: Path) -> None:
    """A rename is durable only once its folder is."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failure(path: Path, ex: OSError) -> SpecReadOnly | SpecWriteFailed:
    why = ex.strerror or str(ex)
    return SpecReadOnly(str(path), why) if ex.errno in _READ_ONLY else SpecWriteFailed(str(path), why)
