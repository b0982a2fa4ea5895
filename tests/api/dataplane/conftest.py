"""A running data plane on a port of its own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from api.dataplane.server import DataPlane
from api.dataplane.settings import Settings
from api.settings import Address
from tests.api.dataplane.parts import Route, RouteDispatcher, echo, eventually

Start = Callable[..., DataPlane]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts data planes over routes, and stops them at the end; no thread may be left."""
    before = set(threading.enumerate())
    with ExitStack() as stack:

        def start_one(
            routes: dict[str, Route] | RouteDispatcher, settings: Settings | None = None, **more
        ) -> DataPlane:
            dispatcher = routes if isinstance(routes, RouteDispatcher) else RouteDispatcher(routes)
            plane = DataPlane(dispatcher, Address("127.0.0.1", 0), settings or Settings(), **more)
            plane.start()
            stack.callback(plane.stop, 0.0)
            return plane

        yield start_one
    eventually(lambda: set(threading.enumerate()) <= before)


@pytest.fixture(params=[True, False], ids=["inline", "on threads"])
def plane(start: Start, request: pytest.FixtureRequest) -> DataPlane:
    """One data plane with the route `echo`, called either way."""
    return start({"echo": Route(echo, inline=request.param), "a b/ü": Route(echo, inline=request.param)})
