"""From what is written to what can run: module digests, secrets, paths. Reads files, changes nothing.

The paths that a spec names are checked here: a module stays under the module root, whatever symlinks say.
"""

import json
import os
from pathlib import Path

from reconciler.core.diff import Target
from reconciler.core.observed import Failure, PoolSettings
from reconciler.core.revision import InstanceLimits, InstanceSpec, ModuleSource, PreopenDir, revision_of
from reconciler.core.states import NextStep, Reason
from reconciler.host.modules import FileDigests
from reconciler.wasm.kind import ModuleRefused
from specs.model import EnvVar, Module, WasmPlugin

MAX_SECRET_BYTES = 2**20
"""Larger files are no secrets."""


class Unresolved(Exception):
    """The desired revision cannot be known now. `failure` says why."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(reason, message, NextStep.RETRY)


class Resolver:
    """Turns a plugin's spec into a Target. `root` is the directory that module paths are relative to."""

    def __init__(self, root: Path, digests: FileDigests) -> None:
        self._root = root.resolve()
        self._digests = digests

    def settings(self, plugin: WasmPlugin) -> PoolSettings:
        """What can change on a running pool."""
        spec = plugin.spec
        return PoolSettings(
            route=plugin.route,
            queue=spec.limits.queue,
            queue_timeout=spec.limits.queue_timeout,
            drain_timeout=spec.rollout.drain_timeout,
            max_invocations=spec.pool.max_invocations,
        )

    def target(self, plugin: WasmPlugin) -> Target:
        """The revision that the spec means now. Raises Unresolved."""
        spec, limits = plugin.spec, plugin.spec.limits
        instance = InstanceSpec(
            plugin=plugin.name,
            module=self._module(spec.module),
            abi=spec.abi,
            engine="wasmtime",
            config=json.dumps(spec.config, ensure_ascii=False),
            env=tuple((variable.name, self._value(variable)) for variable in spec.env),
            allowed_hosts=spec.capabilities.allowed_hosts,
            stores=spec.capabilities.stores,
            preopens=tuple(
                PreopenDir(preopen.host, preopen.guest, preopen.read_only) for preopen in spec.capabilities.preopens
            ),
            namespace=spec.capabilities.namespace or f"plugin/{plugin.name}",
            limits=InstanceLimits(
                memory=limits.memory,
                timeout=limits.timeout,
                start_timeout=limits.start_timeout,
                fuel=limits.fuel,
                request_bytes=limits.request_bytes,
                response_bytes=limits.response_bytes,
            ),
        )
        return Target(plugin.name, revision_of(instance), instance, self.settings(plugin), spec.instances, spec.suspend)

    def unresolved_target(self, plugin: WasmPlugin) -> Target:
        """The part of a target that needs no file: keep what serves, in the desired number."""
        return Target(plugin.name, None, None, self.settings(plugin), plugin.spec.instances, plugin.spec.suspend)

    def files(self, plugin: WasmPlugin) -> tuple[Path, ...]:
        """The files besides its document that the plugin is made of."""
        found = [Path(variable.value_from.file) for variable in plugin.spec.env if variable.value_from is not None]
        if plugin.spec.module.path is not None:
            found.append(self._root / plugin.spec.module.path)
        return tuple(found)

    def signature(self, plugin: WasmPlugin) -> tuple[object, ...]:
        """What tells cheaply whether one of those files may have changed."""
        return tuple(self._digests.signature(path) for path in self.files(plugin))

    def _module(self, module: Module) -> ModuleSource:
        if module.path is None:
            if module.digest is None:
                raise Unresolved(Reason.POLICY_DENIED, f"{module.image}: an image needs a digest (sha256:...)")
            return ModuleSource(module.digest, url=module.url, image=module.image)
        path = self._inside(module.path)
        try:
            sha, md5 = self._digests.digests(path)
        except ModuleRefused as refused:
            raise Unresolved(refused.failure.reason, refused.failure.message) from None
        if module.digest is not None and module.digest not in (sha, md5):
            found = md5 if module.digest.startswith("md5:") else sha
            message = f"{path} has the digest {found}, the spec pins {module.digest}"
            raise Unresolved(Reason.DIGEST_MISMATCH, message)
        return ModuleSource(sha, path=str(path))

    def _inside(self, written: str) -> Path:
        path = Path(os.path.realpath(self._root / written))
        if not path.is_relative_to(self._root):
            raise Unresolved(Reason.POLICY_DENIED, f"{written} leads out of the module root {self._root}")
        return path

    def _value(self, variable: EnvVar) -> str:
        if variable.value_from is None:
            return variable.value or ""
        path = Path(variable.value_from.file)
        try:
            with path.open("rb") as file:
                text = file.read(MAX_SECRET_BYTES + 1).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise Unresolved(Reason.ENV_UNREADABLE, f"env {variable.name}: {path} cannot be read: {error}") from None
        if len(text) > MAX_SECRET_BYTES:
            raise Unresolved(
                Reason.ENV_UNREADABLE, f"env {variable.name}: {path} is larger than {MAX_SECRET_BYTES} bytes"
            )
        return text.removesuffix("\n")
