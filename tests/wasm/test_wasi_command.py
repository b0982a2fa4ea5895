"""Programs in WAT and in C, run for requests."""

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reconciler.core.revision import InstanceLimits, InstanceSpec, ModuleSource, PreopenDir
from reconciler.core.states import NextStep, Reason
from reconciler.wasm.engine import CompiledModule, Engine
from reconciler.wasm.ffi.fast import FastFfi
from reconciler.wasm.ffi.safe import SafeFfi
from reconciler.wasm.kind import (
    CallContext,
    GuestFailed,
    KeyValueStore,
    ModuleRefused,
    Request,
    Response,
)
from reconciler.wasm.wasi_command import CommandSlot, PreparedCommand, WasiCommandKind

LIMITS = InstanceLimits(
    memory=64 * 2**20, timeout=5.0, start_timeout=5.0, fuel=None, request_bytes=2**20, response_bytes=2**20
)
SPEC = InstanceSpec(
    plugin="demo",
    module=ModuleSource("sha256:0"),
    abi="auto",
    engine="wasmtime",
    config="{}",
    env=(),
    allowed_hosts=(),
    stores=(),
    preopens=(),
    namespace="plugin/demo",
    limits=LIMITS,
)

HELLO = r"""(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "Content-Type: text/plain\n\nhello")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 31))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"""


class Services:
    """GuestServices that remember the log."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str, str]] = []

    def log_level(self) -> int:
        return 1

    def log(self, level: int, message: str, request_id: str = "") -> None:
        self.lines.append((level, message, request_id))

    def store(self, name: str) -> KeyValueStore | None:
        return None

    def invoke(self, request: Request, call: CallContext) -> Response:
        raise AssertionError("a command calls no other plugin")

    @property
    def texts(self) -> list[str]:
        return [text for _, text, _ in self.lines]


class Commands:
    """Prepares programs, and closes what it prepared."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.kind = WasiCommandKind(engine)
        self.services = Services()
        self._prepared: list[PreparedCommand] = []

    def prepare(self, wasm: "bytes | str | CompiledModule", **changes: Any) -> PreparedCommand:
        limits = {name: changes.pop(name) for name in list(changes) if hasattr(LIMITS, name)}
        spec = replace(SPEC, limits=replace(LIMITS, **limits), **changes)
        if not isinstance(wasm, CompiledModule):
            text = wasm.encode() if isinstance(wasm, str) else wasm
            wasm = self._engine.compile(text, metered=spec.limits.fuel is not None)
        self._prepared.append(self.kind.prepare(wasm, spec, self.services))
        return self._prepared[-1]

    def slot(self, wasm: "bytes | str | CompiledModule", **changes: Any) -> CommandSlot:
        return self.prepare(wasm, **changes).start()

    def close(self) -> None:
        for prepared in self._prepared:
            prepared.close()


@pytest.fixture(scope="module", params=[FastFfi, SafeFfi])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = Engine(request.param())
    yield engine
    engine.close()


@pytest.fixture
def commands(engine: Engine) -> Iterator[Commands]:
    commands = Commands(engine)
    yield commands
    commands.close()


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    compiler = shutil.which("clang-16") or shutil.which("clang")
    if compiler is None:
        pytest.skip("clang is not installed: apt-get install clang-16 lld-16 wasi-libc libclang-rt-16-dev-wasm32")
    output = tmp_path_factory.mktemp("c") / "command.wasm"
    source = Path(__file__).with_name("command.c")
    subprocess.run([compiler, "--target=wasm32-wasi", "-O2", "-s", "-o", str(output), str(source)], check=True)
    return output.read_bytes()


@pytest.fixture(scope="module")
def program(engine: Engine, binary: bytes) -> CompiledModule:
    return engine.compile(binary)


def ask(slot: CommandSlot, query: str = "", *, seconds: float = 5, **fields: Any) -> Response:
    request = Request("shop", query=query, **fields)
    return slot.handle(request, CallContext(time.monotonic() + seconds, request_id="r1"))


def fail(slot: CommandSlot, query: str = "", **fields: Any) -> GuestFailed:
    with pytest.raises(GuestFailed) as caught:
        ask(slot, query, **fields)
    assert not caught.value.fatal, "a slot is never spoilt"
    return caught.value


# Which modules are commands


def test_a_tiny_command_answers(commands: Commands) -> None:
    assert ask(commands.slot(HELLO)) == Response(200, [("content-type", "text/plain")], b"hello")


@pytest.mark.parametrize(
    ("wat", "recognised"),
    [
        (HELLO, True),
        ('(module (func (export "_start")))', True),
        ('(module (import "env" "x" (func)) (func (export "_start")))', True),
        ('(module (func (export "_initialize")))', False),
        ('(module (func (export "_start")) (func (export "proxy_on_request_headers")))', False),
        ('(module (func (export "_start")) (func (export "proxy_abi_version_0_2_0")))', False),
        ("(component)", False),
    ],
)
def test_a_command_is_recognised_by_its_exports(commands: Commands, engine: Engine, wat: str, recognised: bool) -> None:
    assert commands.kind.recognise(engine.compile(wat.encode()).shape) is recognised


@pytest.mark.parametrize(
    ("wat", "reason", "words"),
    [
        (
            '(module (import "env" "x" (func)) (import "env" "y" (func)) (func (export "_start")))',
            Reason.MISSING_IMPORT,
            "the host does not offer env.x, env.y to a WASI command",
        ),
        (
            '(module (import "wasi_snapshot_preview1" "nope" (func)) (memory (export "memory") 1)'
            ' (func (export "_start")))',
            Reason.MISSING_IMPORT,
            "wasi_snapshot_preview1::nope",
        ),
        (
            '(module (import "wasi_snapshot_preview1" "fd_write" (func)) (memory (export "memory") 1)'
            ' (func (export "_start")))',
            Reason.MISSING_IMPORT,
            "wasi_snapshot_preview1::fd_write",
        ),
        (
            '(module (import "wasi_snapshot_preview1" "proc_exit" (func (param i32))) (func (export "_start")))',
            Reason.MISSING_EXPORT,
            "exports no memory",
        ),
        ('(module (func (export "_start") (param i32)))', Reason.MISSING_EXPORT, "exports _start"),
        ("(module)", Reason.MISSING_EXPORT, "exports _start"),
        ("(component)", Reason.UNSUPPORTED_ABI, "component"),
    ],
)
def test_a_module_that_cannot_run_is_refused_with_the_reason(
    commands: Commands, wat: str, reason: Reason, words: str
) -> None:
    with pytest.raises(ModuleRefused) as caught:
        commands.prepare(wat)

    assert caught.value.failure.reason is reason
    assert caught.value.failure.next_step is NextStep.STALL
    assert words in caught.value.failure.message


def test_a_variable_that_holds_a_nul_is_refused(commands: Commands) -> None:
    with pytest.raises(ModuleRefused, match="the variable A has a NUL"):
        commands.prepare(HELLO, env=(("A", "x\0y"),))


def test_a_program_that_needs_more_memory_than_it_may_have_does_not_start(commands: Commands) -> None:
    prepared = commands.prepare('(module (memory (export "memory") 1000) (func (export "_start")))', memory=2**20)

    with pytest.raises(GuestFailed) as caught:
        prepared.start()

    assert caught.value.failure.reason is Reason.OUT_OF_MEMORY


def test_a_start_does_not_run_the_program(commands: Commands) -> None:
    commands.slot('(module (func (export "_start") unreachable))')


def test_only_programs_that_may_sleep_or_read_files_may_wait(commands: Commands, tmp_path: Path) -> None:
    poll = '(module (import "wasi_snapshot_preview1" "poll_oneoff" (func (param i32 i32 i32 i32) (result i32)))'
    poll += ' (memory (export "memory") 1) (func (export "_start")))'

    assert not commands.prepare(HELLO).info.may_wait
    assert commands.prepare(poll).info.may_wait
    assert commands.prepare(HELLO, preopens=(PreopenDir(str(tmp_path), "/d", True),)).info.may_wait


# What a program sees


def test_the_environment_has_the_request_the_config_and_the_plugins_variables(
    commands: Commands, program: CompiledModule
) -> None:
    config = {"greeting": "héllo"}
    slot = commands.slot(program, env=(("A", "b"), ("EMPTY", "")), config=json.dumps(config, ensure_ascii=False))
    headers = [("x-one", "1"), ("proxy", "http://evil.test")]

    lines = ask(slot, "env", method="PUT", path="/p", headers=headers, body=b"four").body.decode().splitlines()
    found = dict(line.split("=", 1) for line in lines)

    assert len(found) == len(lines), "no variable is there twice"
    assert found["REQUEST_METHOD"] == "PUT"
    assert found["QUERY_STRING"] == "env"
    assert found["PATH_INFO"] == "/p"
    assert found["SCRIPT_NAME"] == "/invoke/shop"
    assert found["CONTENT_LENGTH"] == "4"
    assert found["HTTP_X_ONE"] == "1"
    assert (found["A"], found["EMPTY"]) == ("b", "")
    assert json.loads(found["PLUGIN_CONFIG"]) == config
    assert "HTTP_PROXY" not in found
    assert "PATH" not in found, "nothing of the daemon's own environment is there"


def test_a_config_that_is_text_is_passed_as_it_is(commands: Commands, program: CompiledModule) -> None:
    slot = commands.slot(program, config=json.dumps("a = 1"))

    assert b"PLUGIN_CONFIG=a = 1\n" in ask(slot, "env").body


def test_what_the_spec_sets_cannot_be_set_by_a_header(commands: Commands, program: CompiledModule) -> None:
    slot = commands.slot(program, env=(("HTTP_X_ROLE", "guest"),))

    assert b"HTTP_X_ROLE=guest\n" in ask(slot, "env", headers=[("x-role", "admin")]).body


def test_the_first_argument_is_the_plugins_name(commands: Commands, program: CompiledModule) -> None:
    assert ask(commands.slot(program), "argv").body == b"demo\n"


@pytest.mark.parametrize("body", [b"", b"abc", b"a\x00\xff\r\n", bytes(range(256)) * 3000])
def test_the_body_comes_on_stdin_and_goes_out_on_stdout(
    commands: Commands, program: CompiledModule, body: bytes
) -> None:
    response = ask(commands.slot(program), "echo", method="POST", body=body, headers=[("content-type", "a/b")])

    assert (response.body, response.headers) == (body, [("content-type", "a/b")])


def test_every_request_gets_a_fresh_instance(commands: Commands, program: CompiledModule) -> None:
    slot = commands.slot(program)

    assert [ask(slot, "count").body for _ in range(3)] == [b"1"] * 3


def test_without_directories_there_are_no_files(commands: Commands, program: CompiledModule) -> None:
    assert ask(commands.slot(program), "read=/etc/passwd").body == b"cannot open"


def test_a_directory_can_be_read_and_not_written(commands: Commands, program: CompiledModule, tmp_path: Path) -> None:
    (tmp_path / "note").write_text("from a file")
    slot = commands.slot(program, preopens=(PreopenDir(str(tmp_path), "/data", True),))

    assert ask(slot, "read=/data/note").body == b"from a file"
    assert ask(slot, "read=/data/../../../etc/passwd").body == b"cannot open"
    assert ask(slot, "write=/data/note").body == b"cannot write"
    assert (tmp_path / "note").read_text() == "from a file"


def test_a_directory_may_be_writable(commands: Commands, program: CompiledModule, tmp_path: Path) -> None:
    slot = commands.slot(program, preopens=(PreopenDir(str(tmp_path), "/data", False),))

    assert ask(slot, "write=/data/new").body == b"written"
    assert (tmp_path / "new").read_text() == "kept"


def test_with_directories_streams_work_the_same(commands: Commands, program: CompiledModule, tmp_path: Path) -> None:
    slot = commands.slot(program, preopens=(PreopenDir(str(tmp_path), "/data", True),), response_bytes=200_000)
    body = b"x" * 150_000

    assert ask(slot, "echo", body=body).body == body
    ask(slot, "lines")
    assert commands.services.texts == ["one", "two", "three"]
    assert fail(slot, "flood", seconds=0.3).failure.reason is Reason.BAD_RESPONSE


def test_a_directory_that_is_not_there_stops_the_start(commands: Commands, tmp_path: Path) -> None:
    missing = str(tmp_path / "gone")
    prepared = commands.prepare(HELLO, preopens=(PreopenDir(missing, "/data", True),))

    with pytest.raises(GuestFailed, match=f"the directory {missing} cannot be opened") as caught:
        prepared.start()

    assert caught.value.failure.reason is Reason.START_FAILED


def test_stderr_goes_to_the_log_line_by_line(commands: Commands, program: CompiledModule) -> None:
    ask(commands.slot(program), "lines")

    assert commands.services.lines == [(4, "one", "r1"), (4, "two", "r1"), (4, "three", "r1")]


def test_a_program_can_sleep_for_a_while(commands: Commands, program: CompiledModule) -> None:
    assert 29 <= int(ask(commands.slot(program), "nap").body) < 1000


# What goes wrong


def test_a_path_with_a_nul_is_the_clients_mistake(commands: Commands) -> None:
    assert ask(commands.slot(HELLO), path="/%00").status == 400


def test_exit_0_is_an_answer(commands: Commands, program: CompiledModule) -> None:
    assert ask(commands.slot(program), "exit=0").status == 200


def test_another_exit_is_a_failure_with_the_status_and_the_last_words(
    commands: Commands, program: CompiledModule
) -> None:
    failure = fail(commands.slot(program), "exit=3").failure

    assert failure.reason is Reason.GUEST_EXITED
    assert "status 3" in failure.message
    assert "its last words: leaving with 3" in failure.message
    assert commands.services.texts == ["first", "leaving with 3"]


def test_a_trap_is_a_failure_with_the_last_words(commands: Commands, program: CompiledModule) -> None:
    failure = fail(commands.slot(program), "abort").failure

    assert failure.reason is Reason.TRAPPED
    assert "unreachable" in failure.message
    assert "assertion failed: the sky" in failure.message


@pytest.mark.parametrize("query", ["loop", "sleep"])
def test_a_program_past_its_time_is_stopped(commands: Commands, program: CompiledModule, query: str) -> None:
    slot = commands.slot(program)
    start = time.monotonic()

    failure = fail(slot, query, seconds=0.2).failure

    assert failure.reason is Reason.DEADLINE_EXCEEDED
    assert 0.19 < time.monotonic() - start < 1.5
    assert ask(slot).body == b"hello", "the slot still serves"


def test_no_time_left_is_told_without_running(commands: Commands) -> None:
    slot = commands.slot('(module (func (export "_start") unreachable))')

    assert fail(slot, seconds=-1).failure.reason is Reason.DEADLINE_EXCEEDED


def test_a_flood_on_stdout_is_cut_soon(commands: Commands, program: CompiledModule) -> None:
    start = time.monotonic()

    failure = fail(commands.slot(program, response_bytes=100_000), "flood", seconds=30).failure

    assert failure.reason is Reason.BAD_RESPONSE
    assert "limits.responseBytes (100000)" in failure.message
    assert time.monotonic() - start < 5


def test_one_byte_over_the_limit_is_over_it(commands: Commands, program: CompiledModule) -> None:
    slot = commands.slot(program, response_bytes=1000)

    assert len(ask(slot, "echo", body=b"x" * 1000).body) == 1000
    assert fail(slot, "echo", body=b"x" * 1001).failure.reason is Reason.BAD_RESPONSE


def test_one_write_of_all_memory_many_times_over_takes_no_memory(commands: Commands) -> None:
    """1024 vectors that each name the same 16 MiB would be 16 GiB."""
    wat = r"""(module
      (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 257)
      (func (export "_start") (local $i i32)
        (loop $more
          (i32.store offset=4 (local.get $i) (i32.const 16777216))
          (local.set $i (i32.add (local.get $i) (i32.const 8)))
          (br_if $more (i32.lt_u (local.get $i) (i32.const 8192))))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1024) (i32.const 9000)))))"""
    before = peak_memory()

    assert fail(commands.slot(wat)).failure.reason is Reason.BAD_RESPONSE
    assert peak_memory() - before < 100 * 2**20


def test_a_flood_on_stderr_does_not_flood_the_log(commands: Commands, program: CompiledModule) -> None:
    assert ask(commands.slot(program), "flood-stderr").status == 200

    assert sum(map(len, commands.services.texts)) < 70_000
    assert commands.services.texts[-1] == "(more than 65536 bytes: the rest is dropped)"


def test_memory_is_bounded(commands: Commands, program: CompiledModule) -> None:
    assert ask(commands.slot(program, memory=8 * 2**20), "grow").body in (b"5 MiB", b"6 MiB", b"7 MiB")


def test_fuel_is_bounded(commands: Commands, binary: bytes) -> None:
    slot = commands.slot(binary, fuel=1_000_000)

    assert ask(slot).body == b"hello"
    assert fail(slot, "loop").failure.reason is Reason.FUEL_EXHAUSTED


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "printed nothing"), ("hello", "no header block"), ("HTTP/1.1 200 OK\\n\\n", "HTTP status line")],
)
def test_what_is_no_cgi_response_is_a_failure_that_says_what_is_missing(
    commands: Commands, text: str, words: str
) -> None:
    size = len(text.replace("\\n", "n"))
    wat = HELLO.replace(r"Content-Type: text/plain\n\nhello", text).replace("(i32.const 31)", f"(i32.const {size})")

    failure = fail(commands.slot(wat)).failure

    assert failure.reason is Reason.BAD_RESPONSE
    assert words in failure.message


def test_a_pointer_beyond_memory_is_a_fault_for_the_program(commands: Commands) -> None:
    wat = HELLO.replace("(i32.store (i32.const 0) (i32.const 64))", "(i32.store (i32.const 0) (i32.const -1))")
    wat = wat.replace("(drop (call $write", "(if (i32.ne (i32.const 21) (call $write").replace(
        "8)))))", "8))) (then unreachable))))"
    )

    assert "printed nothing" in fail(commands.slot(wat)).failure.message


def test_a_wasm_start_function_that_writes_gets_a_fault_and_no_crash(commands: Commands) -> None:
    wat = HELLO.replace('(func (export "_start")', '(func $go (export "_start")').replace(
        "(memory", "(start $go) (memory"
    )

    assert ask(commands.slot(wat)).body == b"hello"


# Many at once, and for long


def test_many_threads_run_one_program_at_once(commands: Commands, program: CompiledModule) -> None:
    prepared = commands.prepare(program)
    slots = threading.local()

    def run(number: int) -> bool:
        if not hasattr(slots, "slot"):
            slots.slot = prepared.start()
        if number % 10 == 0:
            fail(slots.slot, "exit=1")
        body = f"{number}:".encode() * 1000
        return ask(slots.slot, "echo", body=body, seconds=20).body == body

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(run, range(400)))


def test_memory_stays_flat_over_thousands_of_requests(commands: Commands) -> None:
    slot = commands.slot(HELLO)
    broken = commands.slot('(module (memory (export "memory") 1) (func (export "_start") unreachable))')

    def many(count: int) -> None:
        for _ in range(count):
            ask(slot, headers=[("x-a", "b" * 100)], body=b"c" * 1000)
            fail(broken)

    many(300)
    before = memory()
    many(2000)

    assert memory() - before < 2 * 2**20


def memory() -> int:
    """Resident bytes of this process."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def peak_memory() -> int:
    """The most that was resident at any time, in bytes."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024
