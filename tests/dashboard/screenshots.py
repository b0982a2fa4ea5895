"""Makes the pictures of the page that the docs show: `python -m tests.dashboard.screenshots docs/images [SECONDS]`.

The node is the one of the tests: fifty plugins, one that crashes at every start, one file that is broken; under load.
"""

import http.client
import math
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.dashboard.conftest import FLAGS, View
from tests.dashboard.world import GROUP, World, chromium
from tests.examples.daemon import Daemon, serve

SECONDS = 250
"""How long there is traffic before the pictures: as long as the charts reach back."""
SIZES = ((1280, 800), (390, 844))
CHANGED = "account-auth"
PARTS = {"page": "", "plugin": f"#/plugins/{GROUP[0]}", "revisions": f"#/plugins/{CHANGED}/revisions"}


def main(folder: Path, seconds: float) -> None:
    """Write all pictures."""
    with tempfile.TemporaryDirectory() as root:
        world = World(Path(root))
        ready = world.fill()
        with serve(world.state, *world.flags) as daemon:
            daemon.wait_until_ready(ready)
            limits = {"memory": "2Mi", "timeout": "250ms"}
            world.want(CHANGED, instances=2, config={"limit": 5, "mode": "strict"}, limits=limits)
            stopping = threading.Event()
            clients = [threading.Thread(target=ask_around, args=(daemon, sorted(ready), stopping)) for _ in range(3)]
            for client in clients:
                client.start()
            stopping.wait(seconds)
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
                for scheme in ("light", "dark"):
                    for size in SIZES:
                        take(browser, daemon, folder, scheme, size)
                browser.close()
            stopping.set()
            for client in clients:
                client.join()


def take(browser: Any, daemon: Daemon, folder: Path, scheme: str, size: tuple[int, int]) -> None:
    """The pictures of one screen."""
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    view = View(context.new_page())
    for name, part in PARTS.items():
        page = view.open(daemon, part)
        page.locator(".row, .history li").first.wait_for(state="attached")
        page.wait_for_timeout(500)
        page.screenshot(path=folder / f"{name}-{width}-{scheme}.png")
    context.close()
    if view.complaints:
        raise SystemExit("\n".join(view.complaints))


def ask_around(daemon: Daemon, names: Sequence[str], stopping: threading.Event) -> None:
    """Requests to all plugins, to some more than to others, in waves."""
    chance = random.Random(7)
    weights = [chance.random() ** 3 for _ in names]
    connection = http.client.HTTPConnection(daemon.listen)
    while not stopping.is_set():
        name = chance.choices(names, weights)[0]
        connection.request("GET", "/", headers={"id": GROUP[0] if name == GROUP[1] else name})
        connection.getresponse().read()
        time.sleep(0.004 * (1.5 + math.sin(time.monotonic() / 11)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else SECONDS)
