"""Values that the chart is rendered with, by what is special in them."""

from typing import Any, Final

from tests.charts.helm import ci, ci_names, merged

APP: Final = {"sidecar": {"container": {"name": "app", "image": "app:1", "ports": [{"containerPort": 8080}]}}}
_OCI: Final = {"from": "oci", "oci": {"reference": "ghcr.io/example/modules:1.0"}}
_TOKENS: Final = [{"name": "ci", "role": "write", "sha256": "0" * 64}]
_PROBE: Final = {"initialDelaySeconds": 3, "timeoutSeconds": 5}
_SELECTED: Final = {"nodeSelector": {"kubernetes.io/os": "linux"}, "tolerations": [{"key": "a", "operator": "Exists"}]}

_SPECIAL: Final[dict[str, dict[str, Any]]] = {
    "names": {"nameOverride": "wasm", "fullnameOverride": "the.wasm"},
    "a name at its longest": {"fullnameOverride": "x" * 120},
    "labels": {"commonLabels": {"team": "a"}, "commonAnnotations": {"note": "b"}, "podLabels": {"pod": "c"}},
    "image by digest": {"image": {"digest": "sha256:" + "0" * 64}, "imagePullSecrets": [{"name": "pull"}]},
    "no plugins": {"specs": {"plugins": {}}},
    "spec files": {"specs": {"files": {"a.yaml": "kind: List\nitems: []\n", "b.json": "{}"}}},
    "specs from elsewhere": {"specs": {"existingConfigMap": "theirs"}},
    "names that yaml reads otherwise": {"specs": {"plugins": {"on": {"module": {"path": "a"}, "route": "1.0"}}}},
    "layotto": {"layottoConfig": {"config": {"id_1": {"name": "id_1", "vm_config": {"path": "a.wasm"}}}}},
    "stores": {"stores": {"a": {"type": "memory", "values": {"k": "1"}}}},
    "stores from elsewhere": {"existingStoresSecret": "theirs"},
    "image volume": {"modules": merged(_OCI, {"oci": {"pullPolicy": "Always"}})},
    "init container": {"modules": merged(_OCI, {"oci": {"method": "initContainer", "plainHttp": True}})},
    "init container, not native": {
        "modules": merged(_OCI, {"oci": {"method": "initContainer"}, "registrySecret": "login"}),
        "sidecar": {"native": False},
    },
    "claim": {"modules": {"from": "persistentVolumeClaim", "persistentVolumeClaim": {"claimName": "modules"}}},
    "modules in a map": {
        "modules": {"from": "configMap", "configMap": {"files": {"a.wasm": "AGFzbQ==", "b.wat": "()"}}}
    },
    "modules in a map from elsewhere": {"modules": {"from": "configMap", "configMap": {"name": "theirs"}}},
    "registries": {"modules": {"allowedHosts": ["10.0.0.1:5000"], "registrySecret": "login", "allowImageTags": True}},
    "ports": {
        "listen": {"port": 8000, "expose": True},
        "admin": {"port": 8001, "expose": True, "tokens": _TOKENS, "insecure": True},
    },
    "admin over TLS": {
        "admin": {"expose": True, "existingTokensSecret": "t", "tlsSecret": "cert", "metricsOpen": True},
        "serviceMonitor": {"enabled": True},
    },
    "admin with client certificates": {
        "admin": {"expose": True, "existingTokensSecret": "t", "tlsSecret": "cert", "clientCASecret": "ca"},
        "serviceMonitor": {"enabled": True, "interval": "1m30s", "tokenSecret": {"name": "s", "key": "token"}},
    },
    "admin over TLS inside": {"admin": {"tlsSecret": "cert"}},
    "no pause": {"preStopSeconds": 0, "drainTimeout": 0, "sidecar": {"native": False}},
    "long drain": {"preStopSeconds": 30, "drainTimeout": 600, "mode": "deployment"},
    "log": {"log": {"level": "debug", "format": "text"}},
    "kube": {"kube": {"enabled": True, "namespace": "plugins", "selector": "a in (b, c),d"}},
    "hub": {"kube": {"enabled": True, "server": "http://hub.apps:34998"}},
    "hub over TLS": {"kube": {"enabled": True, "server": "https://hub.apps:34998", "secret": "hub"}},
    "their account": {"kube": {"enabled": True}, "serviceAccount": {"create": False, "name": "theirs"}},
    "no account": {"serviceAccount": {"create": False}, "rbac": {"create": False}},
    "account annotations": {"serviceAccount": {"annotations": {"role": "a"}}},
    "no service": {"service": {"enabled": False}, "networkPolicy": {"enabled": False}},
    "node port": {"mode": "deployment", "service": {"type": "NodePort", "annotations": {"a": "b"}}},
    "network": {
        "networkPolicy": {
            "ingressFrom": [{"podSelector": {}}],
            "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
            "extraIngress": [{"ports": [{"port": 9000}]}],
        }
    },
    "budget": {"podDisruptionBudget": {"enabled": True, "minAvailable": "50%"}},
    "budget of none": {"podDisruptionBudget": {"enabled": True, "minAvailable": 0}},
    "scaling": {
        "autoscaling": {
            "enabled": True,
            "metric": "",
            "extraMetrics": [
                {
                    "type": "Resource",
                    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
                }
            ],
            "behavior": {"scaleDown": {"stabilizationWindowSeconds": 60}},
        }
    },
    "resources": {"resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi", "cpu": 2}}},
    "no hardening": {"podSecurityContext": None, "securityContext": None, "resources": None},
    "probes": {"probes": {"startup": _PROBE, "liveness": _PROBE, "readiness": _PROBE}},
    "volumes": {
        "volumes": {
            "state": {"emptyDir": None, "hostPath": {"path": "/var/lib/w", "type": "DirectoryOrCreate"}},
            "tmp": {"emptyDir": {"medium": "Memory"}},
        }
    },
    "extras": {
        "extraArgs": ["--log-level=debug"],
        "extraEnv": [{"name": "A", "value": "b"}],
        "extraEnvFrom": [{"secretRef": {"name": "env"}}],
        "extraVolumes": [{"name": "more", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        "extraInitContainers": [{"name": "first", "image": "first:1"}],
        "extraContainers": [{"name": "third", "image": "third:1"}],
    },
    "extras, not native": {
        "sidecar": {"native": False},
        "extraInitContainers": [{"name": "first", "image": "first:1"}],
    },
    "extra objects": {
        "extraObjects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}},
            'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: "{{ .Release.Name }}-even-more"}\n',
        ]
    },
    "placement": _SELECTED
    | {
        "affinity": {"podAntiAffinity": {}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}],
        "priorityClassName": "high",
        "runtimeClassName": "gvisor",
    },
    "names on the network": {
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["10.0.0.10"]},
        "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["a"]}],
    },
    "global": {"global": {"anything": 1}},
}


def combinations() -> dict[str, dict[str, Any]]:
    """All of them, each in full; those of ci/ too."""
    special = {name: merged(APP, values) for name, values in _SPECIAL.items()}
    everywhere = {
        f"{name}, in mode {mode}": merged(special[name], {"mode": mode})
        for mode in ("daemonset", "deployment", "library")
        for name in ("ports", "extras", "kube", "init container, not native")
    }
    return special | everywhere | {f"ci/{name}": ci(name) for name in ci_names()}
