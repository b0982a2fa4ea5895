"""Changing plugins: from what a client sent to the file that owns the plugin.

Every write reads the object, works out what it shall be, checks it, and hands it to `specs.writer` together with the
version that it was worked out from. Who owns which fields is recorded beside it. `dryRun` does all but the last step.

Belongs here: the semantics of create, update, patch, apply, delete. Does not: HTTP (plugins.py).
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from api.kube.cache import Item, WatchCache
from api.kube.decode import Decoded, decode, identify, without_nulls
from api.kube.errors import KubeError, already_exists, bad_request, conflict, from_spec, not_found, stale
from api.kube.feeds import PluginFeed, owned_data, rfc3339
from api.kube.fields import NotFields
from api.kube.managers import APPLY, UPDATE, ApplyConflict, Manager, Managers, applied, apply_owners, updated
from api.kube.managers import decode as decode_managers
from api.kube.ownership import Ownership
from api.kube.requests import Body, WriteOptions
from api.kube.resources import PLUGINS
from specs.errors import SpecConflict, SpecError
from specs.model import WasmPlugin
from specs.store import Desired
from specs.writer import Change

ATTEMPTS: Final = 5
"""How often a write that does not insist on a version is worked out anew when the object changed meanwhile."""

Object = Mapping[str, Any]


class Reader(Protocol):
    """Desired state, read."""

    def get(self, name: str) -> Desired | None:
        """The plugin of that identity."""


class Writer(Protocol):
    """Desired state, changed; see `specs.writer`. All raise SpecError."""

    def create(self, plugin: WasmPlugin) -> Change:
        """Add a plugin."""

    def replace(self, plugin: WasmPlugin, expected_resource_version: int | None = None) -> Change:
        """Make a plugin another one of the same name."""

    def delete(self, name: str, expected_resource_version: int | None = None) -> Change:
        """Remove a plugin."""


@dataclass(frozen=True, slots=True)
class Written:
    """The object as it is after the write (or would be), and what to say in Warning headers."""

    item: Item
    warnings: tuple[str, ...] = ()
    created: bool = False


@dataclass(frozen=True, slots=True)
class _Draft:
    """What an object shall be: the plugin, and who then owns its fields."""

    decoded: Decoded
    managers: Managers


class PluginWrites:
    """Writes plugins. For any thread: the store's writer puts the writes in a row."""

    def __init__(
        self,
        *,
        desired: Reader,
        writer: Writer,
        cache: WatchCache,
        feed: PluginFeed,
        ownership: Ownership,
        namespace: str,
    ) -> None:
        self._desired = desired
        self._writer = writer
        self._cache = cache
        self._feed = feed
        self._ownership = ownership
        self._namespace = namespace
        self._lock = threading.Lock()

    def create(self, body: Body, options: WriteOptions) -> Written:
        """Add the plugin that the body describes. Raises KubeError."""
        data = identify(body.data, self._namespace)
        if data["metadata"].get("resourceVersion"):
            raise bad_request("resourceVersion should not be set on objects to be created")
        decoded = decode(data, options.validation, body.duplicates)
        managers = updated((), {}, owned_data(decoded.plugin), self._manager(options, UPDATE))
        return self._create(_Draft(decoded, managers), options)

    def update(
        self,
        name: str,
        change: Callable[[Object], Any],
        options: WriteOptions,
        *,
        duplicates: tuple[str, ...] = (),
        subresource: str = "",
    ) -> Written:
        """Make of a plugin what `change` makes of its object (which it must not change in place). Raises KubeError.

        A resourceVersion in the result is insisted on, if it is not empty.
        """

        def draft(item: Item, entry: Desired) -> _Draft:
            data = self._same_object(item, change(item.data))
            keep = entry.plugin.metadata.namespace is not None
            decoded = decode(data, options.validation, duplicates, keep_namespace=keep)
            managers = self._given_managers(item, data)
            by = self._manager(options, UPDATE, subresource)
            new = owned_data(decoded.plugin)
            return _Draft(decoded, updated(managers, owned_data(entry.plugin), new, by))

        return self._replace(name, draft, options)

    def apply(self, name: str, body: Body, options: WriteOptions) -> Written:
        """Server-side apply: the fields in the body are this manager's, and become what they say. Raises KubeError."""
        data = identify(body.data, self._namespace, name=name)
        if data["metadata"].get("managedFields"):
            raise bad_request("metadata.managedFields must be nil")
        metadata = without_nulls(data["metadata"])
        said = {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)}
        config = ({"metadata": said} if said else {}) | {"spec": without_nulls(data.get("spec", {}))}
        by = self._manager(options, APPLY)

        def draft(item: Item, entry: Desired) -> _Draft:
            self._same_object(item, data)
            live = owned_data(entry.plugin)
            managers = self._managers(item)
            result, fields = applied(managers, live, config, by.name)
            keep = entry.plugin.metadata.namespace is not None
            whole = {**data, **result, "metadata": {**data["metadata"], **_both(result)}}
            decoded = decode(whole, options.validation, body.duplicates, keep_namespace=keep)
            now = owned_data(decoded.plugin)
            owners = apply_owners(managers, live, now, fields, by, force=options.force)
            return _Draft(decoded, owners)

        if self._cache.get(name) is None:
            if metadata.get("resourceVersion") or metadata.get("uid"):
                raise conflict(PLUGINS, name, "it does not exist, although uid or resourceVersion say so")
            decoded = decode(data, options.validation, body.duplicates)
            _, fields = applied((), {}, config, by.name)
            try:
                owners = apply_owners((), {}, owned_data(decoded.plugin), fields, by, force=True)
                return self._create(_Draft(decoded, owners), options)
            except KubeError as ex:
                if ex.reason != "AlreadyExists":
                    raise
        return self._replace(name, draft, options)

    def delete(self, name: str, options: Object, *, dry_run: bool, check: Callable[[Object], None]) -> Item:
        """Remove a plugin; the object as it was. `options` are its DeleteOptions. Raises KubeError."""
        last: SpecConflict | None = None
        for _ in range(ATTEMPTS):
            item, entry = self._existing(name)
            check(item.data["metadata"])
            self._check_preconditions(item, options)
            if dry_run:
                return item
            try:
                self._writer.delete(name, entry.resource_version)
                return item
            except SpecConflict as ex:  # its file was changed in this moment
                last = ex
            except SpecError as ex:
                raise from_spec(PLUGINS, name, ex) from ex
        raise stale(PLUGINS, name) from last

    # --- the steps ---------------------------------------------------------------------------------------------------

    def _create(self, draft: _Draft, options: WriteOptions) -> Written:
        plugin = draft.decoded.plugin
        if self._desired.get(plugin.name) is not None:
            raise already_exists(PLUGINS, plugin.name)
        if options.dry_run:
            return Written(self._imagined(draft, None), draft.decoded.warnings, created=True)
        try:
            with self._lock:
                change = self._recorded(draft, None)
        except SpecError as ex:
            if isinstance(ex, SpecConflict) and self._desired.get(plugin.name) is not None:
                raise already_exists(PLUGINS, plugin.name) from ex
            raise from_spec(PLUGINS, plugin.name, ex) from ex
        if not change.changed:
            raise already_exists(PLUGINS, plugin.name)
        return Written(self._now(plugin.name), draft.decoded.warnings, created=True)

    def _replace(self, name: str, make: Callable[[Item, Desired], _Draft], options: WriteOptions) -> Written:
        last: SpecConflict | None = None
        for _ in range(ATTEMPTS):
            with self._lock:
                item, entry = self._existing(name)
                try:
                    draft = make(item, entry)
                    warnings = draft.decoded.warnings
                    if options.dry_run:
                        return Written(self._imagined(draft, entry), warnings)
                    if draft.managers != self._managers(item) or draft.decoded.plugin != entry.plugin:
                        self._recorded(draft, entry.resource_version)
                    return Written(self._now(name), warnings)
                except ApplyConflict as ex:
                    raise KubeError(409, ex.sentence(), details={"causes": ex.causes()}) from ex
                except SpecConflict as ex:  # its file was changed in this moment
                    last = ex
                except SpecError as ex:
                    raise from_spec(PLUGINS, name, ex) from ex
        raise stale(PLUGINS, name) from last

    def _recorded(self, draft: _Draft, version: int | None) -> Change:
        """Write, and record who owns what: a watcher sees both at once. `version` None: it is a new plugin."""
        plugin = draft.decoded.plugin
        data = owned_data(plugin)
        self._ownership.expect(plugin.name, draft.managers, data)
        uid = None
        try:
            change = self._writer.create(plugin) if version is None else self._writer.replace(plugin, version)
            if change.desired is not None:
                # A default that was written out may be left out of the file; what it shows is what is owned.
                uid, data = change.desired.uid, owned_data(change.desired.plugin)
        finally:
            self._ownership.settle(plugin.name, uid, data)
            self._feed.note(frozenset((plugin.name,)))
            self._cache.poke()
        return change

    def _existing(self, name: str) -> tuple[Item, Desired]:
        entry = self._desired.get(name)
        item = self._cache.get(name)
        if entry is None or item is None:
            raise not_found(PLUGINS, name)
        return item, entry

    def _now(self, name: str) -> Item:
        item = self._cache.get(name)
        if item is None:
            raise not_found(PLUGINS, name)
        return item

    def _same_object(self, item: Item, changed: Any) -> dict[str, Any]:
        """What shall become of an object, once it is clear that it is about the same one. Raises KubeError 400, 409."""
        data = identify(changed, self._namespace, name=item.name)
        live, metadata = item.data["metadata"], data["metadata"]
        if metadata.get("uid") not in (None, "", live["uid"]):
            uids = f"UID in precondition: {metadata['uid']}, UID in object meta: {live['uid']}"
            raise conflict(PLUGINS, item.name, f"Precondition failed: {uids}")
        if metadata.get("resourceVersion") not in (None, "", live["resourceVersion"]):
            raise stale(PLUGINS, item.name)
        return data

    def _check_preconditions(self, item: Item, options: Object) -> None:
        wanted = options.get("preconditions") or {}
        if not isinstance(wanted, Mapping):
            raise bad_request("preconditions: expected a mapping")
        for field, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
            found = item.data["metadata"][field]
            if wanted.get(field) not in (None, found):
                why = f"Precondition failed: {label} in precondition: {wanted[field]}, {label} in object meta: {found}"
                raise conflict(PLUGINS, item.name, why)

    def _manager(self, options: WriteOptions, operation: str, subresource: str = "") -> Manager:
        return Manager(options.manager, operation, frozenset(), rfc3339(time.time()), subresource)

    def _managers(self, item: Item) -> Managers:
        return decode_managers(item.data["metadata"]["managedFields"])

    def _given_managers(self, item: Item, data: Object) -> Managers:
        """The managers that an update starts from: those it was given, where it changes them."""
        live, given = item.data["metadata"]["managedFields"], data["metadata"].get("managedFields")
        if given is None or given == live:
            return self._managers(item)
        try:
            return decode_managers(given)
        except NotFields as ex:
            raise bad_request(f"metadata.managedFields: {ex}") from ex

    def _imagined(self, draft: _Draft, entry: Desired | None) -> Item:
        """The object that a write would have made."""
        plugin = draft.decoded.plugin
        owned = owned_data(plugin)
        if entry is None:
            base: dict[str, Any] = {"apiVersion": plugin.api_version, "kind": plugin.kind}
            metadata: dict[str, Any] = {
                "name": plugin.name,
                "namespace": self._namespace,
                "generation": 1,
                "creationTimestamp": rfc3339(time.time()),
            }
        else:
            live = self._now(plugin.name).data
            base = {"apiVersion": live["apiVersion"], "kind": live["kind"]}
            own = ("labels", "annotations", "managedFields")
            metadata = {key: value for key, value in live["metadata"].items() if key not in own}
            metadata["generation"] = entry.generation + (entry.plugin.spec != plugin.spec)
            base["status"] = live["status"]
        metadata |= owned.get("metadata", {})
        metadata["managedFields"] = [manager.entry() for manager in draft.managers]
        return Item(plugin.name, 0, base | {"metadata": metadata, "spec": owned["spec"]})


def _both(result: Object) -> dict[str, Any]:
    """Labels and annotations as they shall be: those that are not there are gone."""
    metadata = result.get("metadata", {})
    return {"labels": metadata.get("labels"), "annotations": metadata.get("annotations")}
