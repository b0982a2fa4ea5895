"""How a wasm module lies in an OCI image. Pure: manifests in, descriptors out, and unpacking of a layer.

- One layer `application/wasm` (the CNCF's wasm artifact, written by wkg and wasmCloud).
- A layer `application/vnd.module.wasm.content.layer.v1+wasm`, with or without a configuration layer (Istio, `wasme`),
  or `application/vnd.wasm.content.layer.v1+wasm` (wasm-to-oci).
- A plain container image whose last layer that holds `plugin.wasm` counts (Istio's compatible variant).

An index leads to a manifest: the one for the architecture `wasm`, else the only one.
"""

import gzip
import io
import json
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from reconciler.core.states import Reason
from reconciler.host.fetch.web import refused
from reconciler.host.files import MAX_MODULE_BYTES

INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_WASM: Final = frozenset(
    (
        "application/wasm",
        "application/vnd.module.wasm.content.layer.v1+wasm",
        "application/vnd.wasm.content.layer.v1+wasm",
    )
)
_ARCHIVES: Final = frozenset(
    (
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar",
    )
)
_FILE: Final = "plugin.wasm"


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A blob or a manifest by its digest; `size` in bytes, as the manifest says."""

    digest: str
    size: int
    media_type: str
    architecture: str = ""

    @property
    def archive(self) -> bool:
        """Whether the module lies in an archive, as `plugin.wasm`."""
        return self.media_type in _ARCHIVES


@dataclass(frozen=True, slots=True)
class Manifest:
    """An image's manifest, or an index of such: `manifests` is then not empty."""

    layers: tuple[Descriptor, ...]
    manifests: tuple[Descriptor, ...]
    annotations: Mapping[str, str]

    @classmethod
    def parse(cls, text: bytes, place: str) -> "Manifest":
        """Raises ModuleRefused for what is no manifest. `place` names the image."""
        try:
            data = json.loads(text)
            layers = tuple(map(_descriptor, data.get("layers") or ()))
            manifests = tuple(map(_descriptor, data.get("manifests") or ()))
            annotations = {str(name): str(value) for name, value in (data.get("annotations") or {}).items()}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise refused(Reason.FETCH_FAILED, f"{place}: its manifest is malformed") from None
        if not layers and not manifests:
            raise refused(Reason.FETCH_FAILED, f"{place}: its manifest lists no layers; is it of schema version 1?")
        return cls(layers, manifests, annotations)

    def choose(self, place: str) -> Descriptor:
        """The manifest of an index that holds the module. Raises ModuleRefused."""
        wasm = [manifest for manifest in self.manifests if manifest.architecture == "wasm"]
        real = [manifest for manifest in self.manifests if manifest.architecture != "unknown"]  # no attestations
        found = wasm or real
        if len(found) != 1:
            kinds = ", ".join(sorted({manifest.architecture or "any" for manifest in self.manifests}))
            message = f"{place} is an index ({kinds}) in which not one manifest is for wasm: name its digest instead"
            raise refused(Reason.FETCH_FAILED, message)
        return found[0]

    def candidates(self, place: str) -> tuple[Descriptor, ...]:
        """The layers that may hold the module, the likeliest first. Raises ModuleRefused."""
        wasm = tuple(layer for layer in self.layers if layer.media_type in _WASM)
        if len(wasm) > 1:
            raise refused(Reason.FETCH_FAILED, f"{place} holds {len(wasm)} wasm modules; an image holds one")
        found = wasm or tuple(layer for layer in reversed(self.layers) if layer.archive)
        if not found:
            kinds = ", ".join(sorted({layer.media_type for layer in self.layers}))
            raise refused(Reason.FETCH_FAILED, f"{place} holds no wasm module: its layers are {kinds}")
        for layer in found:
            if layer.size > MAX_MODULE_BYTES:
                message = f"{place}: a layer has {layer.size} bytes; a module has at most {MAX_MODULE_BYTES}"
                raise refused(Reason.TOO_LARGE, message)
        return found


def _descriptor(data: Mapping[str, Any]) -> Descriptor:
    platform = data.get("platform") or {}
    return Descriptor(
        str(data["digest"]), int(data["size"]), str(data.get("mediaType", "")), str(platform.get("architecture", ""))
    )


class _Bounded(io.RawIOBase):
    """The unpacked bytes of an archive, at most so many: what is small when packed may be huge."""

    def __init__(self, inner: Any, left: int, place: str) -> None:
        self._inner = inner
        self._left = left
        self._place = place

    def read(self, size: int = -1) -> bytes:
        """As a file's read. Raises ModuleRefused past the bound."""
        data: bytes = self._inner.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise refused(Reason.TOO_LARGE, f"{self._place}: a layer unpacks to more than a module may have")
        return data


def unpack(layer: bytes, place: str, limit: int = MAX_MODULE_BYTES) -> bytes | None:
    """`plugin.wasm` in an archive, of at most `limit` bytes; None where it holds none. Raises ModuleRefused."""
    packed = layer[:2] == b"\x1f\x8b"
    inner = gzip.GzipFile(fileobj=io.BytesIO(layer)) if packed else io.BytesIO(layer)
    try:
        with tarfile.open(fileobj=_Bounded(inner, 2 * limit, place), mode="r|") as archive:
            for member in archive:
                if member.isfile() and member.name.removeprefix("./") == _FILE and member.size <= limit:
                    file = archive.extractfile(member)
                    return None if file is None else file.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise refused(Reason.FETCH_FAILED, f"{place}: a layer is no archive: {error}") from None
    return None
