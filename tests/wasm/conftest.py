"""One engine for each test module: compiling for it is what takes the time."""

from collections.abc import Iterator

import pytest

from reconciler.wasm.engine import Engine
from tests.wasm.world import World


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def world(engine: Engine) -> World:
    return World(engine)
