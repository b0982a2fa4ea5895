"""References to OCI images. Pure: nothing is looked up here.

The grammar is that of the OCI distribution specification (repository names, tags) with the registry always written:
a short name such as `library/nginx` would lead to a registry that nobody named.
"""

import re
from dataclasses import dataclass, replace
from typing import Final, Self

_REPOSITORY: Final = re.compile(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[a-f0-9]{64}")
_REGISTRY: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*)(:(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class ImageRef:
    """`REGISTRY/REPOSITORY[:TAG][@sha256:HEX]`. `registry` holds the port where one was written."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """ValueError, with a sentence, where no registry is named or a part is malformed."""
        rest, at, digest = text.removeprefix("oci://").partition("@")
        registry, slash, path = rest.partition("/")
        repository, colon, tag = path.partition(":")
        found = _REGISTRY.fullmatch(registry)
        named = found is not None and ("." in registry or ":" in registry or registry == "localhost")
        if not (slash and named) or (found and found["port"] and not 0 < int(found["port"]) < 65536):
            raise ValueError(f"{text!r} names no registry: write for example ghcr.io/acme/plugin@sha256:...")
        if not _REPOSITORY.fullmatch(repository) or len(repository) > 255:
            raise ValueError(
                f"{text!r}: {repository!r} is no repository: lower-case letters, digits, '.', '_', '-', '/'"
            )
        if (colon and not _TAG.fullmatch(tag)) or (at and not _DIGEST.fullmatch(digest)):
            raise ValueError(f"{text!r} has a malformed tag or digest: write :TAG or @sha256:HEX (64 digits)")
        return cls(registry, repository, tag if colon else None, digest if at else None)

    @property
    def reference(self) -> str:
        """What names the manifest at the registry: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    def at(self, digest: str) -> Self:
        """The same image, pinned to a manifest's digest."""
        return replace(self, digest=digest)

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.registry}/{self.repository}{tag}{digest}"
