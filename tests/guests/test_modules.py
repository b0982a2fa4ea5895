"""The committed modules themselves: what they import and export, and that they do what their sources say.

A small host of the tests runs them, so that a failure here is the module's and not our host's.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import wasmtime

from tests.guests.stub_host import CALL_DATA, REQUEST_HEADERS, RESPONSE_HEADERS, StubHost, run_command

ROOT = Path(__file__).parents[2]
KIND = Path("tests/guests/layotto_kind")
MODULES = sorted(path.relative_to(ROOT) for place in ("examples", KIND) for path in (ROOT / place).rglob("*.wasm"))

CONTINUE, PAUSE = 0, 1

LAYOTTO_IMPORTS = {
    "env.proxy_log",
    "env.proxy_set_effective_context",
    "env.proxy_get_buffer_bytes",
    "env.proxy_set_buffer_bytes",
    "env.proxy_get_header_map_pairs",
    "env.proxy_call_foreign_function",
    "env.proxy_get_state",
    "env.proxy_invoke_service",
    "wasi_snapshot_preview1.fd_write",
    "wasi_snapshot_preview1.args_sizes_get",
    "wasi_snapshot_preview1.args_get",
}
"""Every import of every demo module that Layotto ever committed."""


@pytest.fixture(scope="module")
def engine() -> Iterator[wasmtime.Engine]:
    with wasmtime.Engine() as engine:
        yield engine


@pytest.fixture
def load(engine: wasmtime.Engine) -> Iterator[Callable[..., StubHost]]:
    hosts: list[StubHost] = []

    def start(path: str | Path, configuration: bytes = b"") -> StubHost:
        hosts.append(StubHost(engine, ROOT / path))
        hosts[-1].start(configuration)
        return hosts[-1]

    yield start
    for host in hosts:
        host.close()


def imports(host: StubHost) -> set[str]:
    return {f"{wanted.module}.{wanted.name}" for wanted in host.module.imports}


def exports(host: StubHost) -> dict[str, tuple[list[str], list[str]]]:
    return {
        export.name: ([str(param) for param in export.type.params], [str(result) for result in export.type.results])
        for export in host.module.exports
        if isinstance(export.type, wasmtime.FuncType)
    }


@pytest.mark.parametrize("path", [path for path in MODULES if path.parent.name != "wasi-go"], ids=str)
def test_a_committed_module_is_small_and_stripped(path: Path) -> None:
    code = (ROOT / path).read_bytes()
    assert len(code) < 32 * 1024
    assert b"/home/" not in code
    assert b".debug_info" not in code


def quick_start(load: Callable[..., StubHost]) -> StubHost:
    asked, answering = load("examples/layotto/function_1.wasm"), load("examples/layotto/function_2.wasm")
    answering.state["state_demo", "book1"] = b"100"
    asked.services["id_2"] = lambda body: answering.ask(body)[1]
    return asked


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"name=book1", b"There are 100 inventories for book1."),
        (b"a=&name=book1&b", b"There are 100 inventories for book1."),
        (b"name=book2", b"There are no inventories for book2."),
        (b"name=", b"There are no inventories for ."),
    ],
)
def test_the_quick_start_answers(load: Callable[..., StubHost], body: bytes, sentence: bytes) -> None:
    assert quick_start(load).ask(body) == (CONTINUE, sentence)


@pytest.mark.parametrize("body", [b"", b"book1", b"&&", b"names=book1", b"title=book1"])
def test_the_quick_start_pauses_and_says_why_without_a_book(load: Callable[..., StubHost], body: bytes) -> None:
    host = quick_start(load)
    assert host.ask(body) == (PAUSE, b"")
    assert "no book given" in host.lines[0]


def test_the_quick_start_pauses_and_says_why_without_the_other_function(load: Callable[..., StubHost]) -> None:
    host = load("examples/layotto/function_1.wasm")
    assert host.ask(b"name=book1") == (PAUSE, b"")
    assert host.lines == ["id_2 did not answer"]


def test_a_function_that_lives_for_ever_does_not_grow(load: Callable[..., StubHost]) -> None:
    host = quick_start(load)
    host.ask(b"name=" + b"b" * 50_000)
    before = host.memory_pages()
    for _ in range(100):
        host.ask(b"name=" + b"b" * 50_000)
    assert host.memory_pages() == before


def test_the_functions_import_what_layotto_has_and_nothing_else(load: Callable[..., StubHost]) -> None:
    for name in ("function_1", "function_2"):
        host = load(f"examples/layotto/{name}.wasm")
        assert imports(host) <= LAYOTTO_IMPORTS
        assert "malloc" in exports(host)
        host.call("proxy_get_id")
        assert host.buffers[CALL_DATA] == name.replace("function", "id").encode()


@pytest.mark.parametrize(
    ("name", "shape", "entry"),
    [
        ("call_data", ([], []), "_start"),
        ("status", ([], ["i32"]), "_initialize"),
        ("pointer", ([], ["i32"]), "_start"),
        ("result", (["i32"], []), "_initialize"),
        ("rust", ([], []), "_start"),
    ],
)
def test_a_module_of_layottos_kind_has_its_shape(
    load: Callable[..., StubHost], name: str, shape: tuple[list[str], list[str]], entry: str
) -> None:
    host = load(KIND / f"{name}.wasm")
    found = exports(host)
    assert found["proxy_get_id"] == shape
    assert {"_start", "_initialize"} & found.keys() == {entry}
    assert ("proxy_get_id_length" in found) == (name == "pointer")
    assert found["malloc"] == (["i32"], ["i32"])
    assert "proxy_on_memory_allocate" not in found
    assert imports(host) <= LAYOTTO_IMPORTS if name == "rust" else imports(host) == LAYOTTO_IMPORTS


def test_each_shape_of_proxy_get_id_tells_the_id(load: Callable[..., StubHost]) -> None:
    for name in ("call_data", "status"):
        host = load(KIND / f"{name}.wasm")
        assert host.call("proxy_get_id") in (None, 0)
        assert host.buffers[CALL_DATA] == b"id_kind"
    pointer = load(KIND / "pointer.wasm")
    assert pointer.read(pointer.call("proxy_get_id") or 0, pointer.call("proxy_get_id_length") or 0) == b"id_kind"
    result = load(KIND / "result.wasm")
    where = result.call("malloc", 8) or 0
    result.call("proxy_get_id", where)
    assert result.read(*result.read_pair(where)) == b"id_kind"


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        (b"state book1", b"100"),
        (b"state book2", b""),
        (b"invoke id_2 hello world", b"HELLO WORLD"),
        (b"header host", b"example.test"),
        (b"header absent", b""),
        (b"foreign nothing", b"1"),
        (b"count", b"1"),
        (b"echo a b", b"a b"),
    ],
)
def test_a_module_of_layottos_kind_obeys_its_commands(
    load: Callable[..., StubHost], command: bytes, answer: bytes
) -> None:
    host = load(KIND / "call_data.wasm")
    host.state["state_demo", "book1"] = b"100"
    host.services["id_2"] = bytes.upper
    host.headers[REQUEST_HEADERS] = {":method": "GET", "host": "example.test"}
    assert host.ask(command) == (CONTINUE, answer)
    assert host.ask(b"nonsense") == (PAUSE, b"")


@pytest.mark.parametrize("name", ["call_data", "rust"])
def test_a_module_of_layottos_kind_traps_when_its_root_context_is_created_twice(
    load: Callable[..., StubHost], name: str
) -> None:
    host = load(KIND / f"{name}.wasm")
    with pytest.raises(wasmtime.Trap):
        host.call("proxy_on_context_create", 1, 0)


def test_the_rust_module_frees_what_it_is_given(load: Callable[..., StubHost]) -> None:
    host = load(KIND / "rust.wasm")
    host.state["state_demo", "k" * 30_000] = b"v" * 30_000
    assert host.ask(b"k" * 30_000) == (CONTINUE, b"v" * 30_000)
    before = host.memory_pages()
    for context in range(3, 100):
        host.ask(b"k" * 30_000, context)
    assert host.memory_pages() == before


def phases(host: StubHost, **headers: str) -> int:
    """A request and, where it goes on, its response: what the request's callback returned."""
    host.headers[REQUEST_HEADERS] = headers
    host.headers[RESPONSE_HEADERS] = {}
    action = host.call("proxy_on_request_headers", 2, len(headers), 1)
    if action == CONTINUE:
        host.call("proxy_on_response_headers", 2, 0, 1)
    assert action is not None
    return action


@pytest.mark.parametrize("path", ["/secret", "/secret/a", "/secret?x=1"])
def test_the_assemblyscript_filter_blocks_its_prefix(load: Callable[..., StubHost], path: str) -> None:
    host = load("examples/filter-assemblyscript/filter.wasm", b"/secret")
    assert phases(host, **{":path": path}) == PAUSE
    assert host.local_response == (403, f"{path.partition('?')[0]} is blocked\n".encode())


@pytest.mark.parametrize("path", ["/", "/secrets", "/open/secret"])
def test_the_assemblyscript_filter_marks_what_it_lets_through(load: Callable[..., StubHost], path: str) -> None:
    host = load("examples/filter-assemblyscript/filter.wasm", b"/secret")
    assert phases(host, **{":path": path}) == CONTINUE
    assert host.local_response is None
    assert host.headers[RESPONSE_HEADERS] == {"x-filter": "assemblyscript"}


def test_the_assemblyscript_filter_does_not_grow(load: Callable[..., StubHost]) -> None:
    host = load("examples/filter-assemblyscript/filter.wasm", b"/secret")
    for _ in range(50):
        phases(host, **{":path": "/" + "p" * 10_000})
    before = host.memory_pages()
    for _ in range(200):
        phases(host, **{":path": "/" + "p" * 10_000})
    assert host.memory_pages() == before


def test_the_rust_filter_wants_its_token_and_takes_it_away(load: Callable[..., StubHost]) -> None:
    host = load("examples/filter-rust/filter.wasm", b"t0k")
    for given in ({}, {"authorization": "Bearer t0"}, {"authorization": "Bearer t0ks"}, {"authorization": "t0k"}):
        assert phases(host, **given) == PAUSE
        assert host.local_response == (401, b"a token is needed\n")
    assert phases(host, authorization="Bearer t0k") == CONTINUE
    assert host.headers[REQUEST_HEADERS] == {}
    assert host.headers[RESPONSE_HEADERS] == {"x-filter": "rust"}


def test_the_rust_filter_refuses_to_run_without_a_token(engine: wasmtime.Engine) -> None:
    host = StubHost(engine, ROOT / "examples/filter-rust/filter.wasm")
    assert host.call("proxy_on_configure", 1, 0) == 0
    assert "no token configured" in host.lines[0]
    host.close()


def test_the_benchmark_filter_reads_the_body_and_adds_a_header(load: Callable[..., StubHost]) -> None:
    host = load("examples/bench/header_filter.wasm")
    assert host.ask(b"some body") == (CONTINUE, b"")
    assert phases(host) == CONTINUE
    assert host.headers[RESPONSE_HEADERS] == {"x-filter": "bench"}


def test_the_c_command_prints_a_cgi_response(tmp_path: Path) -> None:
    module = ROOT / "examples/wasi-c/hello.wasm"
    variables = {"REQUEST_METHOD": "POST", "PATH_INFO": "/a", "QUERY_STRING": "x=1", "GREETING": "Ahoy"}
    head, _, body = run_command(module, tmp_path, variables, b"sent\n").partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [b"Content-Type: text/plain", b"X-Example: wasi-c"]
    assert body == b"Ahoy from C: POST /a?x=1\nsent\n"
    missing = run_command(module, tmp_path, {"PATH_INFO": "/missing"}, b"")
    assert missing.startswith(b"Status: 404 ")
