"""What the chart renders really runs: the image as its Dockerfile builds it, the pod as a kubelet would start it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.access.parts import Authority
from tests.charts.helm import NAME, ci, merged, one, template
from tests.charts.image import Image, build
from tests.charts.node import Pod
from tests.guest_wat import SPIN, WORK_GLOBAL, answering, work

pytestmark = pytest.mark.timeout(300)
"""The first of them builds the image."""

Start = Callable[..., Pod]


@pytest.fixture(scope="module")
def image() -> Image:
    return build()


@pytest.fixture
def start(image: Image, tmp_path: Path) -> Iterator[Start]:
    """Starts the pod that some values give, and waits until it is ready."""
    with ExitStack() as stack:

        def run(values: dict[str, Any], *secrets: dict[str, Any]) -> Pod:
            pod = Pod(image, [*template(values), *secrets], tmp_path)
            stack.callback(pod.close)
            pod.until_started()
            return pod

        yield run


def test_the_pod_runs_as_its_user_with_nothing_to_write_to_but_state_and_tmp(start: Start) -> None:
    pod = start(ci("sidecar"))
    assert pod.probe("livenessProbe")
    assert pod.probe("readinessProbe")
    assert pod.inside("id", "-u").stdout == "65532\n"
    for path in ("/", "/specs", "/modules", "/opt/wasm-reconciler", "/etc", "/var"):
        refused = pod.inside("touch", f"{path}/x")
        assert "Read-only file system" in refused.stderr or "No such file" in refused.stderr
    for path in ("/state", "/tmp"):
        assert pod.inside("touch", f"{path}/x").returncode == 0
    status = Path(f"/proc/{pod.process.pid}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert pod.terminate() == 0, pod.log


def test_the_pools_follow_an_edited_config_map_and_no_request_fails(start: Start) -> None:
    french = answering("bonjour").decode()
    values = merged(ci("sidecar"), {"modules": {"configMap": {"files": {"french.wat": french}}}})
    pod = start(values)
    caller = pod.caller("/invoke/hello")
    caller.until_answered("hello\n")

    edited = {"specs": {"plugins": {"hello": {"abi": "proxy-wasm", "instances": 3, "module": {"path": "french.wat"}}}}}
    pod.volumes.write(one(template(merged(values, edited)), "ConfigMap", "-specs"))
    caller.until_answered("bonjour")

    files = {"modules": {"configMap": {"files": {"french.wat": answering("salut").decode()}}}}
    pod.volumes.write(one(template(merged(values, files)), "ConfigMap", "-modules"))
    caller.until_answered("salut")

    pod.volumes.write(one(template(values), "ConfigMap", "-specs"))
    caller.until_answered("hello\n")
    seen = caller.stop()
    assert seen["failed"] == []
    assert seen["count"] > 100
    assert pod.terminate() == 0, pod.log


def test_a_native_sidecar_answers_until_the_application_has_ended(start: Start) -> None:
    pod = start(ci("sidecar"))
    caller = pod.caller("/invoke/hello")
    caller.until_answered("hello\n")
    pod.pause()
    assert caller.stop()["failed"] == []
    assert pod.terminate() == 0, pod.log
    assert "stopped" in pod.log


def test_a_second_container_answers_through_its_pause_and_ends_what_it_began(start: Start) -> None:
    slow = answering("at last", before=work(600_000_000), exports=WORK_GLOBAL).decode()
    values = merged(
        ci("sidecar"),
        {
            "sidecar": {"native": False},
            "preStopSeconds": 1,
            "specs": {"plugins": {"slow": {"module": {"path": "slow.wat"}, "limits": {"timeout": "60s"}}}},
            "modules": {"configMap": {"files": {"slow.wat": slow}}},
        },
    )
    pod = start(values)
    caller = pod.caller("/invoke/hello")
    caller.until_answered("hello\n")
    pod.pause()
    assert caller.stop()["failed"] == []

    waiting = pod.caller("/invoke/slow")
    pod.until_busy("slow")
    assert pod.terminate() == 0, pod.log
    seen = waiting.stop()
    assert seen["count"] >= 1, seen
    assert not [failure for failure in seen["failed"] if "refused" not in failure], seen


def test_a_drain_takes_no_longer_than_the_chart_says(start: Start) -> None:
    endless = answering("never", before=SPIN).decode()
    values = merged(
        ci("sidecar"),
        {
            "drainTimeout": 1,
            "specs": {"plugins": {"slow": {"module": {"path": "slow.wat"}, "limits": {"timeout": "60s"}}}},
            "modules": {"configMap": {"files": {"slow.wat": endless}}},
        },
    )
    pod = start(values)
    waiting = pod.caller("/invoke/slow")
    pod.until_busy("slow")
    began = time.monotonic()
    assert pod.terminate() == 0, pod.log
    assert time.monotonic() - began < 1 + 5
    assert waiting.stop()["count"] == 0


def test_an_exposed_admin_port_asks_for_tls_and_tokens_but_not_the_kubelet(start: Start, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ca")
    certificate, key = authority.issue("server", server=NAME)
    tls = {"tls.crt": certificate.read_text(), "tls.key": key.read_text(), "ca.crt": authority.file.read_text()}
    token = "what-prometheus-shows-to-the-port"
    tokens = {"tokens.yaml": f"tokens: [{{name: prometheus, role: read, token: {token}}}]\ncertificates: []\n"}
    values = merged(
        ci("sidecar"),
        {
            "admin": {
                "expose": True,
                "existingTokensSecret": "tokens",
                "tlsSecret": "tls",
                "clientCASecret": "clients",
            },
            "serviceMonitor": {"enabled": True, "tokenSecret": {"name": "scraping", "key": "token"}},
        },
    )
    pod = start(
        values,
        _secret("tokens", tokens),
        _secret("tls", tls),
        _secret("clients", {"ca.crt": authority.file.read_text()}),
    )
    assert all(pod.probe(name) for name in ("startupProbe", "livenessProbe", "readinessProbe"))
    (endpoint,) = one(template(values), "ServiceMonitor")["spec"]["endpoints"]
    (port,) = [port["containerPort"] for port in pod.container["ports"] if port["name"] == endpoint["port"]]
    scrape = (endpoint["scheme"], port, endpoint["path"])
    name = endpoint["tlsConfig"]["serverName"]
    assert pod.status(*scrape, token, str(authority.file), name) == 200
    assert pod.status(*scrape, "", str(authority.file), name) == 401
    assert pod.status(*scrape, token, str(Authority(tmp_path, "another").file), name) == 0
    assert pod.status("http", *scrape[1:], token) in (0, 400)
    assert pod.terminate() == 0, pod.log


def _secret(name: str, data: dict[str, str]) -> dict[str, Any]:
    return {"kind": "Secret", "metadata": {"name": name}, "stringData": data}
