"""The Kubernetes API put together: caches on feeds, resources on routes.

Belongs here: which parts there are and where they are mounted. Does not: what they do.
"""

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from api.errors import serialize
from api.kube.access import AccessReview, AllowServed, Authorizer, RulesReview
from api.kube.cache import WatchCache
from api.kube.discovery import CoreVersions, Group, Groups, GroupVersion, Version, group_names
from api.kube.errors import serializer
from api.kube.feeds import DesiredState, EventFeed, History, NamespaceFeed, PluginFeed, Statuses
from api.kube.nodes import NodeStatuses
from api.kube.numbers import Numbers
from api.kube.openapi import OpenApi
from api.kube.ownership import Ownership
from api.kube.plugins import PLUGIN_FIELDS, Plugin, Plugins, Scale, Status
from api.kube.reads import Collection, Kind, Reader, Single
from api.kube.resources import (
    ACCESS_REVIEWS,
    CORE_EVENTS,
    EVENTS,
    NAMESPACES,
    PLUGINS,
    RESOURCES,
    RULES_REVIEWS,
    Resource,
)
from api.kube.table import EVENT_COLUMNS, NAMESPACE_COLUMNS, Latency, plugin_columns
from api.kube.watch import WatchPlaces
from api.kube.writes import PluginWrites, Writer
from api.streaming import App

_EVENT_FIELDS: Final = re.compile(
    r"metadata\.(name|namespace)|(involvedObject|regarding)\.(kind|namespace|name|uid|apiVersion|resourceVersion|fieldPath)"
    r"|reason|type|source\.component|reportingComponent|reportingController"
)
_NAME_FIELDS: Final = re.compile(r"metadata\.name|status\.phase")


@dataclass(frozen=True, slots=True)
class KubeParts:
    """What the API is made over. `state` is the daemon's own directory; `watches`: how many may be open at once."""

    desired: DesiredState
    writer: Writer
    status: Statuses
    events: History
    latency: Latency
    state: Path
    namespace: str
    watches: int
    version: str


class KubeApi:
    """The Kubernetes API. Raises OSError or sqlite3.Error where its file in the state directory cannot be used."""

    def __init__(self, parts: KubeParts, authorizer: Authorizer | None = None) -> None:
        self._parts = parts
        self._authorizer = authorizer or AllowServed()
        self._ownership = Ownership(parts.state / "managed-fields.sqlite3", time.time)
        numbers = Numbers(self._ownership.first_number)
        self._nodes = NodeStatuses(time.monotonic)
        self._feed = PluginFeed(parts.desired, parts.status, self._nodes, self._ownership, parts.namespace)
        plugins = WatchCache(self._feed, numbers)
        core = EventFeed(parts.events, parts.desired, CORE_EVENTS, parts.namespace)
        events = EventFeed(parts.events, parts.desired, EVENTS, parts.namespace)
        self._plugins = Kind(PLUGINS, plugins, plugin_columns(parts.latency), PLUGIN_FIELDS)
        self._read_only = (
            Kind(CORE_EVENTS, WatchCache(core, numbers), EVENT_COLUMNS, _EVENT_FIELDS),
            Kind(EVENTS, WatchCache(events, numbers), EVENT_COLUMNS, _EVENT_FIELDS),
            Kind(
                NAMESPACES,
                WatchCache(NamespaceFeed(parts.namespace, time.time()), numbers),
                NAMESPACE_COLUMNS,
                _NAME_FIELDS,
            ),
        )
        self._follow(core, events)

    def install(self, app: App) -> None:
        """Mount everything on the admin app."""
        app.set_error_serializer(serializer(serialize))
        reader = Reader(self._parts.namespace, WatchPlaces(self._parts.watches))
        self._mount_discovery(app)
        self._mount_plugins(app, reader)
        for kind in self._read_only:
            for path in kind.resource.paths():
                app.add_route(path, Collection(kind, reader))
            own = "{name}" if kind.resource.namespaced else "{namespace}"
            app.add_route(f"{kind.resource.paths()[-1]}/{own}", Single(kind, reader))
        _mount_review(app, ACCESS_REVIEWS, AccessReview(self._authorizer, self._parts.namespace))
        _mount_review(app, RULES_REVIEWS, RulesReview(self._authorizer))

    def end_watches(self) -> None:
        """Let all watches end, so that the server can stop. Idempotent."""
        for kind in (self._plugins, *self._read_only):
            kind.cache.close()

    def close(self) -> None:
        """Close the file. Nothing may be asked of it any more."""
        self._ownership.close()

    def _follow(self, *event_feeds: EventFeed) -> None:
        """Let everything that changes poke the caches."""

        def plugins_changed(names: frozenset[str]) -> None:
            self._feed.note(names)
            self._plugins.cache.poke()

        def event_happened() -> None:
            for feed in event_feeds:
                feed.note()
            for kind in self._read_only:
                kind.cache.poke()

        self._parts.desired.subscribe(plugins_changed)
        self._parts.status.subscribe(plugins_changed)
        # Reads see what nodes say at once; watches within a second, as it comes from many and concerns few.
        self._nodes.subscribe(self._feed.note)
        self._parts.events.subscribe(event_happened)
        # What changed between the feed's first look and the subscription is looked at once more.
        self._feed.note(frozenset(self._parts.desired.list().plugins))

    def _mount_discovery(self, app: App) -> None:
        app.add_route("/api", CoreVersions())
        app.add_route("/apis", Groups())
        for name in group_names():
            app.add_route(f"/apis/{name}", Group(name))
        for base, api_version in {resource.base: resource.api_version for resource in RESOURCES}.items():
            app.add_route(base, GroupVersion(api_version))
        app.add_route("/version", Version(self._parts.version))
        openapi = OpenApi(self._parts.version)
        app.add_route("/openapi/v2", openapi, suffix="v2")
        app.add_route("/openapi/v3", openapi, suffix="index")
        app.add_route("/openapi/v3/{name:path}", openapi, suffix="v3")

    def _mount_plugins(self, app: App, reader: Reader) -> None:
        parts = self._parts
        writes = PluginWrites(
            desired=parts.desired,
            writer=parts.writer,
            cache=self._plugins.cache,
            feed=self._feed,
            ownership=self._ownership,
            namespace=parts.namespace,
        )
        plugin = Plugin(self._plugins, reader, writes)
        status = Status(self._plugins, reader, self._nodes)
        for path in PLUGINS.paths():
            app.add_route(path, Plugins(self._plugins, reader, writes))
            app.add_route(f"{path}/{{name}}", plugin)
            app.add_route(f"{path}/{{name}}/status", status)
            app.add_route(f"{path}/{{name}}/scale", Scale(self._plugins, reader, writes))


def _mount_review(app: App, resource: Resource, review: AccessReview | RulesReview) -> None:
    app.add_route(resource.paths()[0], review)
