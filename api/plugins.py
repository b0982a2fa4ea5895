"""The plugins as objects, spec and status in one; the sources they come from; the events. Read only."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import falcon

from api.errors import ApiError
from api.ports import DesiredReader, EventReader, StatusReader
from specs.model import API_VERSION, KIND
from specs.store import Desired


class Plugins:
    """`GET /apis/wasm-reconciler.dev/v1alpha1/wasmplugins`."""

    def __init__(self, desired: DesiredReader, status: StatusReader) -> None:
        self._desired = desired
        self._status = status

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All plugins, by name."""
        statuses = self._status.list()
        snapshot = self._desired.list()
        resp.media = {
            "apiVersion": API_VERSION,
            "kind": f"{KIND}List",
            "metadata": {"resourceVersion": str(snapshot.resource_version)},
            "items": [as_object(entry, statuses.get(entry.name)) for entry in snapshot],
        }

    on_head = on_get


class Plugin:
    """`GET /apis/wasm-reconciler.dev/v1alpha1/wasmplugins/NAME`."""

    def __init__(self, desired: DesiredReader, status: StatusReader) -> None:
        self._desired = desired
        self._status = status

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """One plugin; 404 where it is not desired."""
        entry = self._desired.get(name)
        if entry is None:
            raise ApiError(404, f"{name} is not registered; GET the list to see the names there are")
        resp.media = as_object(entry, self._status.get(name))

    on_head = on_get


class Sources:
    """`GET /sources`: the files that plugins come from, and what is wrong with which."""

    def __init__(self, desired: DesiredReader) -> None:
        self._desired = desired

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All sources."""
        resp.media = {"items": [source.to_dict() for source in self._desired.sources()]}

    on_head = on_get


class Events:
    """`GET /events`: what happened, the oldest first. `?name=NAME` picks one plugin's."""

    def __init__(self, events: EventReader) -> None:
        self._events = events

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The remembered events."""
        name = req.get_param("name")
        resp.media = {"items": [event for event in self._events.list() if name in (None, event.get("name"))]}

    on_head = on_get


def as_object(entry: Desired, status: Mapping[str, Any] | None) -> dict[str, Any]:
    """Spec and status as one Kubernetes-shaped object."""
    written = entry.plugin.to_dict()
    written["metadata"] |= {
        "uid": entry.uid,
        "generation": entry.generation,
        "resourceVersion": str(entry.resource_version),
        "creationTimestamp": rfc3339(entry.created),
    }
    return written | {"status": dict(status or {})}


def rfc3339(seconds: float) -> str:
    """Epoch seconds as Kubernetes writes a time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
