"""Modules: from a source to something the engine can run, at most once per content.

Belongs here: reading, digests, the AOT cache in the state directory. Does not: what a module exports means
(reconciler.wasm), where a path may point (control.resolve).

The AOT cache keeps what the engine compiled: `aot/FINGERPRINT/DIGEST.cwasm`, a file that ends with its own SHA-256.
Loading a damaged file would run damaged machine code, so the hash is checked before the engine sees it; a file of
another engine version lies in another directory. Whatever is wrong with a file, the module is compiled again.
"""

import contextlib
import hashlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from reconciler.core.observed import Failure
from reconciler.core.revision import ModuleSource
from reconciler.core.states import Reason
from reconciler.wasm.engine import CompiledModule, Engine
from reconciler.wasm.kind import ModuleRefused

MAX_MODULE_BYTES: Final = 256 * 2**20
"""No module is larger; a larger file is refused unread."""

_TRAILER = 32


class ModuleFetcher(Protocol):
    """Brings a module that lies elsewhere (url, image). Raises ModuleRefused."""

    def fetch(self, source: ModuleSource) -> bytes:
        """The module's bytes; their digest is checked by the caller."""


@dataclass(slots=True)
class _Entry:
    """A module, loaded by the first of its users; the others wait at the gate."""

    gate: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    module: CompiledModule | None = None


class ModuleCache:
    """Compiled modules, shared by all pools that run the same content. Safe to use from several threads."""

    def __init__(self, engine: Engine, directory: Path | None, fetcher: ModuleFetcher | None = None) -> None:
        self._engine = engine
        self._directory = None if directory is None else directory / "aot" / engine.fingerprint
        self._fetcher = fetcher
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, bool], _Entry] = {}

    def acquire(self, source: ModuleSource, *, metered: bool) -> tuple[CompiledModule, bool]:
        """The compiled module, and whether compiling was saved. Each is given back with `release`.

        Several pools that ask for one module at once wait for one compilation. Raises ModuleRefused.
        """
        key = (source.digest, metered)
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            entry.users += 1
        try:
            with entry.gate:
                if entry.module is not None:
                    return entry.module, True
                entry.module, from_cache = self._load(source, metered)
                return entry.module, from_cache
        except ModuleRefused:
            self.release(source, metered=metered)
            raise

    def release(self, source: ModuleSource, *, metered: bool) -> None:
        """One pool fewer uses the module; the last one frees it."""
        key = (source.digest, metered)
        with self._lock:
            entry = self._entries[key]
            entry.users -= 1
            if entry.users:
                return
            del self._entries[key]
        if entry.module is not None:
            entry.module.close()

    def _load(self, source: ModuleSource, metered: bool) -> tuple[CompiledModule, bool]:
        cached = self._cached(source.digest, metered)
        if cached is not None:
            return cached, True
        wasm = self._read(source)
        module = self._engine.compile(wasm, digest=source.digest, metered=metered)
        self._keep(source.digest, metered, module)
        return module, False

    def _read(self, source: ModuleSource) -> bytes:
        if source.path is not None:
            data = read_module(Path(source.path))
        elif self._fetcher is not None:
            data = self._fetcher.fetch(source)
        else:
            raise ModuleRefused(Failure(Reason.POLICY_DENIED, f"{source.place}: this host fetches no modules"))
        if not matches(data, source.digest):
            raise ModuleRefused(
                Failure(Reason.DIGEST_MISMATCH, f"{source.place} does not have the digest {source.digest}")
            )
        return data

    def _file(self, digest: str, metered: bool) -> Path | None:
        if self._directory is None:
            return None
        return self._directory / f"{digest.replace(':', '-')}{'-metered' if metered else ''}.cwasm"

    def _cached(self, digest: str, metered: bool) -> CompiledModule | None:
        path = self._file(digest, metered)
        if path is None:
            return None
        try:
            data = path.read_bytes()
        except OSError:
            return None
        content = memoryview(data)[:-_TRAILER]
        if len(data) <= _TRAILER or hashlib.sha256(content).digest() != data[-_TRAILER:]:
            path.unlink(missing_ok=True)
            return None
        try:
            return self._engine.deserialize(content, digest=digest, metered=metered)
        except ModuleRefused:
            path.unlink(missing_ok=True)
            return None

    def _keep(self, digest: str, metered: bool, module: CompiledModule) -> None:
        """Write the compiled form beside; a full or read-only disk costs the next start some time, nothing else."""
        path = self._file(digest, metered)
        if path is None:
            return
        data = self._engine.serialize(module)
        part = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with part.open("wb") as file:
                file.write(data)
                file.write(hashlib.sha256(data).digest())
            part.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink()


def read_module(path: Path) -> bytes:
    """A module file's bytes. Raises ModuleRefused: no such file, a directory, too large, unreadable."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > MAX_MODULE_BYTES:
                raise ModuleRefused(
                    Failure(Reason.TOO_LARGE, f"{path} has {size} bytes; a module has at most {MAX_MODULE_BYTES}")
                )
            return file.read(MAX_MODULE_BYTES)
    except FileNotFoundError:
        raise ModuleRefused(Failure(Reason.NOT_FOUND, f"there is no file {path}")) from None
    except OSError as error:
        raise ModuleRefused(Failure(Reason.NOT_FOUND, f"{path} cannot be read: {error.strerror}")) from None


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

    def signature(self, path: Path) -> tuple[int, int, int, int] | None:
        """What tells cheaply that a file may have changed; None where there is none."""
        try:
            stat = path.stat()
        except OSError:
            return None
        return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino

    def digests(self, path: Path) -> tuple[str, str]:
        """The file's `sha256:HEX` and `md5:HEX`. Raises ModuleRefused."""
        signature = self.signature(path)
        known = self._known.get(str(path))
        if known is not None and signature is not None and known[0] == signature:
            return known[1], known[2]
        data = self._read(path)
        sha = f"sha256:{hashlib.sha256(data).hexdigest()}"
        md5 = f"md5:{hashlib.md5(data, usedforsecurity=False).hexdigest()}"
        if signature is not None:
            self._known[str(path)] = (signature, sha, md5)
        return sha, md5
