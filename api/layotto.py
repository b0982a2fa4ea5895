"""Layotto's three calls: `POST /wasm/install`, `/wasm/update`, `/wasm/uninstall`.

Paths, fields and error texts are Layotto's (mosn/layotto `pkg/wasm/{install,update,uninstall}/endpoint.go`).
Different on purpose: they edit the owning file and answer 202 (200 where nothing had to change); refusals are
400, 404, 409 and 422 instead of 500 for everything; `?wait=30s` holds the answer until the plugin is Ready (200),
failed (422) or the time is up (504). Only POST is taken, as a GET must not change anything.

An install is about an identity, with the same text as its route. `update` and `uninstall` take an identity
first, else a route: uninstall takes the whole group, update of a group with several is refused and lists them.
"""

import json
from typing import Any

import falcon

from api.access.guard import name_object
from api.errors import ApiError
from api.ports import DesiredReader, DesiredWriter
from api.waiting import WaitingRoom, wanted_wait
from specs.document import plugin_from
from specs.errors import SpecConflict, SpecNotFound
from specs.model import MAX_INSTANCES, WasmPlugin
from specs.nodes import kind_of
from specs.store import Desired
from specs.writer import Change


class Install:
    """`POST /wasm/install`: a plugin in Layotto's flat form. 202, or 200 where an equal one is desired already."""

    def __init__(self, desired: DesiredReader, writer: DesiredWriter, waiting: WaitingRoom) -> None:
        self._desired = desired
        self._writer = writer
        self._waiting = waiting

    def on_post(self, req: falcon.Request, resp: falcon.Response, rest: str = "") -> None:
        """Add it to the write target."""
        wait = wanted_wait(req)
        body = _body(req)
        name = _name(body)
        if body.get("vm_config") is None and not body.get("from_wasm_plugin"):
            raise ApiError(400, "nil vm config", field="vm_config")
        plugin, notices = plugin_from(body)
        if self._desired.get(name) is None:
            self._refuse_taken_route(name)
        with self._waiting.place(wait):
            change = self._create(plugin)
            resp.media = {"notices": list(notices)} if notices else {}
            _answer(resp, change, self._waiting, wait)

    def _create(self, plugin: WasmPlugin) -> Change:
        try:
            return self._writer.create(plugin)
        except SpecConflict as ex:
            entry = self._desired.get(plugin.name)
            if entry is None:
                raise
            hint = "its spec differs: update its instances, change its file, or uninstall it first"
            raise ApiError(409, str(ex), hint=hint, file=entry.owner.file) from ex

    def _refuse_taken_route(self, name: str) -> None:
        """A name that already is a group's route is registered in Layotto's eyes: nobody means to join by accident."""
        members = self._desired.route(name)
        if members:
            raise ApiError(
                409,
                f"{name} is already registered",
                hint="plugins of other names have it as their route: add another to the file that owns them",
                plugins=[entry.name for entry in members],
            )


class Update:
    """`POST /wasm/update`: another number of instances. 202, or 200 where it is that already."""

    def __init__(self, desired: DesiredReader, writer: DesiredWriter, waiting: WaitingRoom) -> None:
        self._desired = desired
        self._writer = writer
        self._waiting = waiting

    def on_post(self, req: falcon.Request, resp: falcon.Response, rest: str = "") -> None:
        """Change it in the file that owns the plugin."""
        wait = wanted_wait(req)
        body = _body(req)
        name = _name(body)
        instances = _instances(body)
        entries = _find(self._desired, name)
        if len(entries) > 1:
            members = [entry.name for entry in entries]
            raise ApiError(
                409,
                f"{name} is the route of several plugins; update one of them by its name: {', '.join(members)}",
                plugins=members,
            )
        with self._waiting.place(wait):
            change = self._writer.set_instances(entries[0].name, instances)
            resp.media = {}
            _answer(resp, change, self._waiting, wait)


class Uninstall:
    """`POST /wasm/uninstall`: a plugin, or all of a route's. 202: requests under way finish first."""

    def __init__(self, desired: DesiredReader, writer: DesiredWriter, waiting: WaitingRoom) -> None:
        self._desired = desired
        self._writer = writer
        self._waiting = waiting

    def on_post(self, req: falcon.Request, resp: falcon.Response, rest: str = "") -> None:
        """Remove it from the file that owns it."""
        wait = wanted_wait(req)
        name = _name(_body(req))
        entries = _find(self._desired, name)
        with self._waiting.place(wait):
            for entry in entries:
                self._writer.delete(entry.name)
            resp.status = falcon.HTTP_202
            if wait is not None:
                self._waiting.until_gone([entry.name for entry in entries], wait)
                resp.status = falcon.HTTP_200
        resp.media = {
            "name": name,
            "uninstalled": [{"name": entry.name, "file": entry.owner.file} for entry in entries],
        }


def _answer(resp: falcon.Response, change: Change, waiting: WaitingRoom, wait: float | None) -> None:
    """Add where the plugin stands to the answer, once it is Ready if that was asked for."""
    desired = change.desired
    if desired is None:
        raise SpecNotFound("it was uninstalled in the meantime")
    resp.status = falcon.HTTP_202 if change.changed else falcon.HTTP_200
    resp.media |= {"name": desired.name, "generation": desired.generation, "file": desired.owner.file}
    if wait is not None:
        ready = waiting.until_ready(desired, wait)
        resp.status = falcon.HTTP_200
        resp.media |= {"reason": ready["reason"], "message": ready["message"]}


def _find(desired: DesiredReader, name: str) -> list[Desired]:
    """The plugin of that identity, else all of that route. Raises ApiError 404."""
    entry = desired.get(name)
    entries = [entry] if entry is not None else list(desired.route(name))
    if not entries:
        raise ApiError(404, f"{name} is not registered")
    return entries


def _body(req: falcon.Request) -> dict[str, Any]:
    """The JSON object in the body. Raises ApiError 400."""
    data = req.bounded_stream.read()
    if not data.strip():
        raise ApiError(400, "invalid request body")
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as ex:
        raise ApiError(400, f"invalid request body: not JSON: {ex}") from ex
    if not isinstance(body, dict):
        raise ApiError(400, f"invalid request body: expected a JSON object, not {kind_of(body)}")
    name_object(req, str(body.get("name", "")))
    return body


def _name(body: dict[str, Any]) -> str:
    name = body.get("name")
    if name is None or name == "":
        raise ApiError(400, "can't get name property", field="name")
    if not isinstance(name, str):
        raise ApiError(400, f"name: expected a string, not {kind_of(name)}", field="name")
    return name


def _instances(body: dict[str, Any]) -> int:
    value = body.get("instance_num")
    if value is None:
        raise ApiError(400, "can't get instance_num property", field="instance_num")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ApiError(400, f"instance_num: expected a whole number, not {kind_of(value)}", field="instance_num")
    if value != value // 1:
        raise ApiError(400, f"instance_num: expected a whole number, not {value:g}", field="instance_num")
    if value <= 0:
        raise ApiError(400, "instance_num should be greater than 0", field="instance_num")
    if value > MAX_INSTANCES:
        raise ApiError(400, f"instance_num: give at most {MAX_INSTANCES}", field="instance_num")
    return int(value)
