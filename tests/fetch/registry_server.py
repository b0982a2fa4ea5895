"""A real OCI registry as a process, and pushing to it over its own protocol."""

import base64
import http.client
import io
import json
import re
import shutil
import subprocess
import tarfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import pytest

from tests.fetch.world import sha256

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
WASM = "application/wasm"

_CONFIG = """
version: 0.1
log: {{level: info, formatter: json, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {root}}}, delete: {{enabled: true}}}}
http: {{addr: "127.0.0.1:0", secret: none}}
{auth}
"""

# user:password, as `htpasswd -nbB` writes it
_PASSWORDS = "user:$2b$04$3JiqaUYcSuElih24aa7xKOROyGUIx9fyXAaaPGhbaSZ58h8C4BXPa\n"


class RegistryServer:
    """Debian's docker-registry on a free port, where it is installed. With `password`, it wants user:password."""

    def __init__(self, directory: Path, *, password: bool = False) -> None:
        if shutil.which("docker-registry") is None:
            pytest.skip("docker-registry is not installed (Debian: apt-get install docker-registry)")
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "htpasswd").write_text(_PASSWORDS)
        auth = f"auth: {{htpasswd: {{realm: test, path: {directory / 'htpasswd'}}}}}" if password else ""
        (directory / "config.yml").write_text(_CONFIG.format(root=directory / "data", auth=auth))
        self.directory = directory
        self._password = password
        log = directory / "log"
        with log.open("w") as output:
            self._process = subprocess.Popen(
                ["docker-registry", "serve", str(directory / "config.yml")], stdout=output, stderr=output
            )
        self.address = self._listening(log)

    def _listening(self, log: Path) -> str:
        deadline, pause = time.monotonic() + 20, threading.Event()
        while time.monotonic() < deadline:
            found = re.search(r"listening on (127\.0\.0\.1:\d+)", log.read_text())
            if found:
                return found[1]
            pause.wait(0.01)
        self._process.kill()
        raise AssertionError(f"docker-registry did not start: {log.read_text()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)

    def blob(self, repository: str, data: bytes) -> str:
        """Push a blob; its digest."""
        status, headers = self._send("POST", f"/v2/{repository}/blobs/uploads/")
        assert status == 202, status
        place = urlsplit(headers["location"])
        digest = sha256(data)
        status, _ = self._send("PUT", f"{place.path}?{place.query}&digest={digest}", data, "application/octet-stream")
        assert status == 201, status
        return digest

    def manifest(self, repository: str, tag: str, manifest: Mapping[str, Any]) -> str:
        """Push a manifest or index; its digest."""
        data = json.dumps(manifest).encode()
        status, _ = self._send("PUT", f"/v2/{repository}/manifests/{tag}", data, str(manifest["mediaType"]))
        assert status == 201, status
        return sha256(data)

    def image(
        self,
        repository: str,
        *layers: tuple[str, bytes],
        tag: str = "v1",
        annotations: Mapping[str, str] | None = None,
    ) -> str:
        """Push an image of (media type, content) layers; its manifest's digest."""
        config = self.blob(repository, b"{}")
        entries = [
            {"mediaType": kind, "digest": self.blob(repository, data), "size": len(data)} for kind, data in layers
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.wasm.config.v0+json", "digest": config, "size": 2},
            "layers": entries,
        }
        if annotations is not None:
            manifest["annotations"] = annotations
        return self.manifest(repository, tag, manifest)

    def tamper(self, digest: str, data: bytes) -> None:
        """Change stored content behind the registry's back."""
        algorithm, _, value = digest.partition(":")
        stored = self.directory / "data/docker/registry/v2/blobs" / algorithm / value[:2] / value / "data"
        stored.write_bytes(data)

    def _send(
        self, method: str, path: str, body: bytes | None = None, kind: str = "application/json"
    ) -> tuple[int, dict[str, str]]:
        connection = http.client.HTTPConnection(self.address, timeout=10)
        headers = {"Content-Type": kind}
        if self._password:
            headers["Authorization"] = f"Basic {base64.b64encode(b'user:password').decode()}"
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}


def archive(files: Mapping[str, bytes], *, packed: bool = True) -> bytes:
    """A container's layer."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz" if packed else "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return data.getvalue()
