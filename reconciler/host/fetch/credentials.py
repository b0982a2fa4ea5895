"""User names and passwords for registries, from a file as `docker login` or a Kubernetes pull secret writes it.

`{"auths": {"REGISTRY": {"auth": BASE64("USER:PASSWORD")}}}`, or `username` and `password` in place of `auth`.
Credential helpers are not run.
"""

import base64
import binascii
import json
from pathlib import Path
from typing import Final

from reconciler.core.states import Reason
from reconciler.host.fetch.web import refused

_MAX_BYTES: Final = 2**20


class Credentials:
    """Reads the file anew each time, so that a rotated secret counts at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def basic(self, registry: str) -> str | None:
        """The value of an `Authorization: Basic` header for a registry; None where the file names none.

        Raises ModuleRefused where the file cannot be read.
        """
        try:
            with self._path.open("rb") as file:
                entries = json.loads(file.read(_MAX_BYTES))["auths"]
            entry = next((entry for name, entry in entries.items() if _registry(name) == registry), None)
            if entry is None:
                return None
            if "auth" in entry:
                pair = base64.b64decode(entry["auth"], validate=True)
            else:
                pair = f"{entry['username']}:{entry['password']}".encode()
        except OSError as error:
            raise refused(Reason.FETCH_FAILED, f"{self._path} cannot be read: {error.strerror}") from None
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
            message = f'{self._path} is no registry secret: it looks like {{"auths": {{REGISTRY: {{"auth": ...}}}}}}'
            raise refused(Reason.FETCH_FAILED, message) from None
        return f"Basic {base64.b64encode(pair).decode()}"


def _registry(name: str) -> str:
    """A key of `auths` as a registry: older tools write a url. Docker Hub's own key names its old API."""
    host = name.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return "docker.io" if host in ("index.docker.io", "registry-1.docker.io") else host
