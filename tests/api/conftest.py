from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.world import Client, Files, World, serving


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    files = Files(tmp_path)
    files.sync.start()
    yield World(files)
    files.sync.stop()


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    with serving(world.services()) as client:
        yield client
