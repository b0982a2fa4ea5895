"""What is behind the page, without a browser."""

import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from api.dashboard.feed import KEPT, Feed, Watched
from api.dashboard.traffic import ALL, Traffic
from api.metrics.histogram import SECONDS, quantile
from api.metrics.requests import RequestMeter
from reconciler.control.events import EventLog
from reconciler.control.status import StatusBoard
from reconciler.core.observed import ObservedPlugin
from reconciler.core.states import Reason
from tests.api.world import Files
from tests.dashboard.world import World
from tests.examples.daemon import Answer, Daemon, ask, serve


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    world = World(tmp_path_factory.mktemp("node"))
    world.want("one")
    with serve(world.state, *world.flags) as running:
        running.wait_until_ready({"one"})
        yield running


def try_it(daemon: Daemon, body: object, kind: str = "application/json") -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return ask(daemon.admin, "/try", method="POST", body=raw, headers={"content-type": kind})


def test_a_trial_is_an_ordinary_request_and_is_answered_with_its_timing(daemon: Daemon) -> None:
    answer = json.loads(try_it(daemon, {"route": "one", "path": "/x?y=z", "headers": {"A": "b"}}).body)
    assert (answer["status"], answer["body"], answer["encoding"], answer["truncated"]) == (200, "fine", "utf-8", False)
    assert 0 < answer["seconds"] < 10
    missing = json.loads(try_it(daemon, {"route": "none-such"}).body)
    assert missing["status"] == 404


@pytest.mark.parametrize(
    ("body", "kind", "status", "says"),
    [
        pytest.param({"route": "one"}, "text/plain", 415, "application/json", id="what a foreign page could send"),
        pytest.param({"route": "one", "path": "x"}, "application/json", 400, "path", id="a path without a slash"),
        pytest.param({"route": "one", "method": "GET /"}, "application/json", 400, "method", id="no method"),
        pytest.param({"route": "one", "path": "/ HTTP/1.1\r\n"}, "application/json", 400, "path", id="a second line"),
        pytest.param(
            {"route": "one", "headers": {"a": "b\r\nc: d"}}, "application/json", 400, "headers", id="a second header"
        ),
        pytest.param({"route": "one", "host": "x"}, "application/json", 400, "host", id="a field that is not known"),
        pytest.param(b"{", "application/json", 400, "JSON", id="not JSON"),
    ],
)
def test_a_trial_that_is_no_request_is_refused(daemon: Daemon, body: Any, kind: str, status: int, says: str) -> None:
    answer = try_it(daemon, body, kind)
    assert answer.status == status
    assert says in json.loads(answer.body)["error"]


def test_the_stream_begins_with_everything(daemon: Daemon) -> None:
    with socket.create_connection(tuple(daemon.admin.rsplit(":", 1)), timeout=10) as client:  # type: ignore[arg-type]
        client.sendall(f"GET /stream HTTP/1.1\r\nHost: {daemon.admin}\r\n\r\n".encode())
        text = client.makefile("rb")
        while not (line := text.readline()).startswith(b"data: "):
            assert line
    told = json.loads(line[len(b"data: ") :])
    assert told["about"]["dataPlane"] == f"http://{daemon.listen}"
    assert told["plugins"]["one"]["route"] == "one"
    assert told["pools"]["one"][0]["idle"] == 1
    assert told["sources"][0]["broken"] == []


def test_traffic_is_what_was_counted_since_the_last_look() -> None:
    meter = RequestMeter()
    meter.request("a", "a", 200, 0.5, 0.0)
    traffic = Traffic(meter, lambda: 7.0)
    assert traffic.sample() == {"at": 7.0, "by": {}}
    for _ in range(99):
        meter.request("a", "a", 200, 0.0004, 0.0)
    meter.request("a", "a", 500, 0.2, 0.0)
    meter.request("none-such", "", 404, 0.0001, 0.0)
    by = traffic.sample()["by"]
    assert by["a"][:2] == [100, 1]
    assert by[ALL][:2] == [101, 1]
    assert 0.25 <= by["a"][2] <= 0.5 <= by["a"][3]
    meter.keep(set(), set())
    assert traffic.sample()["by"] == {}
    assert len(traffic.recent()) == 3


def test_quantiles_lie_inside_the_bucket_that_holds_them() -> None:
    assert quantile(SECONDS, {}, 0.5) == 0.0
    assert quantile(SECONDS, {3: 10}, 0.5) == 0.75
    assert quantile(SECONDS, {3: 10}, 1.0) == 1.0
    assert quantile(SECONDS, {len(SECONDS): 1}, 0.99) == 10_000.0


class NoPools:
    """A pool host of a node on which nothing runs."""

    def observe(self, plugin: str) -> ObservedPlugin:
        return ObservedPlugin(plugin)

    def plugins(self) -> tuple[str, ...]:
        return ()

    def queued(self) -> Mapping[str, int]:
        return {}


def test_a_reader_that_falls_behind_is_told_everything_again(tmp_path: Path) -> None:
    files = Files(tmp_path)
    events = EventLog(lambda: 1.0)
    feed = Feed(Watched(files.store, StatusBoard(), events, NoPools()), Traffic(RequestMeter(), lambda: 1.0), dict)
    number, _ = feed.join()
    assert feed.since(number) == []
    for place in range(KEPT + 1):
        events.record("a", Reason.CREATED, str(place))
        last, everything = feed.everything()
    assert feed.since(number) is None
    assert feed.since(last - 1) == [json.dumps({"events": events.list()[-1:]}, separators=(",", ":")).encode()]
    assert len(json.loads(everything)["events"]) == KEPT + 1


def test_changes_of_one_moment_are_one_message(tmp_path: Path) -> None:
    files = Files(tmp_path)
    events = EventLog(lambda: 1.0)
    feed = Feed(Watched(files.store, StatusBoard(), events, NoPools()), Traffic(RequestMeter(), lambda: 1.0), dict)
    feed.start()
    try:
        number, _ = feed.join()
        for place in range(500):
            events.record(f"plugin-{place % 10}", Reason.CREATED, str(place))
        told: list[Any] = []
        while len(told) < 500:
            feed.wait(number, 5.0)
            messages = feed.since(number)
            assert messages
            number += len(messages)
            told += [event for message in messages for event in json.loads(message).get("events", [])]
        assert len(told) == 500
        assert number < 20
    finally:
        feed.leave()
        feed.stop()
