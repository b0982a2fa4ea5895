"""The loop that follows: list, then watch from there; after a failure wait, after 410 list anew, and from time to time.

Belongs here: the order of requests. Does not: how they are made (client.py), how long the waits are (pace.py), what the
objects mean (`specs.mirror`).
"""

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from api.cluster import pace
from api.cluster.client import ClusterClient, ClusterError, Expired
from specs.errors import SpecError
from specs.mirror import MirrorSource
from specs.model import API_GROUP

NODE_LABEL: Final = f"{API_GROUP}/node"
WORKLOAD_LABEL: Final = f"{API_GROUP}/workload"

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Member:
    """Who follows: the node's name, unique among followers, and the workload it is of (empty: none)."""

    node: str
    workload: str = ""

    def takes(self, found: Mapping[str, Any]) -> bool:
        """Whether an object is meant for this one: it names no node or workload by its labels, or these."""
        labels = found["metadata"].get("labels") or {}
        return labels.get(NODE_LABEL, self.node) == self.node and (
            WORKLOAD_LABEL not in labels or labels[WORKLOAD_LABEL] == self.workload
        )


class Observer(Protocol):
    """Is told of objects as they are in the cluster."""

    def saw(self, found: Mapping[str, Any]) -> None:
        """An object of this member's, with its status."""

    def saw_gone(self, name: str) -> None:
        """There is no such object for this member."""


class Follower:
    """Keeps a mirror up to date, on a thread called `cluster`."""

    def __init__(
        self,
        client: ClusterClient,
        mirror: MirrorSource,
        member: Member,
        observer: Observer,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._client = client
        self._mirror = mirror
        self._member = member
        self._observer = observer
        self._chance = chance
        self._version = ""
        self._failures = 0
        self._opened = math.inf
        self._stopping = threading.Event()
        self._listed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="cluster", daemon=True)

    def start(self, wait: float) -> None:
        """Begin, and wait `wait` seconds at most for the first list or the first failure."""
        self._thread.start()
        self._listed.wait(wait)

    def stop(self) -> None:
        """End. Stopping twice is fine."""
        self._stopping.set()
        self._client.abort()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        resync = 0.0
        while not self._stopping.is_set():
            self._opened = math.inf
            try:
                if not self._version or time.monotonic() >= resync:
                    self._list()
                    resync = time.monotonic() + pace.resync_delay(self._chance)
                self._watch()
            except Expired:
                self._version = ""
                self._stopping.wait(pace.relist_delay(self._chance))
            except ClusterError as ex:
                if time.monotonic() >= self._opened + pace.SHORTEST_WATCH:
                    self._failures = 0
                self._failures += 1
                self._fail(ex, first=self._failures == 1)
                self._stopping.wait(pace.retry_delay(self._failures, self._chance))
        self._save()

    def _list(self) -> None:
        listed = self._client.list()
        mine = [found for found in listed.items if self._member.takes(found)]
        for found in mine:
            self._observer.saw(found)
        self._mirror.replace(mine)
        self._listed.set()
        self._save()
        self._version, self._failures = listed.version, 0

    def _watch(self) -> None:
        """Until the watch has had its time. ClusterError for one that ended at once and told nothing.

        Some proxies answer 200 and close; asking again without a wait would never end.
        """
        before = self._version
        for event in self._client.watch(before, pace.watch_seconds(self._chance), self._hear):
            self._take(event)
            self._failures = 0
        if time.monotonic() >= self._opened + pace.SHORTEST_WATCH:
            self._failures = 0
        elif self._version == before:
            raise ClusterError("the watch ended at once")

    def _hear(self) -> None:
        """A watch is open: what is known is what there is."""
        self._opened = time.monotonic()
        self._mirror.fail("")

    def _take(self, event: Mapping[str, Any]) -> None:
        found = event["object"]
        self._version = str(found["metadata"]["resourceVersion"])
        if event["type"] == "BOOKMARK":
            self._save()
            return
        name = str(found["metadata"]["name"])
        if event["type"] != "DELETED" and self._member.takes(found):
            self._observer.saw(found)
            self._mirror.put(name, found)
        else:
            self._observer.saw_gone(name)
            self._mirror.put(name, None)

    def _fail(self, ex: ClusterError, *, first: bool) -> None:
        if not self._stopping.is_set():
            self._mirror.fail(str(ex))
            self._listed.set()
            if first:
                _log.warning("%s: %s; what runs goes on", self._mirror.id, ex)

    def _save(self) -> None:
        try:
            self._mirror.save()
        except SpecError as ex:
            _log.warning("what %s says cannot be kept for a start without it: %s", self._mirror.id, ex)
