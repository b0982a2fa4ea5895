"""Where the watch caches' objects come from: desired state and status, the event log, the one namespace.

Belongs here: making API objects, and knowing which may have changed. Does not: versions and history (cache.py).
"""

import hashlib
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from api.kube.nodes import NodeStatuses
from api.kube.ownership import Ownership
from api.kube.resources import CORE_EVENTS, EVENTS, Resource
from api.ports import StatusReader
from specs.model import API_VERSION, KIND, WasmPlugin
from specs.store import Desired, Snapshot

Listener = Callable[[frozenset[str]], None]


class DesiredState(Protocol):
    """Desired state, read and followed."""

    def get(self, name: str) -> Desired | None:
        """The plugin of that identity."""

    def list(self) -> Snapshot:
        """All plugins at one moment, by name."""

    def subscribe(self, callback: Listener) -> None:
        """Call back with the names that changed."""


class Statuses(StatusReader, Protocol):
    """Statuses, read and followed."""

    def subscribe(self, listener: Listener) -> None:
        """Call back with the names whose status changed."""


class History(Protocol):
    """Events, read and followed."""

    def list(self) -> Sequence[Mapping[str, Any]]:
        """The remembered events, the oldest first, as JSON-able data."""

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call back after each event."""


def rfc3339(seconds: float) -> str:
    """Epoch seconds as Kubernetes writes a time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(seconds: float) -> str:
    """Epoch seconds as Kubernetes writes a MicroTime."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def owned_data(plugin: WasmPlugin) -> dict[str, Any]:
    """The part of a plugin whose fields have owners: labels, annotations, spec."""
    written = plugin.to_dict()
    metadata = {key: written["metadata"][key] for key in ("labels", "annotations") if written["metadata"].get(key)}
    return ({"metadata": metadata} if metadata else {}) | {"spec": written["spec"]}


class PluginFeed:
    """Plugins: spec, status and owners as one object. `note` may be called from any thread, `changes` by one."""

    def __init__(
        self, desired: DesiredState, status: Statuses, nodes: NodeStatuses, ownership: Ownership, namespace: str
    ) -> None:
        self._desired = desired
        self._status = status
        self._nodes = nodes
        self._ownership = ownership
        self._namespace = namespace
        self._lock = threading.Lock()
        self._noted: set[str] = set(desired.list().plugins)

    def note(self, names: frozenset[str]) -> None:
        """These may have changed."""
        with self._lock:
            self._noted |= names

    def changes(self) -> Iterable[tuple[str, dict[str, Any] | None]]:
        """See `cache.Feed`."""
        if not self._noted:
            return
        with self._lock:
            names, self._noted = self._noted, set()
        for name in sorted(names):
            entry = self._desired.get(name)
            if entry is None:
                self._ownership.forget(name)
                self._nodes.forget(frozenset(one.uid for one in self._desired.list()))
                yield name, None
            else:
                yield name, self.object(entry)

    def object(self, entry: Desired) -> dict[str, Any]:
        """A plugin as an API object, without its version."""
        owned = owned_data(entry.plugin)
        created = rfc3339(entry.created)
        managers = self._ownership.of(entry.name, entry.uid, created, owned)
        metadata = {
            "name": entry.name,
            "namespace": self._namespace,
            "uid": entry.uid,
            "generation": entry.generation,
            "creationTimestamp": created,
            **owned.get("metadata", {}),
            "managedFields": [manager.entry() for manager in managers],
        }
        status = dict(self._status.get(entry.name) or {})
        nodes = self._nodes.of(entry.uid)
        if nodes:
            status["nodes"] = nodes
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": metadata,
            "spec": owned["spec"],
            "status": status,
        }


class EventFeed:
    """Events about plugins, in the shape of the core group or of events.k8s.io."""

    def __init__(self, history: History, desired: DesiredState, resource: Resource, namespace: str) -> None:
        self._history = history
        self._desired = desired
        self._resource = resource
        self._namespace = namespace
        self._dirty = True
        self._seen: dict[str, tuple[int, float]] = {}
        self._uids: dict[str, str] = {}

    def note(self) -> None:
        """There is a new event."""
        self._dirty = True

    def changes(self) -> Iterable[tuple[str, dict[str, Any] | None]]:
        """See `cache.Feed`."""
        if not self._dirty:
            return
        self._dirty = False
        events = {_event_name(event): event for event in self._history.list()}
        for name in self._seen.keys() - events.keys():
            del self._seen[name]
            yield name, None
        for name, event in events.items():
            state = (event["count"], event["lastTimestamp"])
            if self._seen.get(name) != state:
                self._seen[name] = state
                yield name, self._object(name, event)
        about = {event["name"] for event in events.values()}
        self._uids = {name: uid for name, uid in self._uids.items() if name in about}

    def _object(self, name: str, event: Mapping[str, Any]) -> dict[str, Any]:
        about = event["name"]
        entry = self._desired.get(about)
        if entry is not None:
            self._uids[about] = entry.uid
        reference = {"kind": event["kind"], "namespace": self._namespace, "name": about, "apiVersion": API_VERSION}
        if about in self._uids:
            reference["uid"] = self._uids[about]
        first, last = event["firstTimestamp"], event["lastTimestamp"]
        metadata = {
            "name": name,
            "namespace": self._namespace,
            "uid": name.rpartition(".")[2],
            "creationTimestamp": rfc3339(first),
        }
        common = {"reason": event["reason"], "type": event["type"], "action": event["reason"]}
        if self._resource is CORE_EVENTS:
            return {
                "apiVersion": "v1",
                "kind": "Event",
                "metadata": metadata,
                "involvedObject": reference,
                **common,
                "message": event["note"],
                "source": {"component": "wasm-reconciler"},
                "firstTimestamp": rfc3339(first),
                "lastTimestamp": rfc3339(last),
                "count": event["count"],
                "eventTime": None,
                "reportingComponent": "wasm-reconciler",
                "reportingInstance": "",
            }
        series = {"count": event["count"], "lastObservedTime": rfc3339_micro(last)}
        return {
            "apiVersion": EVENTS.api_version,
            "kind": "Event",
            "metadata": metadata,
            "eventTime": rfc3339_micro(first),
            **({"series": series} if event["count"] > 1 else {}),
            "reportingController": "wasm-reconciler",
            "reportingInstance": "wasm-reconciler",
            **common,
            "regarding": reference,
            "note": event["note"],
            "deprecatedSource": {"component": "wasm-reconciler"},
            "deprecatedFirstTimestamp": rfc3339(first),
            "deprecatedLastTimestamp": rfc3339(last),
            "deprecatedCount": event["count"],
        }


def _event_name(event: Mapping[str, Any]) -> str:
    """The same for the same event each time it repeats."""
    text = "\0".join((event["kind"], event["name"], event["reason"], event["note"]))
    return f"{event['name']}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class NamespaceFeed:
    """The one namespace. It never changes."""

    def __init__(self, namespace: str, started: float) -> None:
        self._name = namespace
        self._started = started
        self._told = False

    def changes(self) -> Iterable[tuple[str, dict[str, Any] | None]]:
        """See `cache.Feed`."""
        if self._told:
            return
        self._told = True
        metadata = {
            "name": self._name,
            "uid": hashlib.sha256(self._name.encode()).hexdigest()[:32],
            "creationTimestamp": rfc3339(self._started),
            "labels": {"kubernetes.io/metadata.name": self._name},
        }
        yield (
            self._name,
            {
                "apiVersion": "v1",
                "kind": "Namespace",
                "metadata": metadata,
                "spec": {"finalizers": []},
                "status": {"phase": "Active"},
            },
        )
