from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.daemon import RunningDaemon

Follow = Callable[..., RunningDaemon]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[RunningDaemon]:
    """The daemon whose objects are followed. It has the module `hello.wat`."""
    daemon = RunningDaemon(tmp_path / "hub")
    daemon.module("hello.wat")
    daemon.start()
    try:
        yield daemon
    finally:
        daemon.stop()


@pytest.fixture
def follow(hub: RunningDaemon, tmp_path: Path) -> Iterator[Follow]:
    """Starts a daemon of a name that follows the hub, with further flags."""
    with ExitStack() as stack:

        def start(name: str, *flags: str) -> RunningDaemon:
            daemon = RunningDaemon(tmp_path / name, "--kube", hub.url, "--node", name, *flags)
            daemon.module("hello.wat")
            daemon.start()
            stack.callback(daemon.stop)
            return daemon

        yield start
