"""Running helm, and reading what it renders."""

import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests import parts
from tests.charts.generate import CHART

Object = dict[str, Any]
NAME: Final = "demo-wasm-reconciler"


class Refused(Exception):
    """helm said no; the message is its own."""


def run(*arguments: str | Path, stdin: str = "", cwd: Path | None = None) -> str:
    """What helm prints. Refused where it fails."""
    command = [str(parts.helm()), *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, cwd=cwd, timeout=60)
    if done.returncode != 0:
        raise Refused(done.stderr)
    return done.stdout


def template(values: Mapping[str, Any], *, version: str = "1.37.0", chart: Path | str = CHART) -> list[Object]:
    """The objects that a release called demo has."""
    text = run(
        "template", "demo", chart, "--namespace=apps", f"--kube-version={version}", "-f", "-", stdin=yaml.dump(values)
    )
    return [found for found in yaml.safe_load_all(text) if found]


def template_many(values: Mapping[str, Mapping[str, Any]], folder: Path, *, version: str) -> dict[str, list[Object]]:
    """The objects for each of several values, by one run of helm: of a chart that has this one as often, by aliases.

    `folder` is an empty directory to make that chart in.
    """
    aliases = {f"chart{number}": name for number, name in enumerate(values)}
    depend(folder, *aliases)
    given = yaml.dump({alias: values[name] for alias, name in aliases.items()})
    text = run("template", "demo", folder, "--namespace=apps", f"--kube-version={version}", "-f", "-", stdin=given)
    found: dict[str, list[Object]] = {name: [] for name in values}
    for part in text.split("---\n# Source: many/charts/")[1:]:
        body = yaml.load(part.partition("\n")[2], yaml.CSafeLoader)  # plain data; faster by far than in Python
        if body:
            found[aliases[part.partition("/")[0]]].append(body)
    return found


def depend(folder: Path, *names: str) -> None:
    """Make a chart that has this one as a dependency, by each of the names."""
    (folder / "charts").mkdir()
    (folder / "charts" / "wasm-reconciler").symlink_to(CHART)
    entry = {"name": "wasm-reconciler", "version": "0.1.0"}
    entries = [entry | ({} if name == "wasm-reconciler" else {"alias": name}) for name in names]
    (folder / "Chart.yaml").write_text(
        yaml.dump({"apiVersion": "v2", "name": "many", "version": "1.0.0", "dependencies": entries})
    )


def ci(name: str) -> Object:
    """The values of `ci/NAME-values.yaml`."""
    found: Object = yaml.safe_load((CHART / "ci" / f"{name}-values.yaml").read_text())
    return found


def ci_names() -> list[str]:
    """What there is in ci/."""
    return sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").glob("*-values.yaml"))


def one(objects: Iterable[Object], kind: str, suffix: str = "") -> Object:
    """The object of that kind and name. AssertionError where there is none."""
    named = [found for found in objects if found["kind"] == kind and found["metadata"]["name"] == NAME + suffix]
    assert len(named) == 1, f"{len(named)} of {kind} {NAME}{suffix}"
    return named[0]


def pod(objects: Iterable[Object]) -> Object:
    """The spec of the pods."""
    owners = [found for found in objects if found["kind"] in ("Deployment", "DaemonSet")]
    assert len(owners) == 1
    spec: Object = owners[0]["spec"]["template"]["spec"]
    return spec


def daemon(spec: Object) -> Object:
    """The daemon's container in a pod's spec."""
    containers = [*spec.get("initContainers", ()), *spec["containers"]]
    found: Object = next(container for container in containers if container["name"] == "wasm-reconciler")
    return found


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> Object:
    """Values over values, as helm lays them."""
    found = dict(base)
    for key, value in over.items():
        below = found.get(key)
        found[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return found
