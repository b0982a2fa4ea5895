"""Events about sources: a file that broke, a directory that cannot be listed, and that it is well again."""

from collections.abc import Mapping

from reconciler.control.events import EventLog
from reconciler.core.states import Reason

KIND = "Source"


class SourceEvents:
    """Compares what is wrong with the sources with what was. For one thread."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._wrong: dict[tuple[str, str], str] = {}

    def look(self, wrong: Mapping[tuple[str, str], str]) -> None:
        """Tell what went wrong, and what came right, since the last look. `wrong` as from DesiredStore.troubles."""
        for place, message in wrong.items():
            if self._wrong.get(place) != message:
                source, file = place
                reason = Reason.PARSE_FAILED if file else Reason.SOURCE_UNREADABLE
                self._events.record(source, reason, message, warning=True, kind=KIND)
        for source, file in self._wrong.keys() - wrong.keys():
            self._events.record(source, Reason.VALID, f"{file or 'the source'} is well again", kind=KIND)
        self._wrong = dict(wrong)
