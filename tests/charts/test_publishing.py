"""The chart as a package, in a real OCI registry, and from there."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests import parts
from tests.charts.generate import CHART
from tests.charts.helm import ci, run, template
from tests.daemon import until


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Its HOST:PORT: a port that was free a moment ago; the registry takes no 0."""
    program = parts.program("docker-registry", "docker-registry")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    config = tmp_path / "registry.yaml"
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "registry")}}
    config.write_text(yaml.dump({"version": 0.1, "storage": storage, "http": {"addr": address}}))
    with (tmp_path / "registry.log").open("w") as log:
        process = subprocess.Popen([program, "serve", config], stdout=log, stderr=log)
    try:
        until(lambda: _connects(address), "the registry listens")
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _connects(address: str) -> bool:
    host, _, port = address.partition(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


def test_it_is_packed_pushed_and_rendered_from_the_registry(registry: str, tmp_path: Path) -> None:
    run("package", CHART, "--destination", tmp_path)
    package = tmp_path / "wasm-reconciler-0.1.0.tgz"
    run("push", package, f"oci://{registry}/charts", "--plain-http")
    package.unlink()
    pulled = tmp_path / "pulled"
    run("pull", f"oci://{registry}/charts/wasm-reconciler", "--version=0.1.0", "--plain-http", "--untar", "-d", pulled)
    for name in ("sidecar", "deployment"):
        assert template(ci(name), chart=pulled / "wasm-reconciler") == template(ci(name))
    text = run(
        *("template", "demo", f"oci://{registry}/charts/wasm-reconciler", "--version=0.1.0", "--plain-http"),
        *("--namespace=apps", "--kube-version=1.37.0", "-f", CHART / "ci" / "sidecar-values.yaml"),
    )
    assert [found for found in yaml.safe_load_all(text) if found] == template(ci("sidecar"))


def test_the_package_has_the_definition_and_nothing_of_the_tests(tmp_path: Path) -> None:
    run("package", CHART, "--destination", tmp_path)
    shutil.unpack_archive(tmp_path / "wasm-reconciler-0.1.0.tgz", tmp_path)
    found = {
        path.relative_to(tmp_path / "wasm-reconciler").parts[0] for path in (tmp_path / "wasm-reconciler").iterdir()
    }
    assert found == {"Chart.yaml", ".helmignore", "README.md", "crds", "templates", "values.schema.json", "values.yaml"}
