"""Every example, served by the installed command and asked over HTTP as its README says."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples.daemon import Daemon, ask, serve

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NAMES = {"id_1_1", "id_1_2", "id_2", "hello-c", "filter-assemblyscript", "filter-rust", "header-filter", "guarded"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    flags = (
        ("--config", EXAMPLES / "layotto/config.json"),
        ("--specs", EXAMPLES / "specs"),
        ("--stores", EXAMPLES / "stores.yaml"),
        ("--module-root", EXAMPLES),
    )
    with serve(tmp_path_factory.mktemp("state"), *(word for flag in flags for word in flag)) as daemon:
        yield daemon


def test_the_quick_start_answers_right_after_the_start(daemon: Daemon) -> None:
    answer = daemon.call_by_header("id_1", "/?name=book1")
    assert (answer.status, answer.body) == (200, b"There are 100 inventories for book1.")


def test_every_example_becomes_ready_with_its_instances(daemon: Daemon) -> None:
    plugins = daemon.wait_until_ready(NAMES)
    assert plugins.keys() == NAMES
    ready = {name: plugin["status"]["instances"]["ready"] for name, plugin in plugins.items()}
    assert ready == dict.fromkeys(NAMES, 1) | {"id_1_2": 2, "filter-rust": 2, "hello-c": 2}


@pytest.mark.parametrize(
    ("query", "body", "sentence"),
    [
        ("/?name=book1", None, b"There are 100 inventories for book1."),
        ("/any/path?a=b&name=book1", None, b"There are 100 inventories for book1."),
        ("/", b"name=book1", b"There are 100 inventories for book1."),
        ("/?name=book2", None, b"There are no inventories for book2."),
    ],
)
def test_the_quick_start_takes_the_book_from_the_query_or_the_body(
    daemon: Daemon, query: str, body: bytes | None, sentence: bytes
) -> None:
    answer = daemon.call_by_header("id_1", query, method="POST" if body else "GET", body=body)
    assert (answer.status, answer.body) == (200, sentence)


def test_the_quick_starts_second_function_answers_on_its_own(daemon: Daemon) -> None:
    assert daemon.call("id_2", method="POST", body=b"book1").body == b"100"


def test_the_quick_start_without_a_book_is_the_functions_failure(daemon: Daemon) -> None:
    assert daemon.call_by_header("id_1", "/?title=book1").status == 502


def test_the_c_command_answers_like_a_cgi_script(daemon: Daemon) -> None:
    answer = daemon.call("hello-c", "/some/path?x=1", method="POST", body=b"a body\n")
    assert (answer.status, answer.body) == (200, b"Hello from C: POST /some/path?x=1\na body\n")
    assert answer.headers["x-example"] == "wasi-c"
    assert daemon.call("hello-c", "/missing").status == 404


def test_the_assemblyscript_filter_blocks_and_marks(daemon: Daemon) -> None:
    blocked = daemon.call("filter-assemblyscript", "/blocked/page")
    assert (blocked.status, blocked.body) == (403, b"/blocked/page is blocked\n")
    passed = daemon.call("filter-assemblyscript", "/open")
    assert (passed.status, passed.body, passed.headers["x-filter"]) == (200, b"", "assemblyscript")


def test_the_rust_filter_wants_a_token_on_its_route(daemon: Daemon) -> None:
    refused = daemon.call("token")
    assert (refused.status, refused.body) == (401, b"a token is needed\n")
    passed = daemon.call("token", headers={"authorization": "Bearer open-sesame"})
    assert (passed.status, passed.headers["x-filter"]) == (200, "rust")
    assert daemon.call("filter-rust").status == 404


def test_the_benchmark_filter_adds_its_header(daemon: Daemon) -> None:
    answer = daemon.call_by_header("header-filter", method="POST", body=b"some body")
    assert (answer.status, answer.headers["x-filter"]) == (200, "bench")


def test_an_unknown_route_is_not_found(daemon: Daemon) -> None:
    assert daemon.call_by_header("id_3").status == 404
    assert ask(daemon.listen, "/?name=book1").status == 404


def test_the_go_command_answers(tmp_path: Path) -> None:
    if shutil.which("go") is None:
        pytest.skip("go is not installed; examples/build.mk says how to get it")
    root = shutil.copytree(EXAMPLES, tmp_path / "examples")
    module = tmp_path / "examples/wasi-go/words.wasm"
    make = ["make", "-f", "examples/build.mk", f"GUESTS_BUILD={tmp_path}", str(module)]
    subprocess.run(make, cwd=ROOT, check=True, capture_output=True)
    with serve(tmp_path / "state", "--specs", root / "wasi-go", "--module-root", root) as daemon:
        answer = daemon.call("words", "/a", method="POST", body=b"one two\nthree\n")
    assert (answer.status, answer.body) == (200, b"POST /a: 2 lines, 3 words, 14 bytes\n")
