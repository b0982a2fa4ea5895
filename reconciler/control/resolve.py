"""From what is written to what can run: module digests, secrets, paths. Reads files, changes nothing.

The paths that a spec names are checked here: a module stays under the module root, whatever symlinks say.
"""

import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from reconciler.core.diff import Target
from reconciler.core.images import ImageRef
from reconciler.core.observed import Failure, PoolSettings
from reconciler.core.revision import InstanceLimits, InstanceSpec, ModuleSource, PreopenDir, revision_of
from reconciler.core.states import NextStep, Reason
from reconciler.host.files import FileDigests
from reconciler.host.minisign import PublicKey
from reconciler.wasm.kind import ModuleRefused
from specs.model import Ed25519, EnvVar, Module, WasmPlugin

MAX_SECRET_BYTES = 2**20
"""Larger files are no secrets."""

MAX_KEY_BYTES = 4096
"""Larger files are no public keys."""


class Tags(Protocol):
    """Knows what tags of images name. Never waits."""

    def known(self, image: ImageRef, plugin: str) -> str | None:
        """The digest of the image's manifest, as far as it is known; `plugin` is looked at again when it changes."""

    def digest(self, image: ImageRef, plugin: str) -> str:
        """The same. Raises ModuleRefused while it is not known."""


class Unresolved(Exception):
    """The desired revision cannot be known now. `failure` says why."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(reason, message, NextStep.RETRY)


Signature = tuple[object, ...]
"""Compares equal for as long as the files that a plugin is made of look unchanged."""


@dataclass(frozen=True, slots=True)
class _Resolved:
    """A target, and what it was made from."""

    plugin: WasmPlugin
    signature: Signature
    target: Target


class Resolver:
    """Turns a plugin's spec into a Target. `root` is the directory that module paths are relative to.

    A target is made again only when the spec or one of its files changed. Without `tags`, an image needs a digest.
    For one thread.
    """

    def __init__(self, root: Path, digests: FileDigests, tags: Tags | None = None) -> None:
        self._root = os.path.realpath(root)
        self._below = self._root if self._root.endswith(os.sep) else self._root + os.sep
        self._digests = digests
        self._tags = tags
        self._resolved: dict[str, _Resolved] = {}

    def settings(self, plugin: WasmPlugin) -> PoolSettings:
        """What can change on a running pool."""
        spec = plugin.spec
        return PoolSettings(
            route=plugin.route,
            queue=spec.limits.queue,
            queue_timeout=spec.limits.queue_timeout,
            drain_timeout=spec.rollout.drain_timeout,
            max_invocations=spec.pool.max_invocations,
            min_healthy_time=spec.rollout.min_healthy_time,
            filters=spec.filters,
        )

    def target(self, plugin: WasmPlugin) -> Target:
        """The revision that the spec means now. Raises Unresolved."""
        signature = self.signature(plugin, {})
        known = self._resolved.get(plugin.name)
        if known is None or known.plugin is not plugin or known.signature != signature:
            known = self._resolved[plugin.name] = _Resolved(plugin, signature, self._make(plugin))
        return known.target

    def forget(self, name: str) -> None:
        """The plugin is gone."""
        self._resolved.pop(name, None)

    def _make(self, plugin: WasmPlugin) -> Target:
        spec, limits = plugin.spec, plugin.spec.limits
        instance = InstanceSpec(
            plugin=plugin.name,
            module=self._module(plugin),
            abi=spec.abi,
            engine="wasmtime",
            config=json.dumps(spec.config, ensure_ascii=False, sort_keys=True),
            env=tuple((variable.name, self._value(variable)) for variable in spec.env),
            allowed_hosts=spec.capabilities.allowed_hosts,
            stores=spec.capabilities.stores,
            preopens=tuple(
                PreopenDir(preopen.host, preopen.guest, preopen.read_only) for preopen in spec.capabilities.preopens
            ),
            namespace=spec.capabilities.namespace or f"plugin/{plugin.name}",
            reuse=spec.pool.reuse,
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

    def files(self, plugin: WasmPlugin) -> tuple[str, ...]:
        """The files besides its document that the plugin is made of."""
        found = [variable.value_from.file for variable in plugin.spec.env if variable.value_from is not None]
        if plugin.spec.module.path is not None:
            found.append(os.path.join(self._root, plugin.spec.module.path))
        if plugin.spec.module.verify is not None:
            found.append(os.path.join(self._root, plugin.spec.module.verify.ed25519.public_key_file))
        return tuple(found)

    def signature(self, plugin: WasmPlugin, seen: dict[str, object]) -> Signature:
        """What tells cheaply whether one of those files, or what a tag names, may have changed.

        `seen` saves looking at a file twice.
        """
        files = self.files(plugin)
        for file in files:
            if file not in seen:
                seen[file] = self._digests.signature(file)
        return (*(seen[file] for file in files), *self._tagged(plugin))

    def _tagged(self, plugin: WasmPlugin) -> tuple[str | None, ...]:
        """The digest that a tag names now, where the module is named by a tag alone."""
        module = plugin.spec.module
        if self._tags is None or module.image is None or module.digest is not None:
            return ()
        try:
            image = _image(module.image)
        except Unresolved:
            return ()
        return () if image.digest is not None else (self._tags.known(image, plugin.name),)

    def _module(self, plugin: WasmPlugin) -> ModuleSource:
        module = plugin.spec.module
        source = self._pinned(module, plugin.name)
        return source if module.verify is None else replace(source, key=self._key(module.verify.ed25519))

    def _pinned(self, module: Module, plugin: str) -> ModuleSource:
        if module.image is not None:
            return self._pinned_image(_image(module.image), module.digest, plugin)
        if module.path is None:
            if module.digest is None:
                raise Unresolved(Reason.POLICY_DENIED, f"{module.url}: a url needs a digest (sha256:...)")
            return ModuleSource(module.digest, url=module.url)
        path = self._inside(module.path)
        try:
            sha, md5 = self._digests.digests(path)
        except ModuleRefused as refused:
            raise Unresolved(refused.failure.reason, refused.failure.message) from None
        if module.digest is not None and module.digest not in (sha, md5):
            found = md5 if module.digest.startswith("md5:") else sha
            message = f"{path} has the digest {found}, the spec pins {module.digest}"
            raise Unresolved(Reason.DIGEST_MISMATCH, message)
        return ModuleSource(sha, path=path)

    def _pinned_image(self, image: ImageRef, digest: str | None, plugin: str) -> ModuleSource:
        pin = digest or image.digest
        if pin is not None:
            return ModuleSource(pin, image=str(image))
        if self._tags is None:
            message = f"{image}: a tag may move; write @sha256:... behind it, or serve with --allow-image-tags"
            raise Unresolved(Reason.POLICY_DENIED, message)
        try:
            found = self._tags.digest(image, plugin)
        except ModuleRefused as refused:
            raise Unresolved(refused.failure.reason, refused.failure.message) from None
        return ModuleSource(found, image=str(image.at(found)))

    def _key(self, written: Ed25519) -> str:
        """The public key in one line."""
        name = written.public_key_file
        path = name if os.path.isabs(name) else self._inside(name)
        try:
            with open(path, "rb") as file:
                return PublicKey.parse(file.read(MAX_KEY_BYTES).decode()).text
        except (OSError, ValueError) as error:
            raise Unresolved(Reason.SIGNATURE_INVALID, f"the public key {path} cannot be used: {error}") from None

    def _inside(self, written: str) -> str:
        """The absolute path without symlinks; text, as a Path costs more than all else that a pass does here."""
        try:
            path = os.path.realpath(os.path.join(self._root, written))
        except OSError as error:  # a link that vanished while it was followed
            raise Unresolved(Reason.NOT_FOUND, f"{written} cannot be followed: {error.strerror}") from None
        if path != self._root and not path.startswith(self._below):
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


def _image(text: str) -> ImageRef:
    try:
        return ImageRef.parse(text)
    except ValueError as error:
        raise Unresolved(Reason.INVALID_SPEC, str(error)) from None
