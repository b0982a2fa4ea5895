"""Modules: from a source to something the engine can run, at most once per content.

Belongs here: sharing. Does not: where bytes come from and whether they may be trusted (supply.py), keeping compiled
code on disk (aot.py), what a module exports means (reconciler.wasm).
"""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.core.revision import ModuleSource
from reconciler.host.aot import AotCache
from reconciler.host.supply import ModuleSupply
from reconciler.wasm.engine import CompiledModule, Engine
from reconciler.wasm.kind import ModuleRefused


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
        self._aot = AotCache(None if directory is None else directory / "aot", engine.fingerprint)
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
        name = f"{source.digest.replace(':', '-')}{'-metered' if metered else ''}"
        compiled = self._kept(name, source.digest, metered)
        if compiled is None:
            # Of several processes that want the same module, one compiles it.
            with self._aot.alone(name):
                compiled = self._kept(name, source.digest, metered)
                if compiled is None:
                    return self._compile(source, wasm, name, metered), False
        self._supply.keep(source, self._in_use())
        return compiled, True

    def _compile(self, source: ModuleSource, wasm: bytes | None, name: str, metered: bool) -> CompiledModule:
        if wasm is None:
            wasm = self._supply.content(source, self._in_use())
        module = self._engine.compile(wasm, digest=source.digest, metered=metered)
        self._aot.put(name, self._engine.serialize(module))
        return module

    def _kept(self, name: str, digest: str, metered: bool) -> CompiledModule | None:
        """What an earlier start compiled, if the engine takes it."""
        code = self._aot.get(name)
        if code is None:
            return None
        try:
            return self._engine.deserialize(code, digest=digest, metered=metered)
        except ModuleRefused:
            self._aot.drop(name)
            return None

    def _in_use(self) -> frozenset[str]:
        with self._lock:
            return frozenset(digest for digest, _, _ in self._entries)
