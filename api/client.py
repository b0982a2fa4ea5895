"""Asks a daemon's admin port over HTTP, for the command line.

Belongs here: addresses, JSON, what a refusal means. Does not: what is printed.
"""

import http.client
import json
import ssl
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

API: Final = "/apis/wasm-reconciler.dev/v1alpha1"
DEFAULT_SERVER: Final = "http://127.0.0.1:34998"
TIMEOUT: Final = 30.0


class ClientError(Exception):
    """The daemon cannot be asked, or said no. `str()` says why and what to do."""


class Unreachable(ClientError):
    """Nobody answers there."""


class Refused(ClientError):
    """The daemon said no, with a status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Client:
    """One daemon. Makes a connection for each request. Raises ClientError."""

    def __init__(self, server: str, token: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.server = server if "://" in server else f"http://{server}"
        self._token = token
        self.tls = tls

    def get(self, path: str) -> Any:
        """A GET; its JSON."""
        return self.ask("GET", path)

    def ask(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """A request; the JSON of its answer. Raises Refused for anything but success."""
        raw = None if body is None else json.dumps(body).encode()
        with self._open(method, path, raw, content_type, TIMEOUT) as response:
            text = response.read()
        return json.loads(text) if text else None

    def text(self, path: str) -> str:
        """A GET; its text."""
        with self._open("GET", path, None, "", TIMEOUT, accept="text/plain") as response:
            return response.read().decode()

    @contextmanager
    def lines(self, path: str, patience: float | None = None) -> Iterator[Iterator[Any]]:
        """A stream of JSON lines, for as long as the block lasts. `patience`: seconds of silence to bear."""
        with self._open("GET", path, None, "", patience) as response:
            yield (json.loads(line) for line in response if line.strip())

    def plugins_path(self, name: str = "", part: str = "") -> str:
        """The address of the plugins, of one of them, or of a part of it."""
        tail = f"/{urllib.parse.quote(name, safe='')}" if name else ""
        return f"{API}/wasmplugins{tail}{'/' + part if part else ''}"

    def plugins(self) -> Any:
        """The list of all plugins."""
        return self.get(self.plugins_path())

    def plugin(self, name: str) -> Any:
        """One plugin's object. Raises Refused 404."""
        return self.get(self.plugins_path(name))

    def find(self, name: str) -> Any | None:
        """One plugin's object, if it is there."""
        try:
            return self.plugin(name)
        except Refused as refused:
            if refused.status == 404:
                return None
            raise

    @contextmanager
    def _open(
        self,
        method: str,
        path: str,
        body: bytes | None,
        content_type: str,
        timeout: float | None,
        accept: str = "application/json",
    ) -> Iterator[http.client.HTTPResponse]:
        connection = self._connection(timeout)
        headers = {"Accept": accept}
        if content_type:
            headers["Content-Type"] = content_type
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        try:
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
            except TimeoutError as error:
                raise ClientError(f"the daemon at {self.server} takes too long to answer; try again") from error
            except (OSError, http.client.HTTPException) as error:
                raise self._unreachable(error) from error
            if response.status >= 400:
                raise Refused(response.status, _message(response.status, response.read()))
            try:
                yield response
            except (TimeoutError, http.client.HTTPException, ConnectionError) as error:
                raise ClientError(f"the connection to {self.server} ended: {error or type(error).__name__}") from error
        finally:
            connection.close()

    def _connection(self, timeout: float | None) -> http.client.HTTPConnection:
        url = urllib.parse.urlsplit(self.server)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ClientError(f"{self.server} is no address of a daemon; write for example {DEFAULT_SERVER}")
        if url.scheme == "https":
            return http.client.HTTPSConnection(url.hostname, url.port, timeout=timeout, context=self.tls)
        return http.client.HTTPConnection(url.hostname, url.port, timeout=timeout)

    def _unreachable(self, error: Exception) -> Unreachable:
        return Unreachable(
            f"no daemon answers at {self.server} ({getattr(error, 'strerror', None) or error});"
            " start one with `wasm-reconciler serve --specs DIR`, or say where it is with --server"
        )


@dataclass(frozen=True, slots=True)
class Place:
    """A data plane: HOST:PORT, and the context of TLS where it is spoken there."""

    address: str
    tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        """As people write it."""
        return f"{'http' if self.tls is None else 'https'}://{self.address}"


def exchange(place: Place, method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> Answer:
    """One request to a data plane. Raises ClientError."""
    if place.tls is None:
        connection = http.client.HTTPConnection(place.address, timeout=TIMEOUT)
    else:
        connection = http.client.HTTPSConnection(place.address, timeout=TIMEOUT, context=place.tls)
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in headers:
            connection.putheader(name, value)
        if body or method in ("POST", "PUT", "PATCH"):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body or None)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, response.read())
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ClientError(f"{place.url} does not answer: {error}") from error
    finally:
        connection.close()


def _message(status: int, body: bytes) -> str:
    """The sentence of a refusal: a Kubernetes Status, or `{"error": ...}`, or text."""
    try:
        data = json.loads(body)
    except ValueError:
        data = None
    if isinstance(data, dict):
        found = data.get("message") or data.get("error")
        if found:
            return str(found)
    return body.decode(errors="replace").strip() or f"the daemon answered {status}"
