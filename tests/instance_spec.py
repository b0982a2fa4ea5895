"""The spec of an instance that asks for nothing special, for tests that work below the spec files."""

from pathlib import Path

from reconciler.core.revision import InstanceLimits, InstanceSpec, ModuleSource
from reconciler.host.files import FileDigests


def instance_spec(plugin: str, path: Path, digests: FileDigests, **limits: float) -> InstanceSpec:
    """A plugin's instance of the module file at `path`; `limits` are in bytes and seconds, and override the usual."""
    sha, _ = digests.digests(str(path))
    bounds = {"memory": 2**24, "timeout": 5.0, "start_timeout": 5.0, "fuel": None} | limits
    return InstanceSpec(
        plugin,
        ModuleSource(sha, path=str(path)),
        "auto",
        "wasmtime",
        "{}",
        (),
        (),
        (),
        (),
        plugin,
        InstanceLimits(**bounds, request_bytes=2**20, response_bytes=2**20),  # type: ignore[arg-type]
    )
