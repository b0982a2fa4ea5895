"""GET over HTTP: redirects that are checked hop by hop, retries that stay inside a deadline, refusals with a reason.

Does not belong here: what is asked for (registry.py, remote.py), connections (reconciler.wasm.egress).
"""

import threading
import time
from typing import Final
from urllib.parse import urljoin, urlsplit

from reconciler.core.backoff import start_delay
from reconciler.core.observed import Failure
from reconciler.core.states import Reason
from reconciler.host.fetch.policy import ModuleHosts
from reconciler.wasm.egress import (
    EgressDenied,
    EgressFailed,
    EgressRequest,
    EgressResponse,
    EgressTooLarge,
    HeaderList,
    HttpClient,
)
from reconciler.wasm.kind import ModuleRefused

MAX_REDIRECTS: Final = 5
ATTEMPTS: Final = 4
"""Tries of one GET; only what may pass by itself is tried again: a connection that failed, 429, a 5xx."""

_MOVED: Final = frozenset((301, 302, 303, 307, 308))
_USUAL_PORTS: Final = {"http": 80, "https": 443}


def refused(reason: Reason, message: str) -> ModuleRefused:
    """The refusal of a module."""
    return ModuleRefused(Failure(reason, message))


class Web:
    """Makes GET requests. Safe to use from several threads. `stopping` ends the waits between tries."""

    def __init__(self, client: HttpClient, hosts: ModuleHosts, stopping: threading.Event) -> None:
        self._client = client
        self._hosts = hosts
        self._stopping = stopping

    def get(
        self, url: str, deadline: float, *, headers: HeaderList = (), max_body: int | None = None
    ) -> EgressResponse:
        """The last answer, redirects followed, whatever its status; a 5xx or 429 only where it stayed so.

        `deadline` is in monotonic seconds, for everything together. Raises ModuleRefused.
        """
        attempt = 1
        while True:
            failure: EgressFailed | None = None
            answer: EgressResponse | None = None
            try:
                answer = self._follow(url, headers, max_body, deadline)
            except EgressDenied as error:
                raise refused(Reason.BLOCKED_ADDRESS, str(error)) from None
            except EgressTooLarge as error:
                raise refused(Reason.TOO_LARGE, f"{_place(url)}: {error}") from None
            except EgressFailed as error:
                failure = error
            if answer is not None and answer.status < 500 and answer.status != 429:
                return answer
            pause = start_delay(attempt, url)
            if attempt == ATTEMPTS or time.monotonic() + pause >= deadline or self._stopping.wait(pause):
                if answer is not None:
                    return answer
                raise refused(Reason.FETCH_FAILED, str(failure))
            attempt += 1

    def _follow(self, url: str, headers: HeaderList, max_body: int | None, deadline: float) -> EgressResponse:
        for _ in range(MAX_REDIRECTS + 1):
            request = _request(url, headers, max_body)
            reach = self._hosts.reach(request.host, request.port)
            answer = self._client.send(request, reach, deadline)
            location = next((value for name, value in answer.headers if name == "location"), None)
            if answer.status not in _MOVED or location is None:
                return answer
            try:
                target = urljoin(url, location)
            except ValueError as error:
                raise EgressDenied(f"{_place(url)} redirects to what is no url: {error}") from None
            before, after = _origin(url), _origin(target)
            if before[0] == "https" and after[0] != "https":
                raise EgressDenied(f"{_place(url)} redirects from https to {after[0]}, which anybody may tamper with")
            if after != before:  # what one host was told is not for another
                headers = tuple(header for header in headers if header[0].lower() != "authorization")
            url = target
        raise EgressDenied(f"{_place(url)}: more than {MAX_REDIRECTS} redirects")


def explain(url: str, answer: EgressResponse) -> ModuleRefused:
    """What an answer that is not 200 means for a module."""
    place = _place(url)
    if answer.status in (404, 410):
        return refused(Reason.NOT_FOUND, f"{place} answered {answer.status}: there is no {urlsplit(url).path}")
    if answer.status in (401, 403):
        return refused(Reason.FETCH_FAILED, f"{place} answered {answer.status}: it wants other credentials")
    return refused(Reason.FETCH_FAILED, f"{place} answered {answer.status} to GET {urlsplit(url).path}")


def _request(url: str, headers: HeaderList, max_body: int | None) -> EgressRequest:
    """Raises EgressDenied for a url that cannot be asked."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise EgressDenied(f"{url!r} is no url: {error}") from None
    if parts.scheme not in _USUAL_PORTS or not parts.hostname:
        raise EgressDenied(f"{_place(url)}: only http and https urls with a host are fetched")
    if parts.username is not None or parts.password is not None:
        raise EgressDenied(f"{parts.hostname}: a url holds no user name and password here")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    usual = _USUAL_PORTS[parts.scheme]
    return EgressRequest("GET", parts.scheme, parts.hostname, port or usual, path, headers, max_body=max_body)


def _origin(url: str) -> tuple[str, str, int | None]:
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname or "", parts.port or _USUAL_PORTS.get(parts.scheme)
    except ValueError:
        return "", "", None


def _place(url: str) -> str:
    """Scheme and authority: what follows may hold a secret that a server put into a redirect."""
    return "/".join(url.split("/", 3)[:3]).rpartition("@")[2]
