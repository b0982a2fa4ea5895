"""`GET /node`: the daemon itself, as tools need to know it: where it listens, on what it runs, how far it can go."""

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

import falcon

from api.settings import ServeSettings
from api.streaming import App
from api.version import version

_MAPS: Final = Path("/proc/sys/vm/max_map_count")


@dataclass(frozen=True, slots=True)
class NodeParts:
    """`listen` and `admin` give the addresses that are listened on; `polling` why file events are not had, or ''."""

    settings: ServeSettings
    listen: Callable[[], str]
    admin: Callable[[], str]
    polling: Callable[[], str]


class Node:
    """The endpoint."""

    def __init__(self, parts: NodeParts) -> None:
        self._parts = parts

    def install(self, app: App) -> None:
        """Mount it (Face)."""
        app.add_route("/node", self)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All of it."""
        settings = self._parts.settings
        resp.media = {
            "version": version(),
            "listen": self._parts.listen(),
            "tls": settings.tls_cert is not None,
            "admin": self._parts.admin(),
            "pid": os.getpid(),
            "python": platform.python_version(),
            "wasmtime": metadata.version("wasmtime"),
            "state": str(settings.state.absolute()),
            "moduleRoot": str(settings.module_root.absolute()),
            "fileEvents": self._parts.polling(),
            "maxMaps": max_maps(),
        }


def max_maps() -> int | None:
    """Memory maps that a process may have, which bounds its instances; None where the system does not say."""
    try:
        return int(_MAPS.read_text())
    except (OSError, ValueError):
        return None
