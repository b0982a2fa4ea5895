"""`GET /revisions/NAME`: the remembered revisions of a plugin, each with the plugin as it was written for it."""

import json
from collections.abc import Sequence
from typing import Protocol

import falcon

from api.errors import ApiError
from api.streaming import App
from reconciler.control.rollouts import Rollout


class History(Protocol):
    """The remembered revisions of all plugins."""

    def history(self, name: str) -> Sequence[Rollout]:
        """Those of a plugin, the oldest first."""

    def plugin(self, name: str, revision: str) -> str | None:
        """The plugin as it was written for a revision, as JSON."""


class Revisions:
    """The endpoint. What people compare, and what a rollback writes again."""

    def __init__(self, history: History) -> None:
        self._history = history

    def install(self, app: App) -> None:
        """Mount it (Face)."""
        app.add_route("/revisions/{name}", self)

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """The revisions, the oldest first; 404 where none is remembered."""
        history = self._history.history(name)
        if not history:
            raise ApiError(
                404, f"no revision of {name} is remembered; GET the list of plugins to see the names there are"
            )
        items = []
        for rollout in history:
            written = self._history.plugin(name, rollout.revision)
            items.append(rollout.to_dict() | {"plugin": None if written is None else json.loads(written)})
        resp.media = {"items": items}
