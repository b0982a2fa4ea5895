"""What `/metrics` of a running daemon says, to promtool and to a real Prometheus; the rules and the dashboard."""

import json
import queue
import re
import shutil
import subprocess
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reconciler.host.pool import SHORT
from tests.examples.daemon import Daemon, ask, serve
from tests.guest_wat import answering, trap_on_call

OBSERVABILITY = Path(__file__).parents[3] / "docs" / "observability"
needs_prometheus = pytest.mark.skipif(
    shutil.which("promtool") is None or shutil.which("prometheus") is None,
    reason="promtool and prometheus are not installed (Debian: prometheus)",
)

SPEC = """\
apiVersion: wasm-reconciler.dev/v1alpha1
kind: WasmPlugin
metadata: {{name: {name}}}
spec: {{module: {{path: {name}.wat}}, instances: 2}}
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("metrics")


@pytest.fixture(scope="module")
def daemon(root: Path) -> Iterator[Daemon]:
    """A plugin `good`, and `bad`, each instance of which traps in its second request."""
    (root / "specs").mkdir()
    (root / "good.wat").write_bytes(answering("hello"))
    (root / "bad.wat").write_bytes(answering("hello", before=trap_on_call(2)))
    for name in ("good", "bad"):
        (root / "specs" / f"{name}.yaml").write_text(SPEC.format(name=name))
    with serve(root / "state", "--specs", root / "specs", "--module-root", root) as daemon:
        daemon.wait_until_ready({"good", "bad"})
        yield daemon


def scrape(daemon: Daemon) -> str:
    answer = ask(daemon.admin, "/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return answer.body.decode()


def value(text: str, name: str, /, **labels: str) -> float | None:
    """The sample of that metric with at least those labels."""
    for line in text.splitlines():
        found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if found and found[1] == name:
            given = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
            if labels.items() <= given.items():
                return float(found[3])
    return None


def until(daemon: Daemon, name: str, expected: float | None, /, **labels: str) -> str:
    deadline = time.monotonic() + 15
    while True:
        text = scrape(daemon)
        if value(text, name, **labels) == expected:
            return text
        assert time.monotonic() < deadline, f"{name} {labels} is {value(text, name, **labels)}, not {expected}"


def test_requests_instances_conditions_and_passes_are_there(daemon: Daemon) -> None:
    for _ in range(3):
        assert daemon.call("good").status == 200
    assert daemon.call("nowhere").status == 404
    text = until(daemon, "wasm_reconciler_requests_total", 3, route="good", plugin="good", code="200")
    assert value(text, "wasm_reconciler_requests_total", route="", plugin="", code="404") == 1
    assert value(text, "wasm_reconciler_request_duration_seconds_count", plugin="good") == 3
    assert value(text, "wasm_reconciler_pool_instances", plugin="good", state="ready") == 2
    assert value(text, "wasm_reconciler_pool_instances_desired", plugin="good") == 2
    assert value(text, "wasm_reconciler_condition", plugin="good", type="Ready", status="True") == 1
    assert value(text, "wasm_reconciler_condition", plugin="good", type="Ready", status="False") is None
    assert value(text, "wasm_reconciler_queue_depth", route="good") == 0
    assert (value(text, "wasm_reconciler_reload_seconds_count") or 0) >= 2
    assert value(text, "wasm_reconciler_module_loads_total", result="Compiled") == 2
    assert (value(text, "wasm_reconciler_reconcile_total", result="success") or 0) >= 2
    assert (value(text, "workqueue_adds_total", name="wasmplugin") or 0) >= 2
    assert (value(text, "workqueue_work_duration_seconds_count", name="wasmplugin") or 0) >= 2
    assert value(text, "workqueue_depth", name="wasmplugin") == 0


def test_the_share_of_requests_on_the_event_loop_shows(daemon: Daemon) -> None:
    text = scrape(daemon)
    while not value(text, "wasm_reconciler_loop_requests_total", plugin="good"):
        for _ in range(40):  # short calls bring a plugin there
            assert daemon.call("good").status == 200
        text = scrape(daemon)
    assert value(text, "wasm_reconciler_loop_bound_seconds", bound="short") == SHORT


def test_a_broken_file_counts_as_a_problem_of_its_source(daemon: Daemon, root: Path) -> None:
    broken = root / "specs" / "broken.yaml"
    broken.write_text("kind: [")
    until(daemon, "wasm_reconciler_source_problems", 1)
    broken.unlink()
    until(daemon, "wasm_reconciler_source_problems", 0)


def test_the_series_of_a_removed_plugin_go_away(daemon: Daemon, root: Path) -> None:
    (root / "gone.wat").write_bytes(answering("hello", before=trap_on_call(1)))
    spec = root / "specs" / "gone.yaml"
    spec.write_text(SPEC.format(name="gone"))
    daemon.wait_until_ready({"gone"})
    assert daemon.call("gone").status == 502
    text = until(daemon, "wasm_reconciler_instance_restarts_total", 1, plugin="gone", reason="Trapped")
    assert text.count('plugin="gone"') > 10
    spec.unlink()
    text = until(daemon, "wasm_reconciler_pool_instances", None, plugin="gone", state="ready")
    assert "gone" not in text


def test_openmetrics_is_spoken_where_it_is_asked_for(daemon: Daemon) -> None:
    answer = ask(daemon.admin, "/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.body.endswith(b"# EOF\n")


def promtool(*arguments: str | Path, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["promtool", *map(str, arguments)], check=False, capture_output=True, text=True, timeout=30, **options
    )


@needs_prometheus
def test_promtool_accepts_what_is_scraped(daemon: Daemon) -> None:
    daemon.call("good")
    checked = promtool("check", "metrics", input=scrape(daemon))
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@needs_prometheus
def test_promtool_accepts_the_alert_rules_and_they_fire_when_they_should() -> None:
    checked = promtool("check", "rules", OBSERVABILITY / "alerts.yaml")
    assert checked.returncode == 0, checked.stderr
    tested = promtool("test", "rules", OBSERVABILITY / "alerts_test.yaml")
    assert tested.returncode == 0, tested.stdout + tested.stderr


def expressions() -> list[str]:
    """Every query of the rules and the dashboard, as it would be sent."""
    dashboard = json.loads((OBSERVABILITY / "dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries = [query.replace("$__rate_interval", "1m").replace("$plugin", ".*") for query in queries]
    rules = (OBSERVABILITY / "alerts.yaml").read_text()
    return [*queries, *re.findall(r"expr: (?!\|)(.*)", rules), *re.findall(r"expr: \|\n((?: {10}.*\n)+)", rules)]


def test_rules_and_dashboard_name_only_metrics_that_are_there(daemon: Daemon) -> None:
    daemon.call("good")
    known = set(re.findall(r"^# TYPE (\w+)", scrape(daemon), re.MULTILINE))
    queries = expressions()
    assert len(queries) > 20
    for query in queries:
        for name in re.findall(r"(?:wasm_reconciler|workqueue|process)_\w+", query):
            assert {name, re.sub(r"_(bucket|count|sum)$", "", name)} & known, name


@contextmanager
def prometheus(target: str, directory: Path) -> Iterator[str]:
    """A real Prometheus that scrapes `target` five times a second, with our rules; its address."""
    config = directory / "prometheus.yml"
    rules = OBSERVABILITY / "alerts.yaml"
    config.write_text(
        f"global: {{scrape_interval: 200ms}}\nrule_files: ['{rules}']\n"
        f"scrape_configs: [{{job_name: node, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    process = subprocess.Popen(
        [
            "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={directory}",
            "--web.listen-address=127.0.0.1:0",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=lambda: [said.put(line) for line in process.stderr or ()])
    reader.start()
    try:
        address = ""
        while not address:
            found = re.search(r'"Listening on" address=(\S+)', said.get(timeout=20))
            address = found[1] if found else ""
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)
        reader.join()
        process.stderr.close()


def query(address: str, expression: str) -> list[Mapping[str, Any]]:
    answer = ask(address, "/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
    if answer.status == 503:  # it is still starting
        return []
    found = json.loads(answer.body)
    assert found["status"] == "success", found
    return list(found["data"]["result"])


@needs_prometheus
def test_a_killed_instance_shows_in_prometheus(daemon: Daemon, tmp_path: Path) -> None:
    def restarts() -> float:
        found = query(address, 'wasm_reconciler_instance_restarts_total{plugin="bad", reason="Trapped"}')
        return float(found[0]["value"][1]) if found else 0.0

    def eventually(reached: Any) -> None:
        deadline = time.monotonic() + 20
        while not reached():
            assert time.monotonic() < deadline

    with prometheus(daemon.admin, tmp_path) as address:
        eventually(lambda: query(address, "up == 1"))
        before = restarts()
        while daemon.call("bad").status == 200:
            pass
        eventually(lambda: restarts() > before)
        for expression in expressions():
            query(address, expression)
