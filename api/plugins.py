"""The sources that plugins come from, and the events, for people with curl. Read only."""

import falcon

from api.ports import DesiredReader, EventReader


class Sources:
    """`GET /sources`: the files that plugins come from, and what is wrong with which."""

    def __init__(self, desired: DesiredReader) -> None:
        self._desired = desired

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All sources."""
        resp.media = {"items": [source.to_dict() for source in self._desired.sources()]}

    on_head = on_get


class Events:
    """`GET /events`: what happened, the oldest first. `?name=NAME` picks one plugin's."""

    def __init__(self, events: EventReader) -> None:
        self._events = events

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The remembered events."""
        name = req.get_param("name")
        resp.media = {"items": [event for event in self._events.list() if name in (None, event.get("name"))]}

    on_head = on_get
