import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon import RunningDaemon, running, until
from tests.kube.kubectl import VERSIONS, Kubectl
from tests.kube.manifests import ALL


@pytest.fixture(scope="session")
def shared_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    """One daemon for all tests of a worker, with a module `hello.wat`; see `node`."""
    with running(tmp_path_factory.mktemp("node")) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def collected() -> Iterator[None]:
    """For modules with clients of others that leave sockets to the garbage collector: not to that of other tests."""
    yield
    gc.collect()


@pytest.fixture
def node(shared_node: RunningDaemon) -> RunningDaemon:
    """A daemon without any plugin."""
    for file in shared_node.specs.iterdir():
        file.unlink()
    until(lambda: not shared_node.json(ALL)["items"], "that all plugins are gone")
    return shared_node


@pytest.fixture
def own_node(tmp_path: Path) -> Iterator[RunningDaemon]:
    """A daemon of the test's own, to be restarted."""
    with running(tmp_path / "node") as daemon:
        yield daemon


@pytest.fixture(params=VERSIONS, ids=[f"kubectl-{version}" for version in VERSIONS])
def kubectl(request: pytest.FixtureRequest, node: RunningDaemon, tmp_path: Path) -> Kubectl:
    """Each version of kubectl, pointed at the daemon."""
    return Kubectl(request.param, node.url, tmp_path / "home")
