"""A real daemon with fifty plugins, and a real Chromium that looks at its page."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.dashboard.world import World, chromium
from tests.examples.daemon import Daemon, serve

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class View:
    """One tab, and everything that it or the browser's console complained of.

    `refusals`: answers that are refused or never come are meant to; what the browser itself says of them is no fault.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.refusals = False
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._hear)

    def _hear(self, entry: Any) -> None:
        if entry.type == "error" and not (self.refusals and entry.text.startswith("Failed to load resource")):
            self.complaints.append(entry.text)

    def open(self, daemon: Daemon, part: str = "") -> Any:
        """Load the page and wait until it is live."""
        self.page.goto(f"http://{daemon.admin}/{part}")
        self.page.get_by_role("status").filter(has_text="live").first.wait_for()
        return self.page


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = chromium()
    if path is None:
        pytest.skip("no Chromium is installed; apt-get install chromium-headless-shell")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield opened
        opened.close()


@pytest.fixture
def view(browser: Any) -> Iterator[View]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(10_000)
    made = View(context.new_page())
    yield made
    context.close()
    assert made.complaints == []


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("node"))


@pytest.fixture(scope="module")
def daemon(world: World) -> Iterator[Daemon]:
    ready = world.fill()
    with serve(world.state, *world.flags) as running:
        running.wait_until_ready(ready)
        yield running
