"""The few requests of the Kubernetes API that following takes: list, watch, apply to the status.

Over the standard library's HTTP: one connection for the watch, one for each other request. Belongs here: addresses,
credentials, what an answer means. Does not: when to ask (follow.py, report.py).
"""

import http.client
import json
import socket
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from specs.model import API_GROUP

ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod has its token and its cluster's authorities."""

IN_CLUSTER: Final = "in-cluster"
_PAGE: Final = 500
_SECONDS: Final = 30.0
_APPLY: Final = "application/apply-patch+yaml"
_MAX_BODY: Final = 256 * 2**20


class ClusterError(Exception):
    """The API cannot be asked, or said no. `str()` says why."""


class Expired(ClusterError):
    """That version is too old to go on from: list anew."""


class Refused(ClusterError):
    """The API said no, with a status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"it answered {status}: {message}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Server:
    """Where the API is, and how to show who asks. Files are read for every request, as tokens are renewed."""

    url: str
    namespace: str
    token: Path | None = None
    authorities: Path | None = None

    @property
    def place(self) -> str:
        """HOST:PORT, as sources are named after it."""
        return urllib.parse.urlsplit(self.url).netloc


@dataclass(frozen=True, slots=True)
class Pod:
    """What a pod knows of its cluster: its environment, and the directory of its service account."""

    environment: Mapping[str, str]
    account: Path = ACCOUNT


def find_server(where: str, namespace: str, token: Path | None, authorities: Path | None, pod: Pod) -> Server:
    """The server that `--kube` means: an address, or the pod's own cluster. ValueError where there is none."""
    if where != IN_CLUSTER:
        if urllib.parse.urlsplit(where).scheme not in ("http", "https") or not urllib.parse.urlsplit(where).hostname:
            raise ValueError(f"{where} is no address of a Kubernetes API; write http://HOST:PORT or {IN_CLUSTER}")
        return Server(where.rstrip("/"), namespace, token, authorities)
    host, port = pod.environment.get("KUBERNETES_SERVICE_HOST"), pod.environment.get("KUBERNETES_SERVICE_PORT")
    if not host or not port:
        raise ValueError(f"{IN_CLUSTER} means the cluster of the pod that this runs in, and this is no pod")
    url = f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"
    return Server(url, namespace, token or pod.account / "token", authorities or pod.account / "ca.crt")


@dataclass(frozen=True, slots=True)
class Listed:
    """All objects at one version."""

    items: tuple[Mapping[str, Any], ...]
    version: str


class ClusterClient:
    """Asks one server. For any thread; `abort` ends the watch that is open, from another thread."""

    def __init__(self, server: Server, selector: str = "") -> None:
        self.server = server
        self._selector = selector
        self._path = f"/apis/{API_GROUP}/v1alpha1/namespaces/{server.namespace}/wasmplugins"
        self._lock = threading.Lock()
        self._streams: set[socket.socket] = set()
        self._ended = False

    def list(self) -> Listed:
        """All objects, page by page. Raises ClusterError."""
        items: list[Mapping[str, Any]] = []
        more = ""
        while True:
            page = self._json("GET", self._url(limit=str(_PAGE), **({"continue": more} if more else {})))
            items += page["items"]
            more = page["metadata"].get("continue", "")
            if not more:
                return Listed(tuple(items), str(page["metadata"]["resourceVersion"]))

    def watch(self, version: str, seconds: float, opened: Callable[[], None]) -> Iterator[Mapping[str, Any]]:
        """The events after a version, for that long at most; `opened` is called before the first.

        Raises ClusterError, Expired.
        """
        url = self._url(
            watch="true", allowWatchBookmarks="true", resourceVersion=version, timeoutSeconds=str(round(seconds))
        )
        connection = self._connect(seconds + _SECONDS)
        stream = self._hold(connection)
        try:
            answer = self._send(connection, "GET", url)
            opened()
            for line in answer:
                if line.strip():
                    yield _event(line)
        except (OSError, ValueError, http.client.HTTPException) as ex:
            raise ClusterError(f"the watch ended: {ex or type(ex).__name__}") from ex
        finally:
            with self._lock:
                self._streams.discard(stream)
            connection.close()

    def apply_status(self, name: str, manager: str, status: Mapping[str, Any]) -> None:
        """Server-side apply to an object's status, of the fields that are the manager's. Raises ClusterError."""
        body = {
            "apiVersion": f"{API_GROUP}/v1alpha1",
            "kind": "WasmPlugin",
            "metadata": {"name": name, "namespace": self.server.namespace},
            "status": status,
        }
        query = urllib.parse.urlencode({"fieldManager": manager, "force": "true"})
        url = f"{self._path}/{urllib.parse.quote(name, safe='')}/status?{query}"
        self._json("PATCH", url, json.dumps(body).encode(), _APPLY)

    def abort(self) -> None:
        """End the watches that are open, and begin no more."""
        with self._lock:
            self._ended = True
            for stream in self._streams:
                try:
                    stream.shutdown(socket.SHUT_RDWR)
                except OSError:  # it has ended by itself
                    continue

    def _url(self, **query: str) -> str:
        selected = {"labelSelector": self._selector} if self._selector else {}
        return f"{self._path}?{urllib.parse.urlencode(query | selected)}"

    def _json(self, method: str, url: str, body: bytes | None = None, kind: str = "") -> Any:
        connection = self._connect(_SECONDS)
        try:
            return json.loads(self._send(connection, method, url, body, kind).read(_MAX_BODY))
        except (OSError, ValueError, http.client.HTTPException) as ex:
            raise ClusterError(f"it cannot be asked: {ex or type(ex).__name__}") from ex
        finally:
            connection.close()

    def _connect(self, seconds: float) -> http.client.HTTPConnection:
        url = urllib.parse.urlsplit(self.server.url)
        host = url.hostname or ""
        try:
            if url.scheme == "https":
                authorities = self.server.authorities
                context = ssl.create_default_context(cafile=None if authorities is None else str(authorities))
                connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                    host, url.port, timeout=seconds, context=context
                )
            else:
                connection = http.client.HTTPConnection(host, url.port, timeout=seconds)
            connection.connect()
        except OSError as ex:
            raise ClusterError(f"it cannot be reached: {ex}") from ex
        return connection

    def _hold(self, connection: http.client.HTTPConnection) -> socket.socket:
        """Remember a connection so that it can be ended."""
        stream: socket.socket = connection.sock
        with self._lock:
            if self._ended:
                connection.close()
                raise ClusterError("it is no longer followed")
            self._streams.add(stream)
        return stream

    def _send(
        self, connection: http.client.HTTPConnection, method: str, url: str, body: bytes | None = None, kind: str = ""
    ) -> http.client.HTTPResponse:
        headers = {"Accept": "application/json", "User-Agent": "wasm-reconciler"}
        if kind:
            headers["Content-Type"] = kind
        if self.server.token is not None:
            headers["Authorization"] = f"Bearer {self.server.token.read_text().strip()}"
        connection.request(method, url, body, headers)
        answer = connection.getresponse()
        if answer.status == 410:
            raise Expired("that version is too old")
        if answer.status >= 300:
            raise Refused(answer.status, _message(answer.read(65536)))
        return answer


def _event(line: bytes) -> Mapping[str, Any]:
    event: Mapping[str, Any] = json.loads(line)
    if event["type"] == "ERROR":
        code = event["object"].get("code", 0)
        if code == 410:
            raise Expired("that version is too old")
        raise Refused(code, str(event["object"].get("message", "")))
    return event


def _message(body: bytes) -> str:
    """What a Status says, or the text as it is."""
    try:
        return str(json.loads(body)["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()[:200]
