"""Guests that call what a test wants called, and a host to run them in."""

import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from reconciler.core.addresses import HostPolicy
from reconciler.core.revision import InstanceLimits, InstanceSpec, ModuleSource
from reconciler.state.errors import StoreUnavailable
from reconciler.state.memory import MemoryStore
from reconciler.wasm.egress import EgressError, EgressFailed, EgressRequest, EgressResponse
from reconciler.wasm.engine import Engine
from reconciler.wasm.kind import CallContext, GuestFailed, KeyValueStore, Request, Response
from reconciler.wasm.preview1 import MODULE as WASI
from reconciler.wasm.proxy_wasm.guest import ProxyWasmKind
from reconciler.wasm.proxy_wasm.instance import ProxyWasmInstance
from reconciler.wasm.proxy_wasm.prepared import PreparedProxyWasm
from reconciler.wasm.proxy_wasm.shared import SharedSpaces

LIMITS = InstanceLimits(
    memory=2**24, timeout=2.0, start_timeout=5.0, fuel=None, request_bytes=2**20, response_bytes=2**20
)
SPEC = InstanceSpec(
    plugin="probe",
    module=ModuleSource("sha256:0"),
    abi="auto",
    engine="wasmtime",
    config="{}",
    env=(),
    allowed_hosts=(),
    stores=("books",),
    preopens=(),
    namespace="probe",
    limits=LIMITS,
)
BIG = 0x7FFFFFFF


class Books:
    """A store with one book; the key `down` finds it unreachable."""

    waits = False

    def get(self, key: str) -> bytes | None:
        if key == "down":
            raise StoreUnavailable("books cannot be reached")
        return {"book1": b"100"}.get(key)


@dataclass
class Services:
    """What the host offers; remembers what guests said and asked."""

    lines: list[tuple[int, str]] = field(default_factory=list)
    level: int = 1
    invoked: list[Request] = field(default_factory=list)
    answer: Response | GuestFailed = field(default_factory=lambda: Response(200, [], b"answer"))
    counts: MemoryStore = field(default_factory=MemoryStore)

    def log_level(self) -> int:
        return self.level

    def log(self, level: int, message: str, request_id: str = "") -> None:
        self.lines.append((level, message))

    def store(self, name: str) -> KeyValueStore | None:
        return Books() if name == "books" else self.counts if name == "counts" else None  # type: ignore[return-value]

    def invoke(self, request: Request, call: CallContext) -> Response:
        self.invoked.append(request)
        if isinstance(self.answer, GuestFailed):
            raise self.answer
        return self.answer


@dataclass
class Upstreams:
    """An HTTP client whose servers are in its head."""

    answers: dict[str, EgressResponse] = field(default_factory=dict)
    requests: list[EgressRequest] = field(default_factory=list)

    def send(self, request: EgressRequest, policy: HostPolicy, deadline: float) -> EgressResponse:
        self.requests.append(request)
        answer = self.answers.get(request.path)
        if answer is None:
            raise EgressFailed("connection refused") from EgressError()
        return answer


@dataclass(frozen=True)
class Memory:
    """A guest's first page, as its probe left it."""

    content: bytes

    def status(self, index: int) -> int:
        return self.u32(4 * index)

    @property
    def statuses(self) -> list[int]:
        count = self.u32(400)
        return [self.status(index) for index in range(count)]

    def u32(self, address: int) -> int:
        return struct.unpack_from("<I", self.content, address)[0]

    def u64(self, address: int) -> int:
        return struct.unpack_from("<Q", self.content, address)[0]

    def given(self, address: int) -> bytes:
        """The bytes whose address and size the host wrote at `address` and after it."""
        start, size = struct.unpack_from("<II", self.content, address)
        return self.content[start : start + size]


class World:
    """A host for proxy-wasm guests."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.services = Services()
        self.upstreams = Upstreams()
        self.kind = ProxyWasmKind(engine, self.upstreams, SharedSpaces())

    def prepare(self, wat: str, spec: InstanceSpec = SPEC, **limits: float | None) -> PreparedProxyWasm:
        spec = replace(spec, limits=replace(spec.limits, **limits))
        module = self.engine.compile(wat.encode(), metered=spec.limits.fuel is not None)
        return self.kind.prepare(module, spec, self.services)

    def start(self, wat: str, spec: InstanceSpec = SPEC, **limits: float | None) -> ProxyWasmInstance:
        return self.prepare(wat, spec, **limits).start()

    def probe(self, *steps: "Step", request: Request | None = None, spec: InstanceSpec = SPEC, **wat: object) -> Memory:
        """Start a guest that makes those calls when a request comes, and look at its memory afterwards."""
        instance = self.start(probe(*steps, **wat), spec)
        try:
            return Memory(handle(instance, request).body)
        finally:
            instance.close()


def handle(instance: ProxyWasmInstance, request: Request | None = None, seconds: float = 2.0) -> Response:
    return instance.handle(request or Request("probe"), CallContext(time.monotonic() + seconds))


Step = tuple[str, Sequence[int]] | str
"""A host function and its arguments, or some WAT."""


def probe(
    *steps: Step,
    data: Mapping[int, bytes] | None = None,
    callback: str = "proxy_on_request_headers",
    action: int = 0,
    extra: str = "",
    version: str = "0_2_1",
) -> str:
    """A module that makes some calls in a callback, one after the other, and answers with its first page.

    Each status is stored at 4 * its index, their number at 400. Memory from 8192 on is handed to the host.
    """
    lines, imports = [], {}
    count = 0
    for step in steps:
        if isinstance(step, str):
            lines.append(step)
            continue
        name, values = step
        params = WIDE.get(name, "i" * len(values))
        imports[name] = (WASI if name in WASI_NAMES else "env", params)
        pushed = " ".join(f"({kind}.const {value})" for kind, value in zip(kinds(params), values, strict=True))
        lines.append(f"(i32.store (i32.const {4 * count}) (call ${name} {pushed}))")
        count += 1
    lines.append(f"(i32.store (i32.const 400) (i32.const {count}))")
    lines.append(
        "(drop (call $answer_with (i32.const 1) (i32.const 0) (i32.const 0x7fffffff) (i32.const 0) (i32.const 65536)))"
    )
    declared = "\n".join(
        f'(import "{module}" "{name}" (func ${name} (param {" ".join(kinds(params))}) (result i32)))'
        for name, (module, params) in imports.items()
    )
    segments = "\n".join(
        f'(data (i32.const {address}) "{"".join(f"{chr(92)}{byte:02x}" for byte in content)}")'
        for address, content in (data or {}).items()
    )
    params = " ".join(["i32"] * PARAMS.get(callback, 3))
    result = "" if callback in SILENT else "(result i32)"
    end = "" if callback in SILENT else f"(i32.const {action})"
    return f"""(module
      {declared}
      (import "env" "proxy_set_buffer_bytes" (func $answer_with (param i32 i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (global $heap (mut i32) (i32.const 8192))
      {segments}
      (func (export "proxy_abi_version_{version}"))
      (func (export "proxy_on_memory_allocate") (param $size i32) (result i32) (local $at i32)
        (local.set $at (global.get $heap))
        (global.set $heap (i32.add (global.get $heap) (local.get $size)))
        (local.get $at))
      (func (export "{callback}") (param {params}) {result}
        {" ".join(lines)}
        {end})
      {extra})"""


WASI_NAMES = {"fd_write", "poll_oneoff", "clock_time_get", "random_get", "environ_get", "environ_sizes_get"}
WIDE = {"proxy_record_metric": "iI", "proxy_increment_metric": "iI", "clock_time_get": "iIi"}
PARAMS = {"proxy_on_tick": 1, "proxy_on_http_call_response": 5, "proxy_on_queue_ready": 2}
SILENT = {"proxy_on_tick", "proxy_on_http_call_response", "proxy_on_queue_ready"}


def kinds(params: str) -> list[str]:
    return ["i64" if letter == "I" else "i32" for letter in params]
