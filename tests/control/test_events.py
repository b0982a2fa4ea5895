"""The list of events: bounded for each name, and in all."""

from reconciler.control.events import KEPT, KEPT_OF_ONE, EventLog
from reconciler.core.states import Reason


def test_a_name_that_changes_all_the_time_pushes_out_its_own_events_only() -> None:
    events = EventLog(lambda: 1.0)
    events.record("quiet", Reason.INSTALLED, "once")
    for number in range(2 * KEPT):
        events.record("busy", Reason.UPDATED, str(number))
    told = [(event["name"], event["note"]) for event in events.list()]
    assert told[0] == ("quiet", "once")
    assert told[1:] == [("busy", str(number)) for number in range(2 * KEPT - KEPT_OF_ONE, 2 * KEPT)]


def test_a_repeated_event_is_the_newest_of_its_name() -> None:
    events = EventLog(lambda: 1.0)
    for number in range(KEPT_OF_ONE):
        events.record("a", Reason.UPDATED, str(number))
    events.record("a", Reason.UPDATED, "0")
    events.record("a", Reason.UPDATED, "more")
    notes = [event["note"] for event in events.list()]
    assert (notes[0], notes[-2:]) == ("2", ["0", "more"])


def test_all_names_together_are_bounded_and_the_oldest_go_first() -> None:
    events = EventLog(lambda: 1.0)
    for number in range(KEPT + 5):
        events.record(f"plugin-{number}", Reason.INSTALLED, "here")
    names = [event["name"] for event in events.list()]
    assert (len(names), names[0], names[-1]) == (KEPT, "plugin-5", f"plugin-{KEPT + 4}")
