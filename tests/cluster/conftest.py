from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.daemon import RunningDaemon, running

Follow = Callable[..., RunningDaemon]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningDaemon]:
    """The daemon whose objects are followed. It has the module `hello.wat`."""
    with running(tmp_path / "hub") as daemon:
        yield daemon


@pytest.fixture
def follow(hub: RunningDaemon, tmp_path: Path) -> Iterator[Follow]:
    """Starts a daemon of a name that follows the hub, with further flags."""
    with ExitStack() as stack:

        def start(name: str, *flags: str) -> RunningDaemon:
            return stack.enter_context(running(tmp_path / name, "--kube", hub.url, "--node", name, *flags))

        yield start
