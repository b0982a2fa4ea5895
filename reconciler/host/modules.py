"""Modules: from a source to something the engine can run, at most once per content.

Belongs here: sharing, the AOT cache in the state directory. Does not: where bytes come from and whether they may be
trusted (supply.py), what a module exports means (reconciler.wasm).

The AOT cache keeps what the engine compiled: `aot/FINGERPRINT/DIGEST.cwasm`, a file that ends with its own SHA-256.
Loading a damaged file would run damaged machine code, so the hash is checked before the engine sees it; a file of
another engine version lies in another directory. Whatever is wrong with a file, the module is compiled again.
"""

import contextlib
import hashlib
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from reconciler.core.revision import ModuleSource
from reconciler.host.supply import ModuleSupply
from reconciler.wasm.engine import CompiledModule, Engine
from reconciler.wasm.kind import ModuleRefused

_TRAILER: Final = 32


@dataclass(slots=True)
class _Entry:
    """A module, loaded by the first of its users; the others wait at the gate."""

    gate: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    module: CompiledModule | None = None


class ModuleCache:
    """Compiled modules, shared by all pools that run the same content. Safe to use from several threads."""

    def __init__(self, engine: Engine, directory: Path | None, supply: ModuleSupply | None = None) -> None:
        self._engine = engine
        self._directory = None if directory is None else directory / "aot" / engine.fingerprint
        self._supply = supply or ModuleSupply()
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str, bool], _Entry] = {}

    def acquire(self, source: ModuleSource, *, metered: bool) -> tuple[CompiledModule, bool]:
        """The compiled module, and whether compiling was saved. Each is given back with `release`.

        Several pools that ask for one module at once wait for one compilation. Raises ModuleRefused.
        """
        key = (source.digest, source.key, metered)
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
        key = (source.digest, source.key, metered)
        with self._lock:
            entry = self._entries[key]
            entry.users -= 1
            if entry.users:
                return
            del self._entries[key]
        if entry.module is not None:
            entry.module.close()

    def _load(self, source: ModuleSource, metered: bool) -> tuple[CompiledModule, bool]:
        # A signature is checked before anything that was made of the module is used.
        wasm = self._supply.content(source, self._in_use()) if source.key else None
        cached = self._cached(source.digest, metered)
        if cached is not None:
            self._supply.keep(source, self._in_use())
            return cached, True
        if wasm is None:
            wasm = self._supply.content(source, self._in_use())
        module = self._engine.compile(wasm, digest=source.digest, metered=metered)
        self._keep(source.digest, metered, module)
        return module, False

    def _in_use(self) -> frozenset[str]:
        with self._lock:
            return frozenset(digest for digest, _, _ in self._entries)

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
