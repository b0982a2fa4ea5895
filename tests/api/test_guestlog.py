"""The memory of guests' lines: bounded, picked from, followed."""

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.guestlog import FOLLOWERS, KEPT, LONGEST, GuestLog, GuestLogs, Wanted
from tests.api.world import Client, Files, World, serving


@pytest.fixture
def log() -> Iterator[GuestLog]:
    made = GuestLog()
    logger = logging.getLogger(f"guest.{id(made)}")
    logger.propagate = False
    logger.setLevel(logging.INFO)
    logger.addHandler(made)
    yield made
    logger.removeHandler(made)
    made.end()


def say(log: GuestLog, text: str, plugin: str = "a", request_id: str = "") -> None:
    logging.getLogger(f"guest.{id(log)}").info("%s", text, extra={"plugin": plugin, "request_id": request_id})


@pytest.fixture
def client(log: GuestLog, tmp_path: Path) -> Iterator[Client]:
    with serving(World(Files(tmp_path)).services(), GuestLogs(log)) as client:
        yield client


def test_only_the_last_lines_are_kept_and_long_ones_are_cut(log: GuestLog) -> None:
    for number in range(KEPT + 10):
        say(log, str(number))
    say(log, "x" * (LONGEST + 1))
    lines = log.lines(Wanted())
    assert len(lines) == KEPT
    assert lines[0].message == "11"
    assert len(lines[-1].message) == LONGEST


def test_lines_are_picked_by_plugin_and_by_request(log: GuestLog) -> None:
    say(log, "one", "a", "r")
    say(log, "two", "b", "r")
    say(log, "three", "b", "s")
    assert [line.message for line in log.lines(Wanted("b"))] == ["two", "three"]
    assert [line.message for line in log.lines(Wanted(request_id="r"))] == ["one", "two"]
    assert [line.message for line in log.lines(Wanted("b", "r"))] == ["two"]


def test_they_are_read_over_http(client: Client, log: GuestLog) -> None:
    for text in ("one", "two", "three"):
        say(log, text)
    items = client.get("/logs?plugin=a&limit=2").json()["items"]
    assert [(item["plugin"], item["level"], item["message"]) for item in items] == [
        ("a", "INFO", "two"),
        ("a", "INFO", "three"),
    ]
    assert items[0]["time"].endswith("Z")
    assert client.get("/logs?limit=-1").status == 400


def test_followers_get_what_comes_and_end_with_the_log(log: GuestLog) -> None:
    say(log, "before")
    found: list[str] = []
    following = threading.Event()

    def follow() -> None:
        for lines in log.follow(Wanted(), 0, lambda: False):
            found.extend(line.message for line in lines)
            following.set()

    thread = threading.Thread(target=follow)
    thread.start()
    assert following.wait(10)
    say(log, "after")
    log.end()
    thread.join(10)
    assert not thread.is_alive()
    assert found == ["before", "after"]


def test_a_followed_answer_is_a_line_of_json_for_each(client: Client, log: GuestLog) -> None:
    say(log, "one")
    log.end()
    answer = client.get("/logs?follow")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert [json.loads(line)["message"] for line in answer.body.splitlines()] == ["one"]


def test_there_are_so_many_places_for_followers(log: GuestLog, client: Client) -> None:
    log.end()
    for _ in range(FOLLOWERS + 1):  # each gives its place back
        assert client.get("/logs?follow").status == 200
