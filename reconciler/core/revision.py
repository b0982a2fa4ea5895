"""What a running instance is made of, and the hash that names it.

The number of instances, the route and the queue are not part of it: they change on a running pool.
"""

import hashlib
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """Where a module's bytes come from, and what they must prove.

    `digest` is `sha256:HEX` (or `md5:HEX`) of the content, known before it is loaded; of an image that is named by
    nothing else, the digest of its manifest, which names the content in turn. `key` is the minisign public key that
    must have signed the content, in one line; empty where no signature is asked for.
    """

    digest: str
    path: str | None = None
    url: str | None = None
    image: str | None = None
    key: str = ""

    @property
    def pins_content(self) -> bool:
        """Whether `digest` is that of the content itself."""
        return self.image is None or not self.image.endswith(f"@{self.digest}")

    @property
    def place(self) -> str:
        """The path, url or image, for messages."""
        return self.path or self.url or self.image or self.digest


@dataclass(frozen=True, slots=True)
class PreopenDir:
    """A directory a guest may open."""

    host: str
    guest: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class InstanceLimits:
    """What one instance may use. Bytes and seconds; `fuel` None means not counted."""

    memory: int
    timeout: float
    start_timeout: float
    fuel: int | None
    request_bytes: int
    response_bytes: int


@dataclass(frozen=True, slots=True)
class InstanceSpec:
    """All that an instance is made of. Plain and picklable: it crosses the pool-host seam.

    `config` is JSON text with sorted keys: a mapping, or a string for a guest that wants its own format.
    `reuse` is how many requests one store of a kind that makes stores for requests answers.
    `namespace` is where shared data, queues and metrics live: the declared one or the plugin's own.
    """

    plugin: str
    module: ModuleSource
    abi: str
    engine: str
    config: str
    env: tuple[tuple[str, str], ...]
    allowed_hosts: tuple[str, ...]
    stores: tuple[str, ...]
    preopens: tuple[PreopenDir, ...]
    namespace: str
    limits: InstanceLimits
    reuse: int = 1


def revision_of(spec: InstanceSpec) -> str:
    """The revision: the first 12 hex digits of the SHA-256 over the spec, without where the module came from.

    A module that moved to another path with the same content is the same revision.
    """
    parts = repr(replace(spec, module=ModuleSource(spec.module.digest, key=spec.module.key)))
    return hashlib.sha256(parts.encode()).hexdigest()[:12]
