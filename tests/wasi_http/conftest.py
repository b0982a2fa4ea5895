"""One engine for all tests of components, one world for each."""

from collections.abc import Iterator

import pytest

from reconciler.wasm.engine import Engine
from tests.wasi_http.world import World


@pytest.fixture(scope="package")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def world(engine: Engine) -> Iterator[World]:
    world = World(engine)
    yield world
    world.close()
