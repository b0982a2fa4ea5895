"""`GET /revisions/NAME`: what a plugin's past revisions were, to be compared, and written again."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import falcon

from api.errors import ApiError
from api.ports import DesiredReader, StatusReader


class Remembered(Protocol):
    """How one revision went."""

    @property
    def revision(self) -> str:
        """Which one."""

    def to_dict(self) -> Mapping[str, Any]:
        """As JSON-able data, in the shape of `status.revision.history`."""


class RevisionReader(Protocol):
    """The revisions that were tried."""

    def history(self, name: str) -> Sequence[Remembered]:
        """The remembered revisions, the oldest first."""

    def plugin(self, name: str, revision: str) -> str | None:
        """The plugin as it was written for a revision, as JSON."""


class Revisions:
    """The endpoint. A spec names files of secrets, never their content."""

    def __init__(self, revisions: RevisionReader, desired: DesiredReader, status: StatusReader) -> None:
        self._revisions = revisions
        self._desired = desired
        self._status = status

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """The remembered revisions, the oldest first, each with its spec. Raises ApiError 404."""
        history = self._revisions.history(name)
        if not history and self._desired.get(name) is None:
            raise ApiError(404, f"there is no plugin {name}; GET /revisions/NAME takes one's name")
        known = (self._status.get(name) or {}).get("revision", {})
        resp.media = {
            "name": name,
            **{key: known.get(key, "") for key in ("desired", "serving", "lastGood")},
            "items": [{**one.to_dict(), "spec": self._spec(name, one.revision)} for one in history],
        }

    on_head = on_get

    def _spec(self, name: str, revision: str) -> Any:
        text = self._revisions.plugin(name, revision)
        return None if text is None else json.loads(text).get("spec")
