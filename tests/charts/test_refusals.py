"""A bad value is refused before anything is rendered, with a message that names it."""

from typing import Any

import pytest

from tests.charts.combinations import APP
from tests.charts.helm import Refused, merged, template

_PLUGIN: dict[str, Any] = {"module": {"path": "a.wasm"}}


def _plugin(**more: Any) -> dict[str, Any]:
    return {"specs": {"plugins": {"hello": _PLUGIN | more}}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"mode": "statefulset"}, "'/mode': value must be one of 'sidecar', 'daemonset', 'deployment', 'library'"),
        ({"nope": 1}, "additional properties 'nope' not allowed"),
        ({"image": {"tags": "1"}}, "'/image': additional properties 'tags' not allowed"),
        ({"image": {"digest": "sha256:1"}}, "'/image/digest'"),
        ({"image": {"pullPolicy": "Sometimes"}}, "'/image/pullPolicy': value must be one of"),
        ({"imagePullSecrets": ["a"]}, "'/imagePullSecrets/0': got string, want object"),
        ({"sidecar": {"container": {"name": "", "image": "a"}}}, "'/sidecar/container/name'"),
        ({"sidecar": {"container": {"name": "wasm-reconciler"}}}, "'/sidecar/container/name'"),
        ({"sidecar": {"container": None}}, "'/sidecar"),
        ({"sidecar": {"replicas": -1}}, "'/sidecar/replicas': minimum: got -1, want 0"),
        ({"sidecar": {"native": "yes"}}, "'/sidecar/native': got string, want boolean"),
        ({"deployment": {"replicas": 1.5}}, "'/deployment/replicas'"),
        (_plugin(instances="many"), "'/specs/plugins/hello/instances': got string, want integer"),
        (_plugin(instance=1), "'/specs/plugins/hello': additional properties 'instance' not allowed"),
        (_plugin(limits={"memory": "lots"}), "'/specs/plugins/hello/limits/memory'"),
        (_plugin(limits={"timeout": "soon"}), "'/specs/plugins/hello/limits/timeout'"),
        (_plugin(engine="v9"), "'/specs/plugins/hello/engine': value must be one of"),
        (_plugin(env=[{"value": "a"}]), "'/specs/plugins/hello/env/0': missing property 'name'"),
        ({"specs": {"plugins": {"a b": _PLUGIN}}}, "'a b' does not match pattern"),
        ({"specs": {"plugins": {"a": {}}}}, "'/specs/plugins/a': missing property 'module'"),
        ({"specs": {"files": {"a.txt": ""}}}, "'a.txt' does not match pattern"),
        ({"stores": {"a": {"path": "b"}}}, "'/stores/a': missing property 'type'"),
        ({"modules": {"from": "git"}}, "'/modules/from': value must be one of"),
        ({"modules": {"from": "oci"}}, "'/modules/oci/reference'"),
        ({"modules": {"from": "persistentVolumeClaim"}}, "'/modules/persistentVolumeClaim/claimName'"),
        ({"modules": {"from": "configMap"}}, "'/modules/configMap"),
        (
            {"modules": {"from": "configMap", "configMap": {"files": {"a.wasm": "?"}}}},
            "'/modules/configMap/files/a.wasm'",
        ),
        ({"modules": {"oci": {"method": "magic"}}}, "'/modules/oci/method': value must be one of"),
        ({"listen": {"port": 0}}, "'/listen/port': minimum: got 0, want 1"),
        ({"admin": {"port": 65536}}, "'/admin/port': maximum: got 65,536, want 65,535"),
        ({"admin": {"expose": True}}, "'/admin/tokens': minItems: got 0, want 1"),
        ({"admin": {"expose": True, "existingTokensSecret": "t"}}, "'/admin/insecure': value must be true"),
        ({"admin": {"clientCASecret": "ca", "existingTokensSecret": "t"}}, "'/admin/tlsSecret': minLength: got 0"),
        ({"admin": {"clientCASecret": "ca", "tlsSecret": "c"}}, "'/admin/existingTokensSecret': minLength: got 0"),
        ({"admin": {"tokens": [{"name": "a", "role": "all"}]}}, "'/admin/tokens/0/role': value must be one of"),
        (
            {"serviceMonitor": {"tokenSecret": {"name": "a"}}},
            "'/serviceMonitor/tokenSecret': properties 'key' required",
        ),
        ({"drainTimeout": "15s"}, "'/drainTimeout': got string, want integer"),
        ({"preStopSeconds": -1}, "'/preStopSeconds': minimum: got -1, want 0"),
        ({"log": {"level": "loud"}}, "'/log/level': value must be one of"),
        ({"kube": {"server": "hub:34998"}}, "'/kube/server'"),
        ({"service": {"type": "ExternalName"}}, "'/service/type': value must be one of"),
        ({"networkPolicy": {"ingressFrom": {}}}, "'/networkPolicy/ingressFrom': got object, want array"),
        ({"podDisruptionBudget": {"minAvailable": "half"}}, "'/podDisruptionBudget/minAvailable'"),
        ({"autoscaling": {"minReplicas": 0}}, "'/autoscaling/minReplicas': minimum: got 0, want 1"),
        ({"autoscaling": {"target": 2}}, "'/autoscaling/target': got number, want string"),
        ({"serviceMonitor": {"enabled": True}}, "'/admin/expose': value must be true"),
        ({"serviceMonitor": {"enabled": True}}, "'/serviceMonitor/tokenSecret': missing property 'name'"),
        ({"serviceMonitor": {"interval": "30s1m"}}, "'/serviceMonitor/interval': '30s1m' does not match pattern"),
        ({"autoscaling": {"enabled": True}}, "'/admin/expose': value must be true"),
        ({"resources": {"limit": {}}}, "'/resources': additional properties 'limit' not allowed"),
        ({"probes": {"startup": {"httpGet": {}}}}, "'/probes/startup': additional properties 'httpGet' not allowed"),
        ({"volumes": {"state": {"hostPath": {"path": "/a"}}}}, "'/volumes/state': maxProperties: got 2, want 1"),
        ({"extraArgs": [1]}, "'/extraArgs/0': got number, want string"),
        ({"extraContainers": [{"name": "a"}]}, "'/extraContainers/0': missing property 'image'"),
        ({"podLabels": {"a": 1}}, "'/podLabels/a': got number, want string"),
        ({"dnsPolicy": "Some"}, "'/dnsPolicy': value must be one of"),
        ({"tests": {"path": "invoke"}}, "'/tests/path'"),
    ],
)
def test_a_bad_value_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(Refused) as refused:
        template(merged(APP, values))
    assert message in str(refused.value).replace("got 65536, want 65535", "got 65,536, want 65,535")


def test_a_sidecar_needs_an_application() -> None:
    with pytest.raises(Refused, match="'/sidecar/container': missing properties 'name', 'image'"):
        template({})
