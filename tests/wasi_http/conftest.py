"""One engine for all tests of components, and what it compiled; one world for each."""

from collections.abc import Iterator

import pytest

from reconciler.wasm.engine import Engine
from tests.wasi_http.world import Modules, World


@pytest.fixture(scope="package")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture(scope="package")
def modules(engine: Engine) -> Iterator[Modules]:
    modules = Modules(engine)
    yield modules
    modules.close()


@pytest.fixture
def world(modules: Modules) -> Iterator[World]:
    world = World(modules)
    yield world
    world.close()
