"""What a real OTLP receiver is sent by a daemon: whose spans they are, and how they hang together."""

import http.server
import json
import queue
import re
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import rotel

from api.tracing.egress import TracedClient
from api.tracing.otel import OtelTracer
from reconciler.core.addresses import HostPolicy
from reconciler.wasm.egress import EgressRequest, PinnedHttpClient, SystemResolver
from tests.examples.daemon import Daemon, ask, serve
from tests.guest_wat import WORK_GLOBAL, answering, work

ROOT = Path(__file__).parents[3]
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE, CALLER_SPAN = CALLER.split("-")[1:3]


@dataclass(frozen=True)
class Span:
    name: str
    trace: str
    own: str
    parent: str
    text: str


class Receiver:
    """A rotel process that prints what it is sent."""

    def __init__(self, address: str, said: "queue.Queue[str]") -> None:
        self.endpoint = f"http://{address}"
        self._said = said
        self._text = ""

    def spans(self) -> list[Span]:
        """All so far."""
        while not self._said.empty():
            self._text += self._said.get()
        found = []
        for block in re.split(r"^Span #\d+$", self._text, flags=re.MULTILINE)[1:]:
            fields = dict(re.findall(r"^ +(Trace ID|Parent ID|ID|Name) +: ?(.*)$", block, re.MULTILINE))
            found.append(Span(fields["Name"], fields["Trace ID"], fields["ID"], fields["Parent ID"], block))
        return found

    def until(self, enough: Callable[[list[Span]], bool]) -> list[Span]:
        deadline = time.monotonic() + 20
        while True:
            spans = self.spans()
            if enough(spans):
                return spans
            assert time.monotonic() < deadline, self._text


def free_port() -> int:
    """A port that nobody has. Rotel cannot be given 0."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def receiver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    agent = Path(rotel.__file__).with_name("rotel-agent")
    for _ in range(3):
        with started(agent, tmp_path_factory.mktemp("rotel")) as found:
            if found is not None:
                yield found
                return
    pytest.fail("rotel does not start")


@contextmanager
def started(agent: Path, directory: Path) -> Iterator[Receiver | None]:
    address = f"127.0.0.1:{free_port()}"
    command = [agent, "start", "--exporter", "blackhole", "--debug-log", "traces", "--debug-log-verbosity", "detailed"]
    command += ["--otlp-http-endpoint", address, "--otlp-grpc-endpoint", f"127.0.0.1:{free_port()}"]
    command += ["--pid-file", str(directory / "pid")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    assert process.stdout is not None
    said: queue.Queue[str] = queue.Queue()
    reader = threading.Thread(target=lambda: [said.put(line) for line in process.stdout or ()])
    reader.start()
    try:
        yield Receiver(address, said) if answers(address, process) else None
    finally:
        process.terminate()
        process.wait(timeout=20)
        reader.join()
        process.stdout.close()


def answers(address: str, process: "subprocess.Popen[str]") -> bool:
    host, port = address.split(":")
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            continue
        return True
    return False


@pytest.fixture
def sending(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    return receiver


@pytest.fixture
def daemon(sending: Receiver, tmp_path: Path) -> Iterator[Daemon]:
    """The examples of the quick start: id_1 asks id_2."""
    flags = ("--config", ROOT / "examples/layotto/config.json", "--stores", ROOT / "examples/stores.yaml")
    with serve(tmp_path, *flags, "--module-root", ROOT / "examples", "--traces") as daemon:
        daemon.wait_until_ready({"id_1_1", "id_1_2", "id_2"})
        yield daemon


def test_guests_that_call_each_other_are_under_the_callers_trace(daemon: Daemon, receiver: Receiver) -> None:
    answer = daemon.call("id_1", "/?name=book1", headers={"traceparent": CALLER})
    assert answer.status == 200
    spans = receiver.until(lambda spans: sum(span.trace == TRACE for span in spans) >= 4)
    mine = {span.name: span for span in spans if span.trace == TRACE}
    outer = next(name for name in mine if name.startswith("guest id_1_"))
    assert mine.keys() == {"GET id_1", outer, "invoke id_2", "guest id_2"}
    assert mine["GET id_1"].parent == CALLER_SPAN
    assert mine[outer].parent == mine["GET id_1"].own
    assert mine["invoke id_2"].parent == mine[outer].own
    assert mine["guest id_2"].parent == mine["invoke id_2"].own
    assert "SPAN_KIND_SERVER" in mine["GET id_1"].text


def test_a_pass_of_the_reconciler_is_a_trace_of_its_own(daemon: Daemon, receiver: Receiver) -> None:
    spans = receiver.until(lambda spans: any(span.name == "reconcile id_2" for span in spans))
    assert all(span.parent == "" for span in spans if span.name.startswith("reconcile "))


def test_log_lines_of_guests_carry_the_ids_of_request_and_trace(daemon: Daemon) -> None:
    daemon.call("id_1", "/?x=1", headers={"traceparent": CALLER, "x-request-id": "r-17"})
    lines = json.loads(ask(daemon.admin, "/logs?request_id=r-17").body)["items"]
    assert [line["trace_id"] for line in lines] == [TRACE]


def test_a_wait_for_an_instance_is_a_span_of_its_request(sending: Receiver, receiver: Receiver, tmp_path: Path) -> None:
    trace = "1af7651916cd43dd8448eb211c80319c"
    slow = answering("done", before=work(300_000_000), exports=WORK_GLOBAL)
    (tmp_path / "slow.wat").write_bytes(slow)
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "slow.yaml").write_text(
        "{apiVersion: wasm-reconciler.dev/v1alpha1, kind: WasmPlugin, metadata: {name: slow},"
        " spec: {module: {path: slow.wat}, limits: {timeout: 30s, queueTimeout: 30s}}}"
    )
    flags = ("--specs", tmp_path / "specs", "--module-root", tmp_path, "--traces")
    with serve(tmp_path / "state", *flags) as daemon:
        daemon.wait_until_ready({"slow"})
        headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        calls = [threading.Thread(target=daemon.call, args=("slow",), kwargs={"headers": headers}) for _ in range(2)]
        for call in calls:
            call.start()
        for call in calls:
            call.join()
    spans = receiver.until(lambda spans: sum(span.trace == trace for span in spans) >= 5)
    mine = [span for span in spans if span.trace == trace]
    (wait,) = [span for span in mine if span.name == "queue wait"]
    assert wait.parent in {span.own for span in mine if span.name == "GET slow"}


class _Echo(http.server.BaseHTTPRequestHandler):
    """Answers with the traceparent that it was sent."""

    def do_GET(self) -> None:
        body = (self.headers["traceparent"] or "").encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments: object) -> None:
        pass


def test_a_call_of_a_guest_to_elsewhere_hands_the_trace_on(sending: Receiver, receiver: Receiver) -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Echo)
    server.timeout = 10
    thread = threading.Thread(target=server.handle_request, daemon=True)
    thread.start()
    port = server.server_address[1]
    tracer = OtelTracer("1.2.3")
    client = TracedClient(PinnedHttpClient(SystemResolver(), ssl.create_default_context()), tracer)
    policy = HostPolicy.parse((f"127.0.0.1:{port}",))
    with tracer.span("guest a", parent=CALLER) as outer:
        request = EgressRequest("GET", "http", "127.0.0.1", port, "/", (("traceparent", "stale"),))
        answer = client.send(request, policy, time.monotonic() + 10)
    thread.join()
    server.server_close()
    tracer.close()
    sent = answer.body.decode()
    assert sent.startswith(f"00-{TRACE}-")
    assert sent != outer.traceparent
    spans = receiver.until(lambda spans: any(span.own == sent.split("-")[2] for span in spans))
    span = next(span for span in spans if span.own == sent.split("-")[2])
    assert (span.name, span.parent) == ("GET 127.0.0.1", outer.traceparent.split("-")[2])
