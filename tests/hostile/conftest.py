"""A whole node with a neighbour that must never notice anything."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.observed import Failure
from reconciler.wasm.kind import GuestFailed, Request, Response
from tests.control.conftest import Node
from tests.guest_wat import answering

SHORT = {"timeout": "100ms", "startTimeout": "100ms"}


class Street:
    """A node with a plugin `good`, and room for bad ones next to it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        node.module("good.wat", answering("good"))
        node.want("good", "good.wat")
        node.until(lambda: node.ready("good"))

    def move_in(self, wasm: bytes, name: str = "bad", *, limits: dict[str, str] | None = None, **spec: Any) -> None:
        """Install a plugin, ready or not."""
        self.node.module(f"{name}.wat", wasm)
        self.node.want(name, f"{name}.wat", limits=SHORT | (limits or {}), rollout={"autoRevert": False}, **spec)

    def settle_in(self, wasm: bytes, name: str = "bad", **more: Any) -> None:
        """Install a plugin and wait until it is ready."""
        self.move_in(wasm, name, **more)
        self.node.until(lambda: self.node.ready(name))

    def ask(self, name: str = "bad", *, body: bytes = b"x" * 9) -> Response | Failure:
        """What comes of a request with everything in it, or why there is nothing."""
        request = Request(name, "POST", body=body, headers=[("a", "b")], trailers=[("c", "d")])
        try:
            return self.node.host.invoke(request)
        except GuestFailed as failed:
            return failed.failure

    def failure(self, name: str = "bad", **request: Any) -> Failure:
        """Why a request found no answer."""
        found = self.ask(name, **request)
        assert isinstance(found, Failure), found
        return found

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Ask the neighbour all the time meanwhile: it answers each time, and the instance that it has stays."""
        before = self.node.host.observe("good")
        ended = threading.Event()

        def keep_asking() -> int:
            asked = 0
            while not ended.is_set() or not asked:
                assert self.node.ask("good") == "good"
                asked += 1
                time.sleep(0.001)
            return asked

        with ThreadPoolExecutor(1) as threads:
            asked = threads.submit(keep_asking)
            try:
                yield
            finally:
                ended.set()
            assert asked.result() > 0
        after = self.node.host.observe("good")
        assert [pool.restarts for pool in after.pools] == [pool.restarts for pool in before.pools]

    def recovers(self, name: str = "bad") -> None:
        """The plugin's own next instance comes, as for any that failed."""
        self.node.until(lambda: any(pool.ready for pool in self.node.host.observe(name).pools))


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Street]:
    node = Node(tmp_path)
    node.start()
    yield Street(node)
    node.stop()
