"""The chart as a package, in a real OCI registry, and from there."""

import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests import parts
from tests.charts.generate import CHART
from tests.charts.helm import ci, daemon, pod, run, template
from tests.daemon import until
from tests.parts import ROOT


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


def _commands(readme: Path) -> list[list[str]]:
    """The three commands that lead from nothing to a sidecar."""
    (found,) = re.findall(r"```console[^\n]*\n(\$ docker build .*?)```", readme.read_text(), re.DOTALL)
    return [shlex.split(line.removeprefix("$ ")) for line in found.strip().splitlines()]


@pytest.mark.parametrize("readme", [ROOT / "README.md", CHART / "README.md"], ids=["project", "chart"])
def test_the_three_commands_fit_together(readme: Path) -> None:
    build, install, ask = _commands(readme)
    assert build[:3] == ["docker", "build", "--tag"]
    assert (ROOT / "Dockerfile").is_file()
    said = run(*install[1:], "--dry-run=client", cwd=ROOT)
    objects = yaml.safe_load_all(said.partition("MANIFEST:\n")[2].partition("\nNOTES:")[0])
    rendered = [found for found in objects if found]
    assert daemon(pod(rendered))["image"] == build[3]

    assert ask[:2] == ["kubectl", "exec"]
    kind, _, name = ask[2].partition("/")
    assert [found["metadata"]["name"] for found in rendered if found["kind"].lower() == kind] == [name]
    container = ask[ask.index("--container") + 1]
    (application,) = [found for found in pod(rendered)["containers"] if found["name"] == container]
    assert ask[ask.index("--") + 1] in application["image"]
    listen = next(arg for arg in daemon(pod(rendered))["args"] if arg.startswith("--listen=")).partition("=")[2]
    specs = next(found["data"] for found in rendered if found["kind"] == "ConfigMap" and "hello.yaml" in found["data"])
    assert ask[-1] == f"http://{listen}/invoke/{yaml.safe_load(specs['hello.yaml'])['metadata']['name']}"


def test_a_chart_gets_the_sidecar_from_the_registry_as_the_readme_says(registry: str, tmp_path: Path) -> None:
    run("package", CHART, "--destination", tmp_path)
    run("push", tmp_path / "wasm-reconciler-0.1.0.tgz", f"oci://{registry}/charts", "--plain-http")
    section = (CHART / "README.md").read_text().partition("## In a chart that you have")[2]
    dependencies, values, line = re.findall(r"```yaml\n(.*?)```", section, re.DOTALL)[:3]
    mine = tmp_path / "mine"
    (mine / "templates").mkdir(parents=True)
    dependencies = dependencies.replace("oci://ghcr.io/wasm-reconciler/charts", f"oci://{registry}/charts")
    (mine / "Chart.yaml").write_text(f"apiVersion: v2\nname: mine\nversion: 1.0.0\n{dependencies}")
    (mine / "values.yaml").write_text(values)
    pods = line.replace("containers: ...", "containers: [{name: app, image: 'app:1'}]")
    (mine / "templates" / "deployment.yaml").write_text(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: mine}\nspec:\n  template:\n" + pods
    )
    run("dependency", "update", mine, "--plain-http")
    objects = template({}, chart=mine)
    assert [found["name"] for found in pod(objects)["containers"]] == ["app"]
    assert daemon(pod(objects))["restartPolicy"] == "Always"
    assert {found["kind"] for found in objects} == {"ConfigMap", "Deployment"}
