"""The whole daemon: modules by path, url and image, signed, and a restart without any of their sources."""

import json
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from specs.model import API_VERSION
from tests.examples.daemon import Daemon, serve
from tests.fetch.registry_server import WASM, RegistryServer
from tests.fetch.signing import Signer
from tests.fetch.world import Site, reply, sha256
from tests.guest_wat import answering

SIGNER = Signer()


def want(specs: Path, name: str, module: dict[str, Any]) -> None:
    specs.mkdir(exist_ok=True)
    spec = {"module": module, "instances": 1, "rollout": {"minHealthyTime": "50ms"}}
    body = {"apiVersion": API_VERSION, "kind": "WasmPlugin", "metadata": {"name": name}, "spec": spec}
    (specs / f"{name}.json").write_text(json.dumps(body))


def until(condition: Callable[[], object]) -> None:
    deadline, pause = time.monotonic() + 20, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        pause.wait(0.02)


def reasons(daemon: Daemon) -> dict[str, str]:
    """The reason of each plugin's ModuleReady."""
    return {
        name: condition["reason"]
        for name, plugin in daemon.plugins().items()
        for condition in plugin.get("status", {}).get("conditions", [])
        if condition["type"] == "ModuleReady"
    }


@pytest.fixture
def module(tmp_path: Path) -> bytes:
    """A module in the root `modules`, signed."""
    (tmp_path / "modules").mkdir()
    wasm = answering("hello")
    (tmp_path / "modules/a.wasm").write_bytes(wasm)
    (tmp_path / "modules/a.wasm.minisig").write_bytes(SIGNER.sign(wasm))
    (tmp_path / "modules/key.pub").write_text(SIGNER.public_file)
    return wasm


def test_modules_run_from_everywhere_and_again_when_their_sources_are_gone(
    tmp_path: Path, module: bytes, site: Site
) -> None:
    site.pages["/a.wasm"] = reply(body=module)
    site.pages["/a.wasm.minisig"] = reply(body=SIGNER.sign(module))
    verify = {"ed25519": {"publicKeyFile": "key.pub"}}
    specs = tmp_path / "specs"
    want(specs, "path", {"path": "a.wasm", "verify": verify})
    want(specs, "url", {"url": site.url("/a.wasm"), "digest": sha256(module), "verify": verify})
    names = {"path", "url", "image"}
    flags = ("--specs", specs, "--module-root", tmp_path / "modules", "--module-hosts", "127.0.0.1")

    with RegistryServer(tmp_path / "registry") as registry, serve(tmp_path / "state", *flags) as daemon:
        digest = registry.image("acme/served", (WASM, module))
        want(specs, "image", {"image": f"{registry.address}/acme/served@{digest}"})
        daemon.wait_until_ready(names)
        assert {daemon.call(name).body for name in names} == {b"hello"}
        until(lambda: daemon.plugins()["path"]["status"]["revision"]["lastGood"])
    site.close()
    for file in ("a.wasm", "a.wasm.minisig"):
        (tmp_path / "modules" / file).unlink()
    shutil.rmtree(tmp_path / "state/aot")

    with serve(tmp_path / "state", *flags) as daemon:
        until(lambda: {daemon.call(name).body for name in names} == {b"hello"})
        assert "there is no file" in json.dumps(daemon.plugins()["path"]["status"]["conditions"])


def test_what_is_refused_says_why(tmp_path: Path, module: bytes, site: Site) -> None:
    site.pages["/a.wasm"] = reply(body=module)
    (tmp_path / "modules/other.pub").write_text(Signer(b"another!").public_file)
    specs = tmp_path / "specs"
    want(specs, "inside", {"url": site.url("/a.wasm"), "digest": sha256(module)})
    want(specs, "forged", {"path": "a.wasm", "verify": {"ed25519": {"publicKeyFile": "other.pub"}}})
    want(specs, "out", {"path": "../../../../../../../../etc/passwd"})
    want(specs, "tagged", {"image": "ghcr.io/acme/a:v1"})
    wanted = {
        "inside": "BlockedAddress", "forged": "SignatureInvalid", "out": "PolicyDenied", "tagged": "PolicyDenied",
    }  # fmt: skip

    with serve(tmp_path / "state", "--specs", specs, "--module-root", tmp_path / "modules") as daemon:
        until(lambda: reasons(daemon) == wanted)
    assert site.seen == []


def test_a_tag_runs_where_the_flag_allows_it(tmp_path: Path, module: bytes, registry: RegistryServer) -> None:
    registry.image("acme/moving", (WASM, module))
    specs = tmp_path / "specs"
    want(specs, "tagged", {"image": f"{registry.address}/acme/moving:v1"})
    flags = ("--module-hosts", "127.0.0.1", "--allow-image-tags")

    with serve(tmp_path / "state", "--specs", specs, "--module-root", tmp_path / "modules", *flags) as daemon:
        daemon.wait_until_ready({"tagged"})
        assert daemon.call("tagged").body == b"hello"
