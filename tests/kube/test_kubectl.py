"""The real kubectl, in two versions, against a running daemon: what people do with it, told as stories."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.daemon import RunningDaemon, until
from tests.kube.kubectl import Kubectl, rows
from tests.kube.manifests import ALL, manifest

NAME = "wasmplugin.wasm-reconciler.dev"


def names(node: RunningDaemon) -> list[str]:
    return [item["metadata"]["name"] for item in node.json(ALL)["items"]]


def test_looking_around(kubectl: Kubectl) -> None:
    resources = kubectl.says("api-resources")
    assert any(
        line.split()[:3] == ["wasmplugins", "wp", "wasm-reconciler.dev/v1alpha1"] for line in resources.splitlines()
    )
    assert kubectl.says("api-resources", "--categories=all", "-o", "name").split() == [
        "wasmplugins.wasm-reconciler.dev"
    ]
    assert "wasm-reconciler.dev/v1alpha1" in kubectl.says("api-versions").split()
    limits = kubectl.says("explain", "wasmplugin.spec.limits")
    assert "What one instance may use; enforced" in limits
    assert "memory\t<Size>" in limits
    assert "observed" in kubectl.says("explain", "wp.status")
    assert "required" in kubectl.says("explain", "wp", "--recursive")
    assert rows(kubectl.says("get", "namespaces"))[0][:2] == ["default", "Active"]
    assert "v1.35.0+wasm-reconciler" in kubectl.says("version", "-o", "json")


def test_auth_can_i_is_honest(kubectl: Kubectl) -> None:
    assert kubectl.says("auth", "can-i", "create", "wp").strip() == "yes"
    assert kubectl.says("auth", "can-i", "patch", "wp", "--subresource=scale").strip() == "yes"
    for question in (["create", "pods"], ["delete", "events"], ["update", "wp", "--subresource=status"]):
        answer = kubectl("auth", "can-i", *question)
        assert (answer.code, answer.out.split()[0]) == (1, "no"), question
    assert kubectl("auth", "can-i", "get", "wp", "-n", "kube-system").out.startswith("no")
    assert kubectl.says("auth", "can-i", "get", "/version").strip() == "yes"
    assert "wasmplugins.wasm-reconciler.dev/scale" in kubectl.says("auth", "can-i", "--list")


def test_apply_and_look(kubectl: Kubectl, node: RunningDaemon) -> None:
    text = manifest("a", instances=2, labels="team: x", spec="  limits: {memory: 1Mi}\n")
    assert kubectl.says("apply", "-f", "-", stdin=text) == f"{NAME}/a created\n"
    file = node.specs / "a.yaml"
    assert "instances: 2" in file.read_text()
    assert "managedFields" not in file.read_text()
    assert kubectl.says("apply", "-f", "-", stdin=text) == f"{NAME}/a unchanged\n"
    kubectl.says("wait", "--for=condition=Ready", "wp/a", "--timeout=20s")

    table = kubectl.says("get", "wp")
    assert table.split("\n")[0].split() == ["NAME", "ROUTE", "READY", "REVISION", "STATUS", "AGE"]
    (row,) = rows(table)
    assert (row[0], row[1], row[2], row[4]) == ("a", "a", "2/2", "Ready")
    wide = kubectl.says("get", "wasmplugins", "-o", "wide")
    assert wide.split("\n")[0].split()[6:] == ["MODULE", "OWNER", "RESTARTS", "P99"]
    assert rows(wide)[0][6:9] == ["hello.wat", "a.yaml:1", "0"]
    assert node.serve("a") == b"hello"
    until(lambda: re.fullmatch(r"[0-9.]+ms", rows(kubectl.says("get", "wp", "-o", "wide"))[0][9]), "a latency")
    assert f"{NAME}/a" in kubectl.says("get", "all", "-o", "name")
    (shown,) = yaml.safe_load_all(kubectl.says("get", "wp", "a", "-o", "yaml"))
    assert (shown["apiVersion"], shown["kind"]) == ("wasm-reconciler.dev/v1alpha1", "WasmPlugin")
    assert (shown["metadata"]["name"], shown["metadata"]["labels"]) == ("a", {"team": "x"})
    assert shown["spec"] == {"module": {"path": "hello.wat"}, "instances": 2, "limits": {"memory": "1Mi"}}
    assert shown["status"]["instances"]["ready"] == 2
    assert "managedFields" not in shown["metadata"]
    assert kubectl.says("get", "wp", "a", "-o", "jsonpath={.spec.instances}/{.status.instances.ready}") == "2/2"
    assert kubectl.says("get", "wp", "a", "-o", "custom-columns=M:.spec.module.path").split() == ["M", "hello.wat"]
    assert kubectl.says("get", "wp", "-l", "team=x", "-o", "name") == f"{NAME}/a\n"
    assert kubectl.says("get", "wp", "-l", "team!=x", "-o", "name") == ""
    assert kubectl.says("get", "wp", "--field-selector", "status.instances.ready=2", "-o", "name") == f"{NAME}/a\n"

    changed = text.replace("instances: 2", "instances: 1")
    differs = kubectl("diff", "-f", "-", stdin=changed)
    assert differs.code == 1, differs
    assert "-  instances: 2" in differs.out
    assert "+  instances: 1" in differs.out
    dry = kubectl.says("apply", "--dry-run=server", "-f", "-", stdin=changed)
    assert dry == f"{NAME}/a configured (server dry run)\n"
    assert "instances: 2" in file.read_text()
    applied = kubectl("apply", "-v=8", "-f", "-", stdin=changed)
    assert applied.code == 0, applied
    assert "application/merge-patch+json" in applied.err, "what the OpenAPI document names"
    assert kubectl("diff", "-f", "-", stdin=changed).code == 0
    kubectl.says("wait", "--for=jsonpath={.status.instances.ready}=1", "wp/a", "--timeout=20s")

    story = kubectl.says("describe", "wp", "a")
    for part in ("Installed", "Resized", "from 2 to 1 instances", "Last Transition Time", "team=x"):
        assert part in story, part
    assert "Resized" in kubectl.says("events")
    assert "Resized" in kubectl.says("events", "--for", "wp/a")
    assert "wasmplugin/a" in kubectl.says("get", "events")
    assert rows(kubectl.says("get", "events.events.k8s.io"))


def test_what_kubectl_wrote_is_a_file_to_read_and_edit(kubectl: Kubectl, node: RunningDaemon) -> None:
    file = node.specs / "mine.yaml"
    file.write_text("# why this is here\n" + manifest("mine", instances=1))
    until(lambda: names(node) == ["mine"])
    kubectl.says("scale", "wp", "mine", "--replicas=3")
    assert file.read_text() == "# why this is here\n" + manifest("mine", instances=3)
    kubectl.says("label", "wp", "mine", "team=y")
    kubectl.says("annotate", "wp", "mine", "note=hello there")
    (written,) = yaml.safe_load_all(file.read_text())
    assert written["metadata"] == {"name": "mine", "labels": {"team": "y"}, "annotations": {"note": "hello there"}}
    assert file.read_text().startswith("# why this is here\n")
    assert "  labels:\n    team: y\n" in file.read_text()
    file.write_text(manifest("mine", instances=2))
    until(lambda: node.json(f"{ALL}/mine")["spec"]["instances"] == 2)


def test_server_side_apply(kubectl: Kubectl, node: RunningDaemon) -> None:
    text = manifest("s", instances=2, labels="a: b", spec="  env: [{name: A, value: x}]\n")
    assert kubectl.says("apply", "--server-side", "-f", "-", stdin=text) == f"{NAME}/s serverside-applied\n"
    kubectl.says("scale", "wp", "s", "--replicas=1")
    refusal = kubectl.refused("apply", "--server-side", "-f", "-", stdin=text)
    assert 'conflict with "kubectl" with subresource "scale"' in refusal
    assert ".spec.instances" in refusal
    assert node.json(f"{ALL}/s")["spec"]["instances"] == 1
    kubectl.says("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)
    assert node.json(f"{ALL}/s")["spec"]["instances"] == 2
    # What is not said any more goes, and what another manager said stays.
    other = (
        "apiVersion: wasm-reconciler.dev/v1alpha1\nkind: WasmPlugin\nmetadata: {name: s}\n"
        "spec: {env: [{name: B, value: z}]}\n"
    )
    kubectl.says("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=other)
    assert [one["name"] for one in node.json(f"{ALL}/s")["spec"]["env"]] == ["A", "B"]
    less = manifest("s", instances=None)
    kubectl.says("apply", "--server-side", "-f", "-", stdin=less)
    found = node.json(f"{ALL}/s")
    assert found["spec"] == {"module": {"path": "hello.wat"}, "env": [{"name": "B", "value": "z"}]}
    assert "labels" not in found["metadata"]
    managers = kubectl.says(
        "get", "wp", "s", "--show-managed-fields", "-o", "jsonpath={.metadata.managedFields[*].manager}"
    )
    assert set(managers.split()) == {"kubectl", "other"}


def test_a_client_side_object_moves_to_server_side_apply(kubectl: Kubectl, node: RunningDaemon) -> None:
    text = manifest("m", instances=1)
    kubectl.says("apply", "-f", "-", stdin=text)
    kubectl.says("apply", "--server-side", "-f", "-", stdin=text)
    assert kubectl.says("apply", "--server-side", "-f", "-", stdin=text.replace("instances: 1", "instances: 2"))
    assert node.json(f"{ALL}/m")["spec"]["instances"] == 2


def test_apply_many_and_prune(kubectl: Kubectl, node: RunningDaemon, tmp_path: Path) -> None:
    folder = tmp_path / "manifests"
    folder.mkdir()
    for name in ("one", "two"):
        (folder / f"{name}.yaml").write_text(manifest(name, labels="app: shop"))
    items = "\n".join("- " + manifest(name, labels="app: shop").replace("\n", "\n  ") for name in ("three", "four"))
    (folder / "list.yaml").write_text(f"apiVersion: v1\nkind: List\nitems:\n{items}\n")
    assert kubectl.says("apply", "-f", str(folder)).count("created") == 4
    kubectl.says("create", "-f", "-", stdin=manifest("alone", labels="app: shop"))
    (folder / "two.yaml").unlink()
    pruned = kubectl.says(
        "apply",
        "--prune",
        "-l",
        "app=shop",
        "--prune-allowlist=wasm-reconciler.dev/v1alpha1/WasmPlugin",
        "-f",
        str(folder),
    )
    assert f"{NAME}/two pruned" in pruned
    assert names(node) == ["alone", "four", "one", "three"]  # `alone` was not applied, so it is not pruned
    kubectl.says("delete", "-f", str(folder / "list.yaml"))
    assert names(node) == ["alone", "one"]
    kubectl.says("delete", "wp", "-l", "app=shop,app!=other", "--field-selector", "metadata.name=one")
    assert names(node) == ["alone"]
    kubectl.says("delete", "wp", "--all")
    assert names(node) == []
    assert list(node.specs.iterdir()) == []


def test_change_in_place(kubectl: Kubectl, node: RunningDaemon, tmp_path: Path) -> None:
    assert kubectl.says("create", "-f", "-", stdin=manifest("p")) == f"{NAME}/p created\n"
    assert "AlreadyExists" in kubectl.refused("create", "-f", "-", stdin=manifest("p"))
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/instances: 1/instances: 2/' \"$1\"\n")
    editor.chmod(0o755)
    assert kubectl.says("edit", "wp", "p", env={"KUBE_EDITOR": str(editor)}) == f"{NAME}/p edited\n"
    assert node.json(f"{ALL}/p")["spec"]["instances"] == 2
    kubectl.says("patch", "wp", "p", "--type=merge", "-p", '{"spec": {"limits": {"queue": 5}}}')
    kubectl.says("patch", "wp", "p", "--type=json", "-p", '[{"op": "replace", "path": "/spec/instances", "value": 3}]')
    found = node.json(f"{ALL}/p")["spec"]
    assert (found["instances"], found["limits"]["queue"]) == (3, 5)
    # Strategic is the type that kubectl takes when none is given.
    kubectl.says("patch", "wp", "p", "-p", '{"spec": {"instances": 1, "limits": {"$patch": "replace", "fuel": 9}}}')
    found = node.json(f"{ALL}/p")["spec"]
    assert (found["instances"], found["limits"]) == (1, {"fuel": 9})
    kubectl.says("patch", "wp", "p", "--type=strategic", "--subresource=scale", "-p", '{"spec": {"replicas": 3}}')
    ordered = '{"spec": {"$setElementOrder/env": [{"name": "A"}]}}'
    assert "lists are replaced as a whole here" in kubectl.refused("patch", "wp", "p", "-p", ordered)
    kubectl.says("label", "wp", "p", "team=x")
    assert "already has a value" in kubectl.refused("label", "wp", "p", "team=y")
    kubectl.says("label", "wp", "p", "team=y", "--overwrite")
    kubectl.says("annotate", "wp", "p", "note=z")
    metadata = node.json(f"{ALL}/p")["metadata"]
    assert (metadata["labels"], metadata["annotations"]["note"]) == ({"team": "y"}, "z")
    kubectl.says("label", "wp", "p", "team-")
    assert kubectl.says("scale", "wp/p", "--replicas=1", "--current-replicas=3") == f"{NAME}/p scaled\n"
    assert kubectl.says("get", "wp", "p", "--subresource=scale", "-o", "jsonpath={.spec.replicas}") == "1"
    kubectl.says("replace", "-f", "-", stdin=manifest("p", instances=4))
    assert node.json(f"{ALL}/p")["spec"] == {"module": {"path": "hello.wat"}, "instances": 4}


def test_wait_and_watch(kubectl: Kubectl, node: RunningDaemon) -> None:
    watch = kubectl.start("get", "wp", "-w", "--no-headers")
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.extend(iter(watch.stdout.readline, "")) if watch.stdout else None)
    reader.start()
    try:
        kubectl.says("apply", "-f", "-", stdin=manifest("w"))
        kubectl.says("wait", "--for=condition=Ready", "wp/w", "--timeout=20s")
        until(lambda: any("1/1" in line for line in seen), "a row that says 1/1")
        gone = kubectl.start("wait", "--for=delete", "wp/w", "--timeout=20s")
        assert kubectl.says("delete", "wp", "w").startswith(f'{NAME} "w" deleted')
        out, err = gone.communicate(timeout=20)
        assert gone.returncode == 0, out + err
    finally:
        watch.terminate()
        watch.wait()
        reader.join()
        for stream in (watch.stdout, watch.stderr):
            if stream is not None:
                stream.close()
    late = kubectl("wait", "--for=condition=Ready", "wp/none", "--timeout=1s")
    assert "NotFound" in late.err


@contextmanager
def proxied(kubectl: Kubectl) -> Iterator[str]:
    proxy = kubectl.start("proxy", "--port=0")
    try:
        assert proxy.stdout is not None
        yield "http://" + proxy.stdout.readline().strip().rpartition(" ")[2]
    finally:
        proxy.terminate()
        proxy.communicate()


def test_proxy(kubectl: Kubectl, node: RunningDaemon) -> None:
    with proxied(kubectl) as address:
        body = subprocess.run(["curl", "-sf", f"{address}{ALL}"], capture_output=True, check=True).stdout
    assert json.loads(body)["kind"] == "WasmPluginList"


def test_refusals_read_well(kubectl: Kubectl, node: RunningDaemon, tmp_path: Path) -> None:
    unknown = kubectl.refused("apply", "-f", "-", stdin=manifest("x", spec="  limits: {memry: 1Mi}\n"))
    assert 'unknown field "spec.limits.memry"' in unknown
    warned = kubectl("apply", "--validate=warn", "-f", "-", stdin=manifest("x", spec="  limits: {memry: 1Mi}\n"))
    assert warned.code == 0
    assert 'Warning: unknown field "spec.limits.memry"' in warned.err
    wrong = kubectl.refused("apply", "-f", "-", stdin=manifest("wrong", instances=-1))
    assert 'The WasmPlugin "wrong" is invalid: spec.instances: -1 is too small; at least 0' in wrong
    version = kubectl.refused("create", "-f", "-", stdin=manifest("wrong").replace("v1alpha1", "v9"))
    assert "no matches for kind" in version
    assert 'wasmplugins.wasm-reconciler.dev "none" not found' in kubectl.refused("get", "wp", "none")
    assert 'wasmplugins.wasm-reconciler.dev "none" not found' in kubectl.refused("delete", "wp", "none")
    bad = kubectl.refused("patch", "wp", "x", "--type=json", "-p", '[{"op": "remove", "path": "/spec/nothing"}]')
    assert "cannot be applied" in bad
    immutable = kubectl.refused("patch", "wp", "x", "--type=merge", "-p", '{"metadata": {"name": "z"}}')
    assert "the name of the object (z) does not match the name on the URL (x)" in immutable
    stale = kubectl.refused("patch", "wp", "x", "--type=merge", "-p", '{"metadata": {"resourceVersion": "1"}}')
    assert "the object has been modified" in stale
    not_served = kubectl.refused("replace", "--subresource=status", "-f", "-", stdin=manifest("x"))
    assert "(MethodNotAllowed)" in not_served
    big = tmp_path / "big.yaml"
    big.write_text(manifest("big", spec="  config: {a: " + "x" * 1_200_000 + "}\n"))
    assert "is larger than" in kubectl.refused("create", "-f", str(big))
    assert "this daemon's namespace is default" in kubectl.refused(
        "create", "-n", "other", "-f", "-", stdin=manifest("far")
    )


@pytest.mark.parametrize("kubectl", ["1.37"], indirect=True)
def test_a_source_that_cannot_be_written_is_named(kubectl: Kubectl, node: RunningDaemon) -> None:
    (node.specs / "fixed.yaml").write_text(manifest("fixed"))
    until(lambda: names(node) == ["fixed"])
    (node.specs / "fixed.yaml").write_text("[broken")
    refusal = kubectl.refused("scale", "wp", "fixed", "--replicas=2")
    assert "fixed.yaml" in refusal
