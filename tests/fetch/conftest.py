"""Servers for the tests of fetching."""

from collections.abc import Callable, Iterator

import pytest

from tests.fetch.registry_server import RegistryServer
from tests.fetch.world import Site


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


@pytest.fixture
def sites() -> Iterator[Callable[[], Site]]:
    """Makes sites."""
    made: list[Site] = []

    def make() -> Site:
        made.append(Site())
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegistryServer]:
    """A registry that everybody may read and write."""
    with RegistryServer(tmp_path_factory.mktemp("registry")) as server:
        yield server
