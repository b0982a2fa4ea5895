"""The page in a real Chromium, over a real daemon with fifty plugins."""

import http.client
import json
import threading
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.dashboard.conftest import View
from tests.dashboard.world import BROKEN, BROKEN_LINE, CRASHING, GROUP, World
from tests.examples.daemon import PLUGINS, Daemon, ask, serve

WIDTHS = {"desk": (1280, 800), "phone": (390, 844)}
PARTS = ["", "#/plugins/account-auth", "#/plugins/account-auth/revisions", "#/plugins/account-auth/try"]
PARTS += ["#/plugins/account-auth/logs", "#/plugins/account-auth/spec", f"#/plugins/{CRASHING}"]


def until(condition: Any, what: str, seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def row(page: Any, name: str) -> Any:
    return page.locator("li.row").filter(has=page.get_by_role("link", name=name, exact=True))


def test_fifty_plugins_are_shown_the_failing_one_first_and_why(daemon: Daemon, view: View) -> None:
    page = view.open(daemon)
    assert page.locator("li.row").count() == 51 - 1
    first = page.locator("li.row").first
    assert first.get_by_role("link").inner_text() == CRASHING
    assert "CrashLoopBackOff" in first.inner_text()
    assert "unreachable" in first.inner_text()
    assert first.get_by_role("img").get_attribute("aria-label") == "1 failed"
    assert page.title() == "(2) wasm-reconciler"


def test_a_broken_file_is_shown_with_the_line_that_is_wrong(daemon: Daemon, view: View) -> None:
    problem = view.open(daemon).get_by_role("article").filter(has_text=BROKEN)
    assert f"line {BROKEN_LINE}, column 5" in problem.inner_text()
    assert problem.locator("mark").inner_text().split() == [str(BROKEN_LINE), "memory:", "lots"]


def test_instances_are_cells_and_a_group_shows_its_shares(daemon: Daemon, view: View) -> None:
    page = view.open(daemon)
    assert row(page, GROUP[0]).get_by_role("img").first.get_attribute("aria-label") == "3 ready"
    assert row(page, GROUP[0]).locator(".cell.idle").count() == 3
    for _ in range(40):
        assert daemon.call(GROUP[0]).status == 200
    head = page.locator("li.head").filter(has_text=GROUP[0])
    page.wait_for_function(
        "() => document.querySelector('li.head .shares').getAttribute('aria-label').startsWith('traffic')"
    )
    assert f"{GROUP[0]} 75 %, {GROUP[1]} 25 %" in head.get_by_role("img").get_attribute("aria-label")


def test_filters_by_text_and_by_state(daemon: Daemon, view: View) -> None:
    page = view.open(daemon)
    page.keyboard.press("/")
    page.keyboard.type("team=media")
    assert page.locator("li.row").count() == 6
    page.get_by_role("searchbox").fill("crashloop")
    assert page.locator("li.row a").all_inner_texts() == [CRASHING]
    page.get_by_role("searchbox").fill("")
    page.get_by_role("button", name="Failing 1").click()
    assert page.locator("li.row a").all_inner_texts() == [CRASHING]
    page.get_by_role("searchbox").fill("nothing has this name")
    assert page.get_by_text("No plugin matches.").is_visible()


def test_scales_through_the_file_that_owns_the_plugin(daemon: Daemon, world: World, view: View) -> None:
    page = view.open(daemon, "#/plugins/orders-auth")
    instances = page.get_by_label("Instances", exact=True)
    until(instances.input_value, "the number of instances is not there")
    before = int(instances.input_value())
    page.get_by_role("button", name="One more").click()
    page.get_by_role("button", name="Scale").click()
    page.get_by_role("alert").filter(has_text=f"orders-auth: {before + 1} instance").wait_for()
    row(page, "orders-auth").get_by_text(f"{before + 1}/{before + 1}").wait_for()
    assert world.wanted("orders-auth")["instances"] == before + 1


def test_compares_two_revisions_and_rolls_back(daemon: Daemon, world: World, view: View) -> None:
    before = world.wanted("search-auth")
    page = view.open(daemon, "#/plugins/search-auth/revisions")
    page.locator("ol.history li").first.wait_for()
    first = page.locator("ol.history li code").inner_text()
    world.want("search-auth", **(before | {"config": {"limit": 7, "mode": "strict"}}))
    page.locator("ol.history li").nth(1).wait_for()
    diff = page.get_by_role("group", name="Differences of the specs")
    diff.get_by_text("mode: strict").wait_for()
    assert [line.split() for line in diff.locator("ins").all_inner_texts()] == [
        ["+", "limit:", "7"],
        ["+", "mode:", "strict"],
    ]
    assert len(diff.locator("del").all_inner_texts()) == 1

    page.get_by_role("button", name="One more").click()
    page.get_by_role("button", name="Scale").click()
    more = int(str(before["instances"])) + 1
    until(lambda: world.wanted("search-auth")["instances"] == more, "it was not scaled")
    page.get_by_role("button", name="Roll back to this…").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back", exact=True).click()
    page.get_by_role("alert").filter(has_text="is written").wait_for()
    until(lambda: world.wanted("search-auth") == before | {"instances": more}, "it was not rolled back")
    page.locator("ol.history li").filter(has_text="serving").filter(has_text=first).wait_for()


def test_tries_a_route_and_shows_the_answer(daemon: Daemon, view: View) -> None:
    page = view.open(daemon, "#/plugins/account-headers/try")
    page.get_by_label("Path and query").fill("/a?b=c")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("group", name="Body of the answer").get_by_text("fine").wait_for()
    assert "200 in " in page.locator(".outcome").inner_text()
    page.get_by_label("Headers, one on each line").fill("no colon")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("is no header: write name: value").wait_for()


def test_shows_what_the_guest_said(daemon: Daemon, view: View) -> None:
    page = view.open(daemon, "#/plugins/catalog-trace/logs")
    page.get_by_text("The guest has said nothing lately.").wait_for()
    assert daemon.call("catalog-trace").status == 200
    page.get_by_role("list", name="Lines of the guest, the newest last").get_by_text("I was asked").wait_for()


def test_events_come_as_they_happen_and_their_text_is_never_markup(daemon: Daemon, world: World, view: View) -> None:
    page = view.open(daemon)
    world.want("zz-hostile", module={"path": "<img src=x onerror=alert(1)>.wasm"})
    entry = page.get_by_role("list", name="Events, the newest first").locator("li").filter(has_text="zz-hostile").first
    entry.wait_for()
    row(page, "zz-hostile").get_by_text("<img src=x onerror=alert(1)>").wait_for()
    assert page.locator("main img").count() == 0
    (world.specs / "zz-hostile.json").unlink()
    row(page, "zz-hostile").wait_for(state="detached")


def test_is_usable_by_keyboard_alone(daemon: Daemon, view: View) -> None:
    page = view.open(daemon)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # skip to the plugins
    page.locator("li.row a").nth(1).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    name = page.evaluate("document.activeElement.textContent")
    assert name == page.locator("li.row a").nth(3).inner_text()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name=name).wait_for()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("document.activeElement.id") == "detail"
    page.keyboard.press("Escape")
    page.get_by_role("heading", name=name).wait_for(state="detached")
    page.wait_for_function("name => document.activeElement.textContent === name", arg=name)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    daemon: Daemon, browser: Any, width: str, scheme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    wide, high = WIDTHS[width]
    context = browser.new_context(viewport={"width": wide, "height": high}, color_scheme=scheme, bypass_csp=True)
    view = View(context.new_page())
    for part in PARTS:
        page = view.open(daemon, part)
        page.locator("#rows > li").first.wait_for(state="attached")
        found = axe.Axe().run(page, context="#detail" if part else None)  # the rest was looked at with the first part
        assert [(one["id"], one["nodes"][0]["html"]) for one in found.response["violations"]] == [], part
        assert page.evaluate("document.documentElement.scrollWidth") <= wide, part
    context.close()
    assert view.complaints == []


def test_the_page_weighs_at_most_150_kilobytes_and_asks_nobody_else(daemon: Daemon, view: View) -> None:
    asked: list[str] = []
    view.page.on("request", lambda request: asked.append(request.url))
    view.open(daemon)
    assert all(url.startswith(f"http://{daemon.admin}/") for url in asked), asked
    assert sum(entry.stat().st_size for entry in Path(str(files("api.dashboard") / "page")).iterdir()) <= 150 * 1024
    policy = ask(daemon.admin, "/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    again = ask(
        daemon.admin, "/ui/main.js", headers={"If-None-Match": ask(daemon.admin, "/ui/main.js").headers["etag"]}
    )
    assert (again.status, again.body) == (304, b"")
    assert ask(daemon.admin, "/ui/secret.js").status == 404


def test_a_thousand_events_a_minute_and_more_leave_it_quick(daemon: Daemon, view: View) -> None:
    page = view.open(daemon)
    names = [f"shipping-{part}" for part in ("auth", "headers", "quota", "rewrite")]
    begin, edits = time.monotonic(), 0
    while edits < 200:
        for name in names:
            answer = scale(daemon, name, 1 + edits % 7)
            assert answer == 200
            edits += 1
    assert edits / (time.monotonic() - begin) > 1000 / 60
    for name in names:
        want = daemon.plugins()[name]["spec"]["instances"]
        row(page, name).get_by_text(f"{want}/{want}").wait_for()
    assert page.get_by_role("list", name="Events, the newest first").locator("li").count() <= 150
    began = time.monotonic()
    page.get_by_role("searchbox").fill("team=shipping")
    assert page.locator("li.row").count() == 6
    assert time.monotonic() - began < 1.0


def scale(daemon: Daemon, name: str, instances: int) -> int:
    path = f"/apis/wasm-reconciler.dev/v1alpha1/namespaces/default/wasmplugins/{name}/scale"
    body = json.dumps({"spec": {"replicas": instances}}).encode()
    return ask(
        daemon.admin, path, method="PATCH", body=body, headers={"content-type": "application/merge-patch+json"}
    ).status


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "tokens.yaml"
    secrets = [
        {"name": "eve", "role": "read", "token": "only-for-reading-1"},
        {"name": "ada", "role": "write", "token": "also-for-writing-1"},
    ]
    file.write_text(json.dumps({"tokens": secrets}))
    yield file


def test_survives_a_restart_of_the_daemon_and_asks_for_tokens(tmp_path: Path, tokens: Path, view: View) -> None:
    view.refusals = True
    world = World(tmp_path)
    world.want("one", instances=2)
    page = view.page
    with serve(world.state, *world.flags) as first:
        view.open(first)
        row(page, "one").get_by_text("2/2").wait_for()
    page.get_by_role("status").filter(has_text="not live").wait_for()
    assert row(page, "one").is_visible()
    world.want("two", instances=3)
    flags = ("--admin", first.admin, "--tokens", tokens)
    with serve(world.state, *world.flags, *flags):
        give(page, "only-for-reading-1")
        row(page, "two").get_by_text("3/3").wait_for()
        row(page, "two").get_by_role("link").click()
        page.get_by_role("button", name="One less").click()
        page.get_by_role("button", name="Scale").click()
        assert "may not" in page.get_by_role("dialog").inner_text()
        give(page, "also-for-writing-1")
        row(page, "two").get_by_text("2/2").wait_for()
        assert page.evaluate("localStorage.length") == 0


def give(page: Any, token: str) -> None:
    page.get_by_label("Bearer token").fill(token)
    page.get_by_role("button", name="Use it").click()


def test_pages_that_are_too_many_are_refused_and_threads_stay_free(daemon: Daemon) -> None:
    streams = []
    try:
        refused = None
        while refused is None and len(streams) < 40:
            connection = http.client.HTTPConnection(daemon.admin, timeout=10)
            connection.request("GET", "/stream")
            answer = connection.getresponse()
            streams.append(connection)
            if answer.status != 200:
                refused = answer
        assert refused is not None
        assert (refused.status, refused.getheader("retry-after")) == (429, "5")
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(ask(daemon.admin, PLUGINS).status)) for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == [200] * 16
    finally:
        for connection in streams:
            connection.close()
    until(lambda: stream_status(daemon) == 200, "no place was given back")


def stream_status(daemon: Daemon) -> int:
    connection = http.client.HTTPConnection(daemon.admin, timeout=10)
    try:
        connection.request("GET", "/stream")
        return connection.getresponse().status
    finally:
        connection.close()
