from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.access.parts import Authority
from tests.api.world import Files, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    directory = tmp_path / "specs"
    directory.mkdir()
    files = Files(directory)
    files.sync.start()
    yield World(files)
    files.sync.stop()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)
