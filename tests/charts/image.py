"""The image, made as its Dockerfile says, without a container engine: the same build script in a root of its own.

Belongs here: reading the Dockerfile, roots to run in. Does not: pods (node.py).
"""

import fcntl
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from tests import parts
from tests.parts import CACHE, ROOT

PLACE: Final = "/opt/wasm-reconciler"
"""Where the image has the daemon."""

_SHARED: Final = ("/usr", "/etc", "/dev", "/proc", "/sys")
"""What stands in for the base image."""


@dataclass(frozen=True)
class Mount:
    """A directory of this machine at a place in a root."""

    source: Path
    target: str
    read_only: bool = True


@dataclass(frozen=True)
class Image:
    """A built image: its files, and how it is started."""

    files: Path
    user: str
    environment: dict[str, str]
    entrypoint: list[str]
    command: list[str]

    def mounts(self) -> list[Mount]:
        """What a container of it sees."""
        return [*base(), Mount(self.files, PLACE)]


def need_root() -> None:
    """Skip where mounts and network namespaces cannot be made."""
    if os.geteuid() != 0:
        pytest.skip("only root can make read-only roots and network namespaces")
    for name in ("unshare", "nsenter", "setpriv"):
        parts.program(name, "util-linux")


def base() -> list[Mount]:
    """The base image: this machine's programs, and this Python."""
    return [Mount(Path(path), path) for path in (*_SHARED, sys.base_prefix)]


def enter(root: Path, mounts: Iterable[Mount], command: list[str]) -> str:
    """Shell text that makes a root of mounts, read-only elsewhere, and goes on as a command in it.

    For `unshare --mount`: the mounts end with the process. `root` is an empty directory.
    """
    at = shlex.quote(str(root))
    lines = ["set -e", f"mount -t tmpfs -o mode=755 pod {at}"]
    lines += [f"cp -P {link} {at}/" for link in ("/bin", "/sbin", "/lib", "/lib64") if Path(link).is_symlink()]
    for mount in mounts:
        target = shlex.quote(f"{root}{mount.target}")
        lines += [f"mkdir -p {target}", f"mount --rbind {shlex.quote(str(mount.source))} {target}"]
        if mount.read_only and mount.target not in ("/dev", "/proc", "/sys"):
            lines.append(f"mount -o remount,bind,ro {target}")
    lines.append(f"mount -o remount,ro {at}")
    return "\n".join([*lines, f"exec chroot {at} {shlex.join(command)}"])


def build() -> Image:
    """The image of the sources as they are; made once for them."""
    need_root()
    dockerfile = _instructions((ROOT / "Dockerfile").read_text())
    run = next(text for verb, text in dockerfile if verb == "RUN" and "build.sh" in text)
    files = _built(run)
    last = dict(dockerfile)
    environment = dict(part.split("=", 1) for part in shlex.split(last["ENV"]))
    environment["PATH"] = environment["PATH"].replace("$PATH", "/usr/local/bin:/usr/bin:/bin")
    return Image(files, last["USER"], environment, json.loads(last["ENTRYPOINT"]), json.loads(last["CMD"]))


def _instructions(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    return [(line.split(None, 1)[0], line.split(None, 1)[1]) for line in lines]


def _built(run: str) -> Path:
    sources = _sources()
    digest = hashlib.sha256(run.encode())
    for path in sources:
        digest.update(str(path).encode() + b"\0" + path.read_bytes())
    target = CACHE / f"image-{digest.hexdigest()[:16]}"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "image.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (target / "done").exists():
            for old in CACHE.glob("image-*"):
                shutil.rmtree(old)
            _make(run, sources, target)
            (target / "done").touch()
    return target / "files"


def _sources() -> list[Path]:
    """What the Dockerfile copies: `.dockerignore` lets nothing else through."""
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    found: list[Path] = []
    for name in allowed:
        path = ROOT / name
        found += [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return sorted(path for path in found if "__pycache__" not in path.parts)


def _make(run: str, sources: list[Path], target: Path) -> None:
    source, files, root, temporary = (target / name for name in ("source", "files", "root", "tmp"))
    for folder in (source, files, root, temporary):
        folder.mkdir(parents=True)
    for path in sources:
        copy = source / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy)
    ours = [Mount(source, "/source", False), Mount(files, PLACE, False), Mount(temporary, "/tmp", False)]
    # What pip of this machine may need to find packages, besides the network.
    ours += [Mount(path, str(path)) for path in Path("/opt").iterdir() if path.is_dir() and str(path) != PLACE]
    python = os.path.join(sys.base_prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    script = enter(root, [*base(), *ours], ["env", "HOME=/tmp", *shlex.split(run), python])
    done = subprocess.run(
        ["unshare", "--mount", "--propagation=private", "sh", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode != 0 and re.search("Connection|No matching distribution|Temporary failure", done.stderr):
        parts.absent(f"pip could not get the image's packages: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr[-3000:]
    shutil.rmtree(source)
