"""Client libraries, unmodified: create, read, update, delete, conflicts, and a watch that outlives the daemon."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any

import kr8s
import kr8s.asyncio
import kr8s.objects
import kubernetes
import lightkube
import pytest
import urllib3
from kubernetes.dynamic import DynamicClient
from lightkube.core.exceptions import ApiError as LightkubeError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta

from tests.daemon import ROOT, RunningDaemon, until
from tests.kube.manifests import plugin

# The libraries leave closing their connections to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("collected"),
]
GROUP = ("wasm-reconciler.dev", "v1alpha1")


class Following:
    """Collects what a watch says, on a thread of its own."""

    def __init__(self, events: Callable[[], Iterator[tuple[str, str]]]) -> None:
        self.seen: list[tuple[str, str]] = []
        self._events = events
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for event in self._events():
            self.seen.append(event)
            if event[1] == "last":
                return

    def until(self, *event: str) -> None:
        until(lambda: event in self.seen, f"{event} in {self.seen}", timeout=30)

    def join(self) -> None:
        self._thread.join(timeout=20)
        assert not self._thread.is_alive()


@pytest.fixture
def kubeconfig(own_node: RunningDaemon, tmp_path: Path) -> str:
    path = tmp_path / "kubeconfig"
    path.write_text(
        "apiVersion: v1\nkind: Config\ncurrent-context: n\n"
        f"clusters: [{{name: n, cluster: {{server: '{own_node.url}'}}}}]\n"
        "contexts: [{name: n, context: {cluster: n, user: u, namespace: default}}]\n"
        "users: [{name: u, user: {token: none}}]\n"
    )
    return str(path)


# --- lightkube -----------------------------------------------------------------------------------------------------


def test_lightkube(own_node: RunningDaemon, kubeconfig: str) -> None:
    WasmPlugin = create_namespaced_resource(*GROUP, "WasmPlugin", "wasmplugins")
    client = lightkube.Client(
        lightkube.KubeConfig.from_file(kubeconfig), namespace="default", field_manager="lightkube-test"
    )

    def make(name: str, **spec: Any) -> Any:
        return WasmPlugin(metadata=ObjectMeta(name=name), spec=plugin(name, **spec)["spec"])

    def events() -> Iterator[tuple[str, str]]:
        version = None
        while True:
            try:
                # Lightkube lists anew by itself when it is told that its version is gone, and asks how to go on.
                for kind, item in client.watch(WasmPlugin, resource_version=version, on_error=go_on):
                    version = item.metadata.resourceVersion
                    yield kind, item.metadata.name
            except Exception as ex:
                if not type(ex).__module__.startswith("httpx"):
                    raise
                time.sleep(0.05)  # between two tries to connect

    told: list[str] = []

    def go_on(error: Exception, count: int) -> Any:
        told.append(str(error))
        return lightkube.types.OnErrorResult(lightkube.types.OnErrorAction.RETRY, 0.05)

    client.create(make("a", instances=0))
    follow = Following(events)
    follow.until("ADDED", "a")
    assert client.get(WasmPlugin, "a").spec["instances"] == 0
    client.patch(WasmPlugin, "a", {"spec": {"route": "r"}}, patch_type=lightkube.types.PatchType.MERGE)
    follow.until("MODIFIED", "a")
    client.apply(make("b", instances=0))
    assert [item.metadata.name for item in client.list(WasmPlugin)] == ["a", "b"]
    assert [item.metadata.name for item in client.list(WasmPlugin, chunk_size=1)] == ["a", "b"]
    stale = client.get(WasmPlugin, "a")
    client.patch(WasmPlugin, "a", {"spec": {"route": "s"}}, patch_type=lightkube.types.PatchType.MERGE)
    stale.spec["route"] = "t"
    with pytest.raises(LightkubeError) as caught:
        client.replace(stale)
    assert (caught.value.status.code, caught.value.status.reason) == (409, "Conflict")
    own_node.restart()
    client.create(make("after", instances=0))
    follow.until("ADDED", "after")
    assert any("too old resource version" in one for one in told), told
    client.delete(WasmPlugin, "b")
    follow.until("DELETED", "b")
    client.wait(WasmPlugin, "a", for_conditions=["Ready"], raise_for_conditions=[])
    client.create(make("last", instances=0))
    follow.join()


# --- the official client, dynamic ----------------------------------------------------------------------------------


def test_the_official_client(own_node: RunningDaemon, kubeconfig: str, tmp_path: Path) -> None:
    api = kubernetes.config.new_client_from_config(kubeconfig)
    client = DynamicClient(api, cache_file=str(tmp_path / "discovery"))
    plugins = client.resources.get(api_version="/".join(GROUP), kind="WasmPlugin")

    def events() -> Iterator[tuple[str, str]]:
        version = None
        while True:
            try:
                if version is None:
                    listed = plugins.get(namespace="default")
                    version = listed.metadata.resourceVersion
                    for item in listed.items:
                        yield "LISTED", item.metadata.name
                for event in plugins.watch(namespace="default", resource_version=version, timeout=5):
                    version = event["object"].metadata.resourceVersion
                    yield event["type"], event["object"].metadata.name
            except kubernetes.client.ApiException as ex:
                assert ex.status == 410
                version = None
                yield "GONE", ""
            except (OSError, HTTPException, urllib3.exceptions.HTTPError):
                time.sleep(0.05)  # between two tries to connect

    follow = Following(events)
    plugins.create(body=plugin("a", instances=0), namespace="default")
    follow.until("ADDED", "a")
    plugins.patch(
        body={"spec": {"route": "r"}}, name="a", namespace="default", content_type="application/merge-patch+json"
    )
    follow.until("MODIFIED", "a")
    read = plugins.get(name="a", namespace="default")
    assert read.spec.route == "r"
    plugins.server_side_apply(
        body=plugin("a", route="r"), name="a", namespace="default", field_manager="me", force_conflicts=True
    )
    stale = read.to_dict()
    stale["spec"]["instances"] = 3
    with pytest.raises(kubernetes.client.ApiException) as caught:
        plugins.replace(body=stale, name="a", namespace="default")
    assert caught.value.status == 409
    own_node.restart()
    until(lambda: ("GONE", "") in follow.seen, "that the watch is told to list anew")
    plugins.create(body=plugin("after", instances=0), namespace="default")
    until(lambda: {("ADDED", "after"), ("LISTED", "after")} & set(follow.seen), "that the watch goes on")
    plugins.delete(name="a", namespace="default")
    follow.until("DELETED", "a")
    plugins.create(body=plugin("last", instances=0), namespace="default")
    follow.join()
    api.close()


# --- kr8s ----------------------------------------------------------------------------------------------------------


def test_kr8s(own_node: RunningDaemon, kubeconfig: str) -> None:
    api = kr8s.api(kubeconfig=kubeconfig)
    WasmPlugin = kr8s.objects.new_class(
        "WasmPlugin", "/".join(GROUP), namespaced=True, scalable=True, scalable_spec="instances"
    )
    one = WasmPlugin(plugin("a", instances=0), api=api)
    one.create()
    assert one.exists()
    one.patch({"spec": {"route": "r"}})
    one.refresh()
    assert one.spec.route == "r"
    one.scale(1)
    one.wait("condition=Ready", timeout=20)
    one.label({"team": "x"})
    assert [found.name for found in api.get("wasmplugins", label_selector={"team": "x"})] == ["a"]
    with pytest.raises(kr8s.ServerError) as caught:
        one.patch({"metadata": {"resourceVersion": "1"}})
    assert caught.value.response is not None
    assert caught.value.response.status_code == 409
    seen: list[tuple[str, str]] = []

    async def follow() -> None:
        client = await kr8s.asyncio.api(kubeconfig=kubeconfig)
        while not any(name == "last" for _, name in seen):
            try:
                async for kind, item in client.watch("wasmplugins"):
                    seen.append((kind, item.name))
                    if item.name == "last":
                        return
            except Exception as ex:
                if not type(ex).__module__.startswith(("httpx", "kr8s")):
                    raise
                await asyncio.sleep(0.05)

    thread = threading.Thread(target=lambda: asyncio.run(follow()), daemon=True)
    thread.start()
    until(lambda: ("ADDED", "a") in seen, "that the watch begins")
    own_node.restart()
    WasmPlugin(plugin("after", instances=0), api=api).create()
    until(lambda: ("ADDED", "after") in seen, "that the watch goes on")
    one.delete()
    until(lambda: not one.exists(), "that it is gone")
    WasmPlugin(plugin("last", instances=0), api=api).create()
    thread.join(timeout=20)
    assert not thread.is_alive()


# --- kopf ----------------------------------------------------------------------------------------------------------

OPERATOR = """
import kopf

@kopf.on.startup()
def configure(settings, **_):
    settings.posting.enabled = False
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage()

@kopf.on.create("wasm-reconciler.dev", "v1alpha1", "wasmplugins")
def created(name, spec, **_):
    print("CREATED", name, spec["module"]["path"], flush=True)

@kopf.on.update("wasm-reconciler.dev", "v1alpha1", "wasmplugins", field="spec.route")
def updated(name, new, **_):
    print("UPDATED", name, new, flush=True)

@kopf.on.delete("wasm-reconciler.dev", "v1alpha1", "wasmplugins", optional=True)
def deleted(name, **_):
    print("FINALIZED", name, flush=True)

@kopf.on.event("wasm-reconciler.dev", "v1alpha1", "wasmplugins")
def event(type, name, **_):
    print("EVENT", type, name, flush=True)
"""


def test_an_operator(own_node: RunningDaemon, kubeconfig: str, tmp_path: Path) -> None:
    operator = tmp_path / "operator.py"
    operator.write_text(OPERATOR)
    process = subprocess.Popen(
        [sys.executable, "-m", "kopf", "run", str(operator), "--standalone", "--namespace=default", "--verbose"],
        env={"KUBECONFIG": kubeconfig, "PATH": "", "HOME": str(tmp_path)},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    said: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=said.extend, args=(process.stdout,))
    reader.start()

    def says(line: str) -> None:
        until(lambda: any(one.strip() == line for one in said), f"{line!r} in {''.join(said[-40:])}", timeout=30)

    try:
        own_node.ask(
            "POST", "/apis/wasm-reconciler.dev/v1alpha1/namespaces/default/wasmplugins", plugin("a", instances=0)
        )
        says("CREATED a hello.wat")
        own_node.ask(
            "PATCH",
            "/apis/wasm-reconciler.dev/v1alpha1/namespaces/default/wasmplugins/a",
            {"spec": {"route": "r"}},
            {"Content-Type": "application/merge-patch+json"},
        )
        says("UPDATED a r")
        own_node.ask("DELETE", "/apis/wasm-reconciler.dev/v1alpha1/namespaces/default/wasmplugins/a")
        says("EVENT DELETED a")
    finally:
        process.terminate()
        process.wait(timeout=20)
        reader.join()
        process.stdout.close()
