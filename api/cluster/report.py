"""What is observed here, written back: this node's own entry in the status of each object that it follows.

Every node applies one entry, whose key is its name, under a field manager of its own: no two ever fight. What the
object says of this node is compared with what is so, whenever either changes: a hub that forgot is told again.

Belongs here: the entry, when it is written. Does not: how (client.py), what the rest of the status says.
"""

import hashlib
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from api.cluster import pace
from api.cluster.client import ClusterClient, ClusterError, Refused
from api.cluster.follow import Member
from api.ports import StatusReader, condition
from specs.mirror import MirrorSource
from specs.store import Desired

LONGEST_MESSAGE: Final = 256
LONGEST_MANAGER: Final = 128
"""Characters of a field manager's name, as Kubernetes has it."""
_log: Final = logging.getLogger(__name__)

Entry = Mapping[str, Any]


def manager_of(node: str) -> str:
    """The field manager of a node's entries: two nodes never have the same, however long their names."""
    name = f"wasm-reconciler/{node}"
    if len(name) <= LONGEST_MANAGER:
        return name
    return f"wasm-reconciler/{hashlib.sha256(node.encode()).hexdigest()}"


class Desires(Protocol):
    """Desired state, read."""

    def get(self, name: str) -> Desired | None:
        """The plugin of that identity."""


class Reporter:
    """Writes entries, on a thread called `cluster-status`. An `api.cluster.follow.Observer`."""

    def __init__(
        self,
        client: ClusterClient,
        mirror: MirrorSource,
        member: Member,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._mirror = mirror
        self._member = member
        self._chance = chance
        self._manager = manager_of(member.node)
        self._changed = threading.Condition()
        self._due: dict[str, float] = {}
        self._told: dict[str, Entry | None] = {}
        self._nodes: dict[str, int] = {}
        self._written: dict[str, float] = {}
        self._failures = 0
        self._stopping = False
        self._desired: Desires | None = None
        self._status: StatusReader | None = None
        self._thread = threading.Thread(target=self._run, name="cluster-status", daemon=True)

    def start(self, desired: Desires, status: StatusReader) -> None:
        """Begin."""
        self._desired, self._status = desired, status
        self._thread.start()

    def stop(self) -> None:
        """End. Stopping twice is fine."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    def note(self, names: frozenset[str]) -> None:
        """The status of these may have changed."""
        now = time.monotonic()
        with self._changed:
            for name in names & self._told.keys():
                self._due.setdefault(name, now + pace.report_delay(self._nodes.get(name, 1), self._chance))
            self._changed.notify_all()

    def saw(self, found: Mapping[str, Any]) -> None:
        """See Observer."""
        name = str(found["metadata"]["name"])
        entries = (found.get("status") or {}).get("nodes") or []
        mine = next((dict(entry) for entry in entries if entry.get("node") == self._member.node), None)
        with self._changed:
            self._told[name] = mine
            self._nodes[name] = max(1, len(entries))
        self.note(frozenset((name,)))

    def saw_gone(self, name: str) -> None:
        """See Observer."""
        with self._changed:
            for known in (self._told, self._nodes, self._written, self._due):
                known.pop(name, None)

    def _run(self) -> None:
        while (name := self._next()) is not None:
            entry = self._entry(name)
            fresh = time.monotonic() < self._written.get(name, -pace.REFRESH) + pace.REFRESH
            if entry is None or (fresh and entry == self._told.get(name)):
                continue
            try:
                self._client.apply_status(name, self._manager, {"nodes": [entry]})
            except Refused as ex:
                if ex.status != 404:  # it is gone, and the watch will tell
                    self._retry(name, ex)
            except ClusterError as ex:
                self._retry(name, ex)
            else:
                self._failures = 0
                with self._changed:
                    if name in self._told:
                        self._told[name] = entry
                        self._written[name] = time.monotonic()

    def _next(self) -> str | None:
        """Wait until a name is due; None: stop."""
        with self._changed:
            while not self._stopping:
                name = min(self._due, key=self._due.__getitem__, default=None)
                now = time.monotonic()
                if name is not None and self._due[name] <= now:
                    del self._due[name]
                    return name
                self._changed.wait(None if name is None else self._due[name] - now)
        return None

    def _retry(self, name: str, ex: ClusterError) -> None:
        self._failures += 1
        if self._failures == 1:
            _log.warning("the status of %s was not written to %s: %s", name, self._mirror.id, ex)
        due = time.monotonic() + pace.retry_delay(self._failures, self._chance)
        with self._changed:
            # One that cannot be written now is a reason for the others to wait as well.
            self._due = {other: max(at, due) for other, at in self._due.items()} | {name: due}

    def _entry(self, name: str) -> Entry | None:
        """What is so here of a plugin; None where that cannot be said, or is somebody else's to say."""
        assert self._desired is not None
        assert self._status is not None
        desired, status = self._desired.get(name), self._status.get(name)
        if desired is None or status is None or desired.owner.source != self._mirror.id:
            return None
        if status["observedGeneration"] != desired.generation:
            return None
        ready = condition(status, "Ready") or {}
        return {
            "node": self._member.node,
            **({"workload": self._member.workload} if self._member.workload else {}),
            "observedGeneration": self._mirror.generation(name),
            "desired": status["instances"]["desired"],
            "ready": status["instances"]["ready"],
            "revision": status["revision"]["serving"],
            "status": ready.get("status", "Unknown"),
            "reason": ready.get("reason", ""),
            "message": str(ready.get("message", ""))[:LONGEST_MESSAGE],
            "lastTransitionTime": ready.get("lastTransitionTime", ""),
        }
