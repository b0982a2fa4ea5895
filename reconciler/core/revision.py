"""What a running instance is made of, and the hash that names it.

The number of instances, the route and the queue are not part of it: they change on a running pool.
"""

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """Where a module's bytes come from. `digest` is `sha256:HEX` of the content, known before it is loaded."""

    digest: str
    path: str | None = None
    url: str | None = None
    image: str | None = None

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

    `config` is JSON text: a mapping, or a string for a guest that wants its own format.
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


def revision_of(spec: InstanceSpec) -> str:
    """The revision: the first 12 hex digits of the SHA-256 over the spec, without where the module came from.

    A module that moved to another path with the same content is the same revision.
    """
    parts = asdict(spec)
    parts["module"] = spec.module.digest
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
