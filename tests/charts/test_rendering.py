"""What helm renders is valid, for every Kubernetes version that the chart supports, and is what was asked for."""

import functools
import json
import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.prometheus_operator.v1 import ServiceMonitor
from kubernetes_validate import utils

from tests.charts import helm
from tests.charts.combinations import APP, combinations
from tests.charts.generate import CHART
from tests.charts.helm import ci, daemon, depend, merged, one, pod, template, template_many

VERSIONS = [f"1.{minor}" for minor in range(29, 38)]
_FOREIGN = {"ServiceMonitor"}
"""Kinds that are not Kubernetes' own and have no schema there: another test has the operator's."""


@pytest.fixture(autouse=True)
def _schemas_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The validator reads megabytes anew for every object."""
    monkeypatch.setattr(utils, "schema_contents", functools.cache(utils.schema_contents))


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid_in_every_kubernetes_version(version: str, tmp_path: Path) -> None:
    values = combinations()
    assert len(values) >= 40
    count = 0
    valid: set[str] = set()
    for name, objects in template_many(values, tmp_path, version=f"{version}.0").items():
        for found in objects:
            if found["kind"] in _FOREIGN:
                continue
            count += 1
            # Two of three differ from another one by the chart's alias alone, which is validated once.
            text = re.sub(r"\bchart\d+\b", "chart", json.dumps(found, sort_keys=True))
            if text in valid:
                continue
            try:
                kubernetes_validate.validate(found, version, strict=True)
            except kubernetes_validate.ValidationError as ex:
                pytest.fail(f"{name}: {found['kind']} in {version}: {'.'.join(map(str, ex.path))}: {ex.message}")
            valid.add(text)
    assert count > 4 * len(values)


def test_every_service_monitor_is_as_the_prometheus_operator_has_it(tmp_path: Path) -> None:
    """By models made from the operator's CRD; what they do not know they drop, as an API server would."""
    rendered = template_many(combinations(), tmp_path, version="1.37.0")
    found = [one for objects in rendered.values() for one in objects if one["kind"] in _FOREIGN]
    assert len(found) >= 3
    for monitor in found:
        known = ServiceMonitor.model_validate(monitor).model_dump(mode="json", by_alias=True, exclude_unset=True)
        assert known == monitor


@pytest.mark.parametrize("version", VERSIONS)
def test_the_definition_of_the_object_is_valid(version: str) -> None:
    crd = yaml.safe_load((CHART / "crds" / "wasmplugins.yaml").read_text())
    kubernetes_validate.validate(crd, version, strict=True)


@pytest.mark.parametrize("name", helm.ci_names())
def test_lint_has_nothing_to_say(name: str) -> None:
    said = helm.run("lint", "--strict", CHART, "-f", CHART / "ci" / f"{name}-values.yaml")
    assert "1 chart(s) linted, 0 chart(s) failed" in said
    assert "[WARNING]" not in said


def test_a_native_sidecar_starts_before_the_application_and_has_no_pause() -> None:
    spec = pod(template(APP))
    assert [container["name"] for container in spec["containers"]] == ["app"]
    container = daemon(spec)
    assert container["restartPolicy"] == "Always"
    assert "lifecycle" not in container
    assert spec["terminationGracePeriodSeconds"] == 30 + 15 + 5


def test_a_second_container_waits_out_of_its_services_before_it_drains() -> None:
    values = merged(APP, {"sidecar": {"native": False}, "preStopSeconds": 7, "drainTimeout": 20})
    spec = pod(template(values))
    assert daemon(spec)["lifecycle"]["preStop"] == {"sleep": {"seconds": 7}}
    assert spec["terminationGracePeriodSeconds"] == 30 + 7 + 20 + 5
    assert "--drain-timeout=20s" in daemon(spec)["args"]
    old = daemon(pod(template(values, version="1.29.0")))
    assert old["lifecycle"]["preStop"] == {"exec": {"command": ["sleep", "7"]}}


def test_a_change_of_the_specs_does_not_change_the_pods() -> None:
    before = template(ci("sidecar"))
    after = template(merged(ci("sidecar"), {"specs": {"plugins": {"hello": {"instances": 3}}}}))
    assert one(before, "Deployment") == one(after, "Deployment")
    assert one(before, "ConfigMap", "-specs") != one(after, "ConfigMap", "-specs")


def test_the_daemon_is_hardened_and_has_no_token() -> None:
    for values in (ci("sidecar"), ci("deployment")):
        spec = pod(template(values))
        assert spec["automountServiceAccountToken"] is False
        assert not any("projected" in volume for volume in spec["volumes"])
        context = daemon(spec)["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["runAsNonRoot"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_a_token_is_for_the_daemon_alone_and_may_no_more_than_follow() -> None:
    objects = template(merged(APP, {"kube": {"enabled": True}}))
    spec = pod(objects)
    mounts = {
        container["name"]: [mount["name"] for mount in container.get("volumeMounts", ())]
        for container in [*spec["initContainers"], *spec["containers"]]
    }
    assert "wasm-reconciler-token" in mounts["wasm-reconciler"]
    assert mounts["app"] == []
    assert one(objects, "Role")["rules"] == [
        {"apiGroups": ["wasm-reconciler.dev"], "resources": ["wasmplugins"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["wasm-reconciler.dev"], "resources": ["wasmplugins/status"], "verbs": ["patch"]},
    ]


def test_nothing_listens_beyond_loopback_unless_it_is_asked_for() -> None:
    args = daemon(pod(template(APP)))["args"]
    assert "--listen=127.0.0.1:2045" in args
    assert "--admin=127.0.0.1:34998" in args
    args = daemon(pod(template({"mode": "deployment"})))["args"]
    assert "--listen=0.0.0.0:2045" in args
    assert "--admin=127.0.0.1:34998" in args


@pytest.mark.parametrize(
    ("method", "version", "found"),
    [
        ("auto", "1.29.0", "initContainer"),
        ("auto", "1.34.0", "initContainer"),
        ("auto", "1.35.0", "imageVolume"),
        ("imageVolume", "1.33.0", "imageVolume"),
        ("initContainer", "1.37.0", "initContainer"),
    ],
)
def test_an_artifact_comes_as_the_cluster_can(method: str, version: str, found: str) -> None:
    values = {"mode": "deployment", "modules": {"from": "oci", "oci": {"reference": "r/m:1", "method": method}}}
    spec = pod(template(values, version=version))
    volume = next(volume for volume in spec["volumes"] if volume["name"] == "wasm-reconciler-modules")
    pulls = [container["name"] for container in spec.get("initContainers", ())]
    if found == "imageVolume":
        assert volume["image"] == {"reference": "r/m:1", "pullPolicy": "IfNotPresent"}
        assert pulls == []
    else:
        assert volume["emptyDir"] == {}
        assert pulls == ["wasm-reconciler-pull"]


def test_an_image_volume_is_refused_where_the_cluster_has_none() -> None:
    values = {"mode": "deployment", "modules": {"from": "oci", "oci": {"reference": "r/m", "method": "imageVolume"}}}
    with pytest.raises(helm.Refused, match=r"modules\.oci\.method: an image volume needs Kubernetes 1\.33"):
        template(values, version="1.32.0")


def test_the_notes_have_an_address_to_try() -> None:
    values = yaml.dump(ci("deployment"))
    said = helm.run("install", "demo", CHART, "--dry-run=client", "--namespace=apps", "-f", "-", stdin=values)
    assert "curl http://127.0.0.1:2045/invoke/words" in said


def test_a_chart_has_the_sidecar_by_one_line(tmp_path: Path) -> None:
    depend(tmp_path, "wasm-reconciler")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "pod.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: mine}\nspec:\n"
        '  {{- include "wasm-reconciler.sidecar" . | nindent 2 }}\n'
        "  containers: [{name: app, image: app}]\n"
    )
    values = {"wasm-reconciler": {"mode": "library", "specs": {"plugins": {"hello": {"module": {"path": "a.wasm"}}}}}}
    objects = template(values, chart=tmp_path)
    mine = next(found for found in objects if found["kind"] == "Pod")
    alone = pod(template(merged(APP, {"specs": {"plugins": {"hello": {"module": {"path": "a.wasm"}}}}})))
    assert mine["spec"]["volumes"] == alone["volumes"]
    assert mine["spec"]["initContainers"] == alone["initContainers"]
    assert {found["kind"] for found in objects} == {"Pod", "ConfigMap"}
    kubernetes_validate.validate(mine, "1.37", strict=True)
