"""Health and information, under Layotto's actuator paths and under Kubernetes' short ones. Read only.

A plugin is a component: UP when requests to it are answered, INIT while it is on its way, DOWN with the reason
when it failed. UP follows the condition `Available`, not `Ready`: a bad edit leaves the last good revision
serving, and a probe that took the whole node out of service for it would make things worse. Where an UP
plugin is not `Ready`, its details say why. Anything but UP is 503, as Layotto's documents say (its code says 500).

`/actuator/health/readiness` speaks for the daemon and its plugins; `/readyz` for the daemon alone, so that
one bad plugin cannot make a probe stop the traffic of the others; `/livez` and liveness only for the process.
"""

from collections.abc import Mapping
from typing import Any, Final

import falcon

from api.ports import DesiredReader, Readiness, StatusReader, condition

UP: Final = "UP"
INIT: Final = "INIT"
DOWN: Final = "DOWN"


class Health:
    """`/actuator/health/liveness` and `/actuator/health/readiness`."""

    def __init__(self, desired: DesiredReader, status: StatusReader, readiness: Readiness) -> None:
        self._desired = desired
        self._status = status
        self._readiness = readiness

    def on_get_liveness(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Whether the process works: always UP, as it answers."""
        _answer(resp, {"process": component(UP)})

    def on_get_readiness(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Whether the daemon and every plugin answer requests."""
        statuses = self._status.list()
        plugins = {entry.name: plugin_health(statuses.get(entry.name)) for entry in self._desired.list()}
        _answer(resp, {"runtime_startup": daemon_health(self._readiness)} | plugins)

    on_head_liveness = on_get_liveness
    on_head_readiness = on_get_readiness


class Info:
    """`/actuator/info`: which program this is, and what each plugin is."""

    def __init__(self, desired: DesiredReader, status: StatusReader, version: str) -> None:
        self._desired = desired
        self._status = status
        self._version = version

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All of it."""
        statuses = self._status.list()
        resp.media = {
            "app": {"name": "wasm-reconciler", "version": self._version},
            "plugins": {
                entry.name: {
                    "route": entry.plugin.route,
                    "generation": entry.generation,
                    "status": plugin_health(statuses.get(entry.name))["status"],
                    "instances": (statuses.get(entry.name) or {}).get("instances", {}),
                    "revision": (statuses.get(entry.name) or {}).get("revision", {}),
                }
                for entry in self._desired.list()
            },
        }

    on_head = on_get


class Probe:
    """`/livez` and `/readyz`, in plain text. `?verbose` lists the checks."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    def on_get_live(self, req: falcon.Request, resp: falcon.Response) -> None:
        """200 while the process answers."""
        _plain(req, resp, {"ping": ""})

    def on_get_ready(self, req: falcon.Request, resp: falcon.Response) -> None:
        """200 once the first pass over all plugins is done and until the daemon drains."""
        checks = {
            "started": "" if self._readiness.started else "the first pass is not done yet",
            "not-draining": "the daemon is shutting down" if self._readiness.draining else "",
        }
        _plain(req, resp, checks)

    on_head_live = on_get_live
    on_head_ready = on_get_ready


def component(status: str, **details: str) -> dict[str, Any]:
    """A component as Layotto writes one: details are left out where there are none."""
    given = {key: value for key, value in details.items() if value}
    return {"status": status, "details": given} if given else {"status": status}


def daemon_health(readiness: Readiness) -> dict[str, Any]:
    """The daemon itself: INIT until its first pass is done, DOWN while it drains."""
    if readiness.draining:
        return component(DOWN, reason="draining")
    return component(UP) if readiness.started else component(INIT, reason="starting")


def plugin_health(status: Mapping[str, Any] | None) -> dict[str, Any]:
    """A plugin, from its status; None where no pass has looked at it yet."""
    ready = condition(status, "Ready")
    if ready is None:
        return component(INIT, reason="starting")
    why = {"reason": ready["reason"], "message": ready["message"]}
    if ready["status"] == "True":
        return component(UP)
    available = condition(status, "Available")
    if available is not None and available["status"] == "True":
        return component(UP, **why)
    if ready["reason"] == "Suspended":
        return component(UP, **why)
    progressing = condition(status, "Progressing")
    on_its_way = progressing is None or progressing["status"] == "True" or ready["status"] == "Unknown"
    return component(INIT if on_its_way and condition(status, "Stalled") is None else DOWN, **why)


def aggregate(components: Mapping[str, Mapping[str, Any]]) -> str:
    """The whole: DOWN if any is DOWN, else INIT if any is INIT, else UP."""
    states = {entry["status"] for entry in components.values()}
    return DOWN if DOWN in states else INIT if INIT in states else UP


def _answer(resp: falcon.Response, components: Mapping[str, Mapping[str, Any]]) -> None:
    status = aggregate(components)
    resp.status = falcon.HTTP_200 if status == UP else falcon.HTTP_503
    resp.media = {"status": status, "components": components}


def _plain(req: falcon.Request, resp: falcon.Response, checks: Mapping[str, str]) -> None:
    """`checks` maps a name to why it fails, or to nothing."""
    failed = any(checks.values())
    lines = [f"[-] {name} failed: {why}" if why else f"[+] {name} ok" for name, why in checks.items()]
    verdict = "not ok" if failed else "ok"
    resp.status = falcon.HTTP_503 if failed else falcon.HTTP_200
    resp.content_type = falcon.MEDIA_TEXT
    resp.text = "\n".join([*lines, verdict, ""]) if failed or "verbose" in req.params else verdict
