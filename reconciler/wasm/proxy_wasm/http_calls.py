"""HTTP calls that guests dispatch: what a call may name, and what a guest is told of its answer."""

import time
from typing import Final

from reconciler.wasm.egress import EgressError, EgressRequest, HttpClient
from reconciler.wasm.kind import Headers
from reconciler.wasm.proxy_wasm.state import CallResult, GuestState, PendingCall, PluginFacts

_DEFAULT_TIMEOUT: Final = 5.0
"""Seconds, for a guest that gives none."""
_PORTS: Final = {"http": 80, "https": 443}


def build_request(
    facts: PluginFacts, target: str, headers: Headers, body: bytes, trailers: Headers
) -> EgressRequest | None:
    """The request that a guest describes; None where a part is missing or no allowed host is named.

    `target` is Envoy's cluster name. Here it is the host to call (`host`, `host:port`, with a scheme before it or
    not); where that is not an allowed host, it is a name for whatever `:authority` says.
    """
    pseudo = {key: value for key, value in headers if key.startswith(":")}
    method, path, authority = (pseudo.get(key, "") for key in (":method", ":path", ":authority"))
    scheme, mark, place = target.partition("://")
    if not mark:
        scheme, place = pseudo.get(":scheme") or "http", target
    if not method or not path.startswith("/") or not authority or scheme not in _PORTS:
        return None
    for candidate in (place.rstrip("/"), authority):
        host, port = split_authority(candidate, _PORTS[scheme])
        if host and facts.policy.permits(host, port):
            fields = tuple(pair for pair in headers if not pair[0].startswith(":"))
            return EgressRequest(method, scheme, host, port, path, fields, body, tuple(trailers))
    return None


def split_authority(text: str, usual: int) -> tuple[str, int]:
    """Host and port of `host`, `host:port` or `[v6]:port`."""
    host, colon, digits = text.rpartition(":")
    if not colon or not digits.isdecimal() or (":" in host and not host.endswith("]")):
        return text, usual
    return host, int(digits)


def held(state: GuestState) -> int:
    """How many bytes of bodies wait to be sent. With what comes, they may be as many as an answer may have."""
    return sum(len(item.request.body) for item in state.pending or ())


def note(state: GuestState, request: EgressRequest, timeout: float) -> int:
    """Keep a call until the callback that dispatched it returned. Its number."""
    state.calls_made += 1
    if state.pending is None:
        state.pending = []
    state.pending.append(PendingCall(state.calls_made, request, timeout or _DEFAULT_TIMEOUT))
    return state.calls_made


def perform(client: HttpClient, pending: PendingCall, facts: PluginFacts, deadline: float) -> CallResult:
    """Make a call, until the guest's own deadline at most. A failure is a result without headers."""
    until = min(time.monotonic() + pending.timeout, deadline)
    try:
        response = client.send(pending.request, facts.policy, until)
    except EgressError as error:
        facts.services.log(3, f"http call to {pending.request.host}: {error}")
        return CallResult([], b"", 503, str(error))
    headers = [(":status", str(response.status)), *response.headers]
    return CallResult(headers, response.body, response.status, trailers=list(response.trailers))
