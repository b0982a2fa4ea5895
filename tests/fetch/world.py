"""Real servers that modules are fetched from, and the fetching parts put together as the daemon does."""

import hashlib
import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from reconciler.core.revision import ModuleSource
from reconciler.core.states import Reason
from reconciler.host.fetch.credentials import Credentials
from reconciler.host.fetch.policy import ModuleHosts
from reconciler.host.fetch.registry import Registry
from reconciler.host.fetch.remote import RemoteModules
from reconciler.host.fetch.web import Web
from reconciler.wasm.egress import EgressBounds, PinnedHttpClient, Resolver, SystemResolver
from reconciler.wasm.kind import ModuleRefused

Answer = Callable[[BaseHTTPRequestHandler], None]


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def reply(status: int = 200, body: bytes = b"", **headers: str) -> Answer:
    """A whole answer. Underscores in header names stand for dashes."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


class Site:
    """An HTTP server on loopback. `pages` are answers by path; of a list one after the other, and the last again."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.pages: dict[str, Answer | list[Answer]] = {}
        self.seen: list[tuple[str, str | None]] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.seen.append((self.path, self.headers.get("authorization")))
                answer = site.pages.get(self.path, reply(404))
                if isinstance(answer, list):
                    answer = answer.pop(0) if len(answer) > 1 else answer[0]
                try:
                    answer(self)
                except OSError:
                    pass  # the client went away, which some tests want

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def url(self, path: str, host: str = "127.0.0.1", scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.seen]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Names:
    """A Resolver with answers by host, one for each lookup; the last is repeated. Other names do not exist."""

    def __init__(self, **answers: tuple[str, ...]) -> None:
        self._answers = {name.replace("_", "."): list(found) for name, found in answers.items()}
        self.asked: list[str] = []

    def resolve(self, host: str, port: int, timeout: float) -> tuple[str, ...]:
        self.asked.append(host)
        answers = self._answers[host]
        return (answers.pop(0) if len(answers) > 1 else answers[0],)


@dataclass
class Fetching:
    """The daemon's fetcher, and the parts that tests look at."""

    hosts: tuple[str, ...] = ("127.0.0.1",)
    names: Resolver = field(default_factory=SystemResolver)
    auth: Path | None = None
    seconds: float = 10.0
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    max_bytes: int = 10_000_000

    def __post_init__(self) -> None:
        stopping = threading.Event()
        hosts = ModuleHosts.parse(self.hosts)
        client = PinnedHttpClient(self.names, self.tls, EgressBounds(body=self.max_bytes))
        web = Web(client, hosts, stopping)
        self.registry = Registry(web, hosts, None if self.auth is None else Credentials(self.auth))
        self.remote = RemoteModules(web, self.registry, stopping, self.seconds)

    def url(self, url: str, digest: str = "sha256:" + "0" * 64) -> bytes:
        return self.remote.fetch(ModuleSource(digest, url=url))

    def image(self, image: str, digest: str = "sha256:" + "0" * 64) -> bytes:
        return self.remote.fetch(ModuleSource(digest, image=image))


def refusal(fetch: Callable[[], object]) -> tuple[Reason, str]:
    """Why something is refused."""
    try:
        fetch()
    except ModuleRefused as refused:
        return refused.failure.reason, refused.failure.message
    raise AssertionError("it was not refused")


def docker_config(path: Path, registry: str, user: str, password: str) -> Path:
    path.write_text(json.dumps({"auths": {registry: {"username": user, "password": password}}}))
    return path
