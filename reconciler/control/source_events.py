"""Events about sources: a file that broke, a directory that cannot be listed, and that it is well again."""

from collections.abc import Iterable

from reconciler.control.events import EventLog
from reconciler.core.states import Reason
from specs.store import SourceStatus

KIND = "Source"


class SourceEvents:
    """Compares what is wrong with the sources with what was. For one thread."""

    def __init__(self, events: EventLog) -> None:
        self._events = events
        self._wrong: dict[tuple[str, str], str] = {}

    def look(self, sources: Iterable[SourceStatus]) -> None:
        """Tell what went wrong, and what came right, since the last look."""
        wrong = dict(_wrong(sources))
        for place, message in wrong.items():
            if self._wrong.get(place) != message:
                source, file = place
                reason = Reason.PARSE_FAILED if file else Reason.SOURCE_UNREADABLE
                self._events.record(source, reason, message, warning=True, kind=KIND)
        for source, file in self._wrong.keys() - wrong.keys():
            self._events.record(source, Reason.VALID, f"{file or 'the source'} is well again", kind=KIND)
        self._wrong = wrong


def _wrong(sources: Iterable[SourceStatus]) -> Iterable[tuple[tuple[str, str], str]]:
    """(source, file or nothing) and all that is wrong there."""
    for source in sources:
        if source.error:
            yield (source.id, ""), source.error
        for file in source.files:
            if file.problems:
                yield (source.id, file.path), "; ".join(map(str, file.problems))
