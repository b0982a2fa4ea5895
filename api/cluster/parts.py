"""The following of a cluster, made of settings. For the composition root."""

import os
import socket
from collections.abc import Callable
from typing import Protocol

from api.cluster.client import ClusterClient, Pod, find_server
from api.cluster.follow import Follower, Member
from api.cluster.report import Desires, Reporter
from api.ports import StatusReader
from api.settings import ServeSettings
from specs.mirror import MirrorSource

FIRST_LIST_SECONDS = 5.0
"""How long a start waits for the cluster; after that it goes on with what it knew before."""


class Statuses(StatusReader, Protocol):
    """Statuses, read and followed."""

    def subscribe(self, listener: Callable[[frozenset[str]], None]) -> None:
        """Call back with the names whose status changed."""


class Cluster:
    """The parts of one cluster that is followed. `source` is what they fill."""

    def __init__(self, settings: ServeSettings) -> None:
        """Raises ValueError where `--kube` names nothing that can be followed."""
        pod = Pod(os.environ)
        server = find_server(settings.kube, settings.namespace, settings.kube_token, settings.kube_ca, pod)
        member = Member(settings.node or socket.gethostname(), settings.workload)
        client = ClusterClient(server, settings.kube_selector)
        self.source = MirrorSource(server.place, settings.state / "cluster.json")
        self._reporter = Reporter(client, self.source, member)
        self._follower = Follower(client, self.source, member, self._reporter)

    def follow(self, poke: Callable[[], None]) -> None:
        """Begin to fill the source; `poke` says that there is something to list."""
        self.source.on_change(poke)
        self._follower.start(FIRST_LIST_SECONDS)

    def report(self, desired: Desires, status: Statuses) -> None:
        """Begin to write back what is observed."""
        status.subscribe(self._reporter.note)
        self._reporter.start(desired, status)

    def stop(self) -> None:
        """End both. Stopping twice is fine."""
        self._follower.stop()
        self._reporter.stop()
