"""From where a module comes to bytes that may be compiled: read or fetched, checked, and kept.

Content is looked for in the state directory first, so that a restart needs neither the file nor the server again. It is
used only if it has the digest and, where the source names a key, a signature of that key; both are checked each time,
wherever the bytes came from. Does not belong here: compiling (modules.py), the rules themselves (minisign.py, fetch).
"""

from collections.abc import Callable, Set
from pathlib import Path
from typing import Final, Protocol

from reconciler.core.observed import Failure
from reconciler.core.revision import ModuleSource
from reconciler.core.states import Reason
from reconciler.host.content import ContentStore
from reconciler.host.files import matches, read_module
from reconciler.host.minisign import PublicKey, SignatureInvalid
from reconciler.wasm.kind import ModuleRefused

_NOTE: Final = "minisig"


class ModuleFetcher(Protocol):
    """Brings a module that lies elsewhere (url, image)."""

    def fetch(self, source: ModuleSource) -> bytes:
        """The module's bytes. Their digest is checked by the caller, save of an image that is named by its own digest.

        Raises ModuleRefused.
        """

    def signature(self, source: ModuleSource) -> bytes | None:
        """The text of its `.minisig` file; None where there is none. Raises ModuleRefused."""


class ModuleSupply:
    """Checked module bytes. Safe to use from several threads. `read` reads a module file by its absolute path."""

    def __init__(
        self,
        read: Callable[[Path], bytes] = read_module,
        fetcher: ModuleFetcher | None = None,
        contents: ContentStore | None = None,
    ) -> None:
        self._read = read
        self._fetcher = fetcher
        self._contents = contents

    def content(self, source: ModuleSource, in_use: Set[str] = frozenset()) -> bytes:
        """The module's bytes. `in_use` are digests that must stay on disk. Raises ModuleRefused."""
        data = None if self._contents is None else self._contents.get(source.digest)
        kept = data is not None
        if data is None:
            data = self._bring(source)
        signature = self._verify(source, data) if source.key else None
        if self._contents is not None:
            if not kept:
                self._contents.put(source.digest, data, in_use)
            if signature is not None:
                self._contents.put_note(source.digest, _NOTE, signature)
        return data

    def keep(self, source: ModuleSource, in_use: Set[str] = frozenset()) -> None:
        """See to it that a file's content outlives the file. For a module whose bytes are not needed now."""
        if self._contents is None or source.path is None or source.digest in self._contents:
            return
        try:
            self._contents.put(source.digest, self._bring(source), in_use)
        except ModuleRefused:  # the file is gone or changed; what is compiled of it runs all the same
            return

    def _bring(self, source: ModuleSource) -> bytes:
        if source.path is not None:
            data = self._read(Path(source.path))
        elif self._fetcher is not None:
            data = self._fetcher.fetch(source)
        else:
            raise ModuleRefused(Failure(Reason.POLICY_DENIED, f"{source.place}: this host fetches no modules"))
        if source.pins_content and not matches(data, source.digest):
            message = f"{source.place} does not have the digest {source.digest}"
            raise ModuleRefused(Failure(Reason.DIGEST_MISMATCH, message))
        return data

    def _verify(self, source: ModuleSource, data: bytes) -> bytes | None:
        """Raises ModuleRefused where no signature of the key is there. Returns one that is new here."""
        try:
            key = PublicKey.parse(source.key)
        except ValueError as error:
            raise _invalid(source, str(error)) from None
        kept = None if self._contents is None else self._contents.note(source.digest, _NOTE)
        if kept is not None:
            try:
                key.check(data, kept)
            except SignatureInvalid:  # of another key: that one may have signed it since
                kept = None
        if kept is not None:
            return None
        signature = self._signature(source)
        if signature is None:
            raise _invalid(source, "it has no signature; " + _where(source))
        try:
            key.check(data, signature)
        except SignatureInvalid as error:
            raise _invalid(source, f"{error}; sign it again with the key that belongs to the public key") from None
        return signature

    def _signature(self, source: ModuleSource) -> bytes | None:
        if source.path is None:
            return None if self._fetcher is None else self._fetcher.signature(source)
        try:
            return self._read(Path(source.path + ".minisig"))
        except ModuleRefused as refused:
            if refused.failure.reason is Reason.NOT_FOUND:
                return None
            raise


def _invalid(source: ModuleSource, why: str) -> ModuleRefused:
    return ModuleRefused(Failure(Reason.SIGNATURE_INVALID, f"{source.place}: {why}"))


def _where(source: ModuleSource) -> str:
    if source.image is not None:
        return "push it with the .minisig file's text as the annotation wasm-reconciler.dev/minisig"
    return f"make one with `minisign -Sm FILE` and put it at {source.place}.minisig"
