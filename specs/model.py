"""The object that people write: WasmPlugin and its parts.

Frozen pydantic models; the JSON Schema comes from them, so descriptions here are what editors and
`kubectl explain` show. Belongs here: fields, defaults, bounds, units. Does not: reading text
(document.py), Layotto's shapes (layotto.py), anything observed.
"""

import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel

API_GROUP: Final = "wasm-reconciler.dev"
API_VERSION: Final = "wasm-reconciler.dev/v1alpha1"
KIND: Final = "WasmPlugin"

MAX_FILTERS: Final = 8
"""Filters that one plugin may name."""

MAX_INSTANCES: Final = 100_000
"""Far above what one process can hold (about 31,700); the rest of the way is said by a condition."""

_NAME = r"^[A-Za-z0-9]([A-Za-z0-9_.\-]*[A-Za-z0-9])?$"
_BYTES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_bytes(value: object) -> int:
    """`64Mi`, `1G`, `512k` or a number of bytes -> bytes. ValueError for anything else."""
    if isinstance(value, bool):
        raise ValueError("expected a size such as 64Mi, not a boolean")
    if isinstance(value, int):
        number = value
    else:
        found = re.fullmatch(r"(\d+)\s*(k|M|G|Ki|Mi|Gi)?", value) if isinstance(value, str) else None
        if not found:
            raise ValueError(f"expected a size such as 64Mi, 512Ki or a number of bytes, not {value!r}")
        number = int(found[1]) * _BYTES[found[2] or ""]
    if number < 0:
        raise ValueError("a size cannot be negative")
    return number


def format_bytes(value: int) -> str | int:
    """The shortest exact spelling of a number of bytes: 67108864 -> `64Mi`."""
    for suffix in ("Gi", "Mi", "Ki"):
        if value and value % _BYTES[suffix] == 0:
            return f"{value // _BYTES[suffix]}{suffix}"
    return value


def parse_seconds(value: object) -> float:
    """`1s`, `250ms`, `1m30s` or a number of seconds -> seconds. ValueError for anything else."""
    if isinstance(value, bool):
        raise ValueError("expected a duration such as 1s, not a boolean")
    if isinstance(value, (int, float)):
        seconds = float(value)
    else:
        if not isinstance(value, str) or not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", value):
            raise ValueError(f"expected a duration such as 1s, 250ms or 1m30s, not {value!r}")
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", value)
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if not 0 <= seconds <= 86_400:
        raise ValueError("a duration lies between 0 and 24h")
    return seconds


def format_seconds(value: float) -> str:
    """The usual spelling of a duration: 0.25 -> `250ms`, 90.0 -> `90s`."""
    return f"{value:g}s" if value == 0 or value >= 1 else f"{value * 1000:g}ms"


def _name(value: str) -> str:
    if not re.fullmatch(_NAME, value):
        raise ValueError("a name has letters, digits, '-', '_' and '.', and starts and ends with a letter or digit")
    return value


ByteSize = Annotated[
    int,
    BeforeValidator(parse_bytes),
    PlainSerializer(format_bytes),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": r"^\d+(k|M|G|Ki|Mi|Gi)?$"}, {"type": "integer", "minimum": 0}]}
    ),
]
"""Bytes. Written `64Mi`, `512Ki`, `1G` or a plain number."""

Seconds = Annotated[
    float,
    BeforeValidator(parse_seconds),
    PlainSerializer(format_seconds),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h))+$"}, {"type": "number", "minimum": 0}]}
    ),
]
"""Seconds. Written `1s`, `250ms`, `1m30s` or a plain number."""

Name = Annotated[str, Field(min_length=1, max_length=253, json_schema_extra={"pattern": _NAME}), AfterValidator(_name)]
Digest = Annotated[str, Field(pattern=r"^(sha256:[a-f0-9]{64}|md5:[a-f0-9]{32})$")]
FilePath = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]
Count = Annotated[int, Field(strict=True, ge=0, le=MAX_INSTANCES)]


class Part(BaseModel):
    """What all parts share: frozen, no unknown fields, no silent conversion of strings to numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class Metadata(Part):
    """Who the object is."""

    name: Name = Field(description="The plugin's identity on this node.")
    namespace: Name | None = Field(None, description="Accepted when it is the daemon's own namespace.")
    labels: dict[str, str] = Field(default_factory=dict, description="For selecting plugins.")
    annotations: dict[str, str] = Field(default_factory=dict, description="Free notes; tools keep theirs here.")


class Ed25519(Part):
    """A signature in minisign's format, by the holder of a key."""

    public_key_file: FilePath = Field(
        description="minisign's public key file: an absolute path, or relative to the module root."
    )


class Verify(Part):
    """Who must have signed the module."""

    ed25519: Ed25519 = Field(
        description="Signed where: the path or url plus .minisig, or the annotation wasm-reconciler.dev/minisig."
    )


class Module(Part):
    """Where the wasm module comes from: exactly one of path, url, image."""

    path: FilePath | None = Field(None, description="A .wasm or .wat file, relative to the module root.")
    url: str | None = Field(None, pattern=r"^https?://", description="An address to fetch from; needs a digest.")
    image: str | None = Field(
        None, min_length=1, description="An OCI reference, REGISTRY/REPOSITORY@sha256:HEX; or with a tag and a digest."
    )
    digest: Digest | None = Field(None, description="The content's sha256:HEX (or md5:HEX), checked before it is run.")
    verify: Verify | None = Field(None, description="Ask for a signature, checked before the module is compiled.")

    @model_validator(mode="after")
    def _one_place(self) -> "Module":
        given = [name for name in ("path", "url", "image") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of path, url, image ({' and '.join(given) or 'none'} given)")
        if self.url is not None and self.digest is None:
            raise ValueError("url needs a digest (sha256:...), so that what is fetched is what was meant")
        return self


class FileRef(Part):
    """A value that lies in a file, such as a mounted secret."""

    file: FilePath = Field(description="The file; its content, less one line end, is the value.")


class EnvVar(Part):
    """One variable of the guest's environment: exactly one of value, valueFrom."""

    name: str = Field(min_length=1, pattern=r"^[^=\x00]+$", description="The variable's name.")
    value: str | None = Field(None, description="The value itself.")
    value_from: FileRef | None = Field(None, description="Where the value lies, for secrets.")

    @model_validator(mode="after")
    def _one_value(self) -> "EnvVar":
        if (self.value is None) == (self.value_from is None):
            raise ValueError("give exactly one of value, valueFrom")
        return self


class Preopen(Part):
    """A directory of the host that the guest may open."""

    host: FilePath = Field(description="The directory on this machine.")
    guest: FilePath = Field(description="Its name inside the guest.")
    read_only: bool = Field(True, strict=True, description="Whether the guest may not write there.")


class Capabilities(Part):
    """What the guest may reach. Empty means denied."""

    allowed_hosts: tuple[str, ...] = Field((), description="host or host:port that http calls may name.")
    stores: tuple[str, ...] = Field((), description="Key-value stores that the guest may use, by name; * for all.")
    preopens: tuple[Preopen, ...] = Field((), description="Directories that the guest may open.")
    namespace: Name | None = Field(
        None, description="Plugins that name one namespace share their shared data, queues and metrics; default: alone."
    )


class Limits(Part):
    """What one instance may use; enforced, and shown in status as enforced."""

    memory: ByteSize = Field(64 * 2**20, ge=2**16, description="Linear memory of one instance, in total.")
    timeout: Seconds = Field(
        1.0, gt=0, description="Longest answer (of one that flows: time without a byte); then 504, and a new instance."
    )
    start_timeout: Seconds = Field(5.0, gt=0, description="Longest start of an instance.")
    fuel: int | None = Field(
        None, strict=True, ge=1, description="About as many instructions for one request; none: not counted."
    )
    queue: Count = Field(128, description="Requests that may wait for an instance; one more is answered 503.")
    queue_timeout: Seconds = Field(1.0, description="Longest wait for an instance; then 503.")
    request_bytes: ByteSize = Field(2**20, description="Largest request body, also if it flows; more is answered 413.")
    response_bytes: ByteSize = Field(
        8 * 2**20, description="Largest response body; more is answered 502, or cut off where it flows."
    )


class PoolOptions(Part):
    """How the pool keeps its instances."""

    max_invocations: int | None = Field(
        None, strict=True, ge=1, description="Replace an instance after that many requests."
    )
    reuse: int = Field(
        1, strict=True, ge=1, description="HTTP components: answer that many requests before memory is made anew."
    )


class Rollout(Part):
    """How a change of revision happens."""

    drain_timeout: Seconds = Field(10.0, description="How long old instances may finish their requests.")
    auto_revert: bool = Field(True, strict=True, description="Go back to the last good revision if a new one fails.")
    min_healthy_time: Seconds = Field(2.0, description="How long a new revision is watched before it is good.")


class Spec(Part):
    """What should run."""

    route: Name | None = Field(
        None, description="What requests name; plugins with one route form a group. Default: the name."
    )
    filters: tuple[Name, ...] = Field(
        (),
        max_length=MAX_FILTERS,
        description="Proxy-wasm plugins, by name, that each request passes in this order, and its answer in the other.",
    )
    instances: Count = Field(1, description="Instances to keep ready; 0 scales to zero.")
    suspend: bool = Field(False, strict=True, description="Leave what runs as it is; changes wait.")
    engine: Literal["wasmtime", "wasmer", "v8"] = Field(
        "wasmtime", description="wasmer and v8 are accepted and run by wasmtime."
    )
    abi: Literal["auto", "proxy-wasm", "wasi-command", "wasi-http"] = Field(
        "auto", description="How the host talks to the module."
    )
    module: Module
    config: dict[str, Any] | str = Field(
        default_factory=dict, description="The plugin configuration that the guest reads."
    )
    env: tuple[EnvVar, ...] = Field((), description="The guest's environment.")
    capabilities: Capabilities = Field(default_factory=Capabilities)
    limits: Limits = Field(default_factory=Limits)
    pool: PoolOptions = Field(default_factory=PoolOptions)
    rollout: Rollout = Field(default_factory=Rollout)

    @model_validator(mode="after")
    def _filters_once(self) -> "Spec":
        repeated = next((name for name in self.filters if self.filters.count(name) > 1), None)
        if repeated is not None:
            raise ValueError(f"filters names {repeated!r} twice; a request passes each filter once")
        return self


class WasmPlugin(Part):
    """A plugin: one wasm module, kept running in a pool of instances, answering on a route."""

    api_version: Literal["wasm-reconciler.dev/v1alpha1"] = Field(API_VERSION)
    kind: Literal["WasmPlugin"] = KIND
    metadata: Metadata
    spec: Spec

    @model_validator(mode="after")
    def _no_filter_of_itself(self) -> "WasmPlugin":
        if self.metadata.name in self.spec.filters:
            raise ValueError(f"spec.filters names the plugin itself ({self.metadata.name!r})")
        return self

    @property
    def name(self) -> str:
        """The identity, `metadata.name`."""
        return self.metadata.name

    @property
    def route(self) -> str:
        """What requests name: `spec.route`, or the name where it is absent."""
        return self.spec.route or self.metadata.name

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data with wire names; fields that were not given are left out."""
        return {"apiVersion": self.api_version, "kind": self.kind} | self.model_dump(
            by_alias=True, exclude_unset=True, mode="json"
        )
