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
