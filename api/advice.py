"""Why is a plugin not ready, and what to do next: one paragraph from what its object says. Pure.

Belongs here: sentences for people about conditions and reasons. Does not: deciding conditions (`reconciler.core`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from api.ports import condition

Object = Mapping[str, Any]

_NEXT: Final = {
    "NotFound": "put the module there, or correct spec.module in {owner}; module paths start at the module root",
    "FetchFailed": "see to it that the daemon can reach the address; it tries again by itself",
    "DigestMismatch": "put the right module there, or correct spec.module.digest in {owner}",
    "SignatureInvalid": "sign the module with the key that the spec names, or name the right key in {owner}",
    "TooLarge": "build a smaller module, or raise the limit that the message names",
    "BlockedAddress": "use a public address, or let the daemon fetch from there: serve --module-hosts HOST",
    "PolicyDenied": "do what the message says, in {owner}",
    "CompileFailed": "build the module again: it is not valid WebAssembly",
    "MissingImport": "build the module for an interface that the host offers: proxy-wasm, WASI",
    "MissingExport": "export what the message names, or set spec.abi in {owner}",
    "UnsupportedABI": "set spec.abi in {owner} to what the module is made for",
    "EnvUnreadable": "put the file there that the variable is read from, readable by the daemon",
    "StartFailed": "read what the guest said: wasm-reconciler logs {name}",
    "CrashLoopBackOff": "read what the guest said: wasm-reconciler logs {name};"
    " go back to what worked: wasm-reconciler rollback {name}",
    "Trapped": "read what the guest said: wasm-reconciler logs {name}",
    "DeadlineExceeded": "make the guest faster, or raise spec.limits.timeout or startTimeout in {owner}",
    "OutOfMemory": "raise spec.limits.memory in {owner}",
    "FuelExhausted": "raise spec.limits.fuel in {owner}, or leave it out",
    "CapacityExhausted": "ask for fewer instances: wasm-reconciler scale {name} N",
    "AutoReverted": "put the change right in {owner}, or take it back: wasm-reconciler rollback {name}",
    "FilterMissing": "install the filter, or take it out of spec.filters in {owner}",
    "FilterNotReady": "look at the filter: wasm-reconciler explain FILTER",
    "FilterUnsuitable": "name a proxy-wasm filter in spec.filters in {owner}",
    "Suspended": "set spec.suspend to false in {owner}",
    "NameConflict": "give one of the documents another name",
}
_BACK: Final = "wasm-reconciler rollback {name}"
_WAIT: Final = "wait: wasm-reconciler get {name} shows how far it is"


@dataclass(frozen=True, slots=True)
class Advice:
    """A paragraph, and the next thing to do (empty where nothing is)."""

    ready: bool
    paragraph: str
    next: str = ""


def explain(plugin: Object) -> Advice:
    """How a plugin stands. `plugin` is its object, spec and status."""
    name, status = plugin["metadata"]["name"], plugin.get("status") or {}
    ready = condition(status, "Ready")
    if ready is None:
        return Advice(False, f"{name} was accepted, and no pass has looked at it yet.", _WAIT.format(name=name))
    parts = [_headline(name, status, ready)]
    if ready["status"] != "True":
        parts.append(_cause(status, ready))
        parts.append(_traffic(name, status))
    parts += _notices(status)
    paragraph = " ".join(part for part in parts if part)
    return Advice(ready["status"] == "True", paragraph, _next_step(name, status, ready))


def owner_of(status: Object) -> str:
    """The file and line that say what is wanted."""
    owner = status.get("owner") or {}
    if not owner.get("file"):
        return "its file"
    kind, _, place = owner.get("source", "").partition(":")
    file = f"{place.rstrip('/')}/{owner['file']}" if kind == "dir" else owner["file"]
    return f"{file}:{owner['line']}"


def _headline(name: str, status: Object, ready: Object) -> str:
    instances = status.get("instances") or {}
    if ready["status"] == "True":
        revision = (status.get("revision") or {}).get("serving", "")
        count = f"{instances.get('ready', 0)} of {instances.get('desired', 0)} instances"
        return f"{name} is ready: {count}, revision {revision}."
    since = f" since {ready['lastTransitionTime']}" if ready.get("lastTransitionTime") else ""
    return f"{name} is not ready{since}: {ready['reason']}."


def _cause(status: Object, ready: Object) -> str:
    return f"{_sentence(ready['message'])}" if ready["message"] else ""


def _traffic(name: str, status: Object) -> str:
    """What requests meet meanwhile."""
    available, revision = condition(status, "Available"), status.get("revision") or {}
    if available is None or available["status"] != "True":
        return "Requests on its route are answered 503 meanwhile, unless another plugin has the same route."
    serving, desired = revision.get("serving", ""), revision.get("desired", "")
    if serving and desired and serving != desired:
        return f"Requests are answered by revision {serving} meanwhile; revision {desired} is what is wanted."
    return "Requests are answered meanwhile."


def _notices(status: Object) -> list[str]:
    found = []
    accepted = condition(status, "Accepted")
    if accepted is not None and accepted["reason"] not in ("Valid",):
        found.append(_sentence(accepted["message"]))
    restarts = (status.get("instances") or {}).get("restarts", 0)
    if restarts:
        found.append(f"Instances failed and were replaced {restarts} times.")
    return found


def _next_step(name: str, status: Object, ready: Object) -> str:
    if ready["status"] == "True":
        return ""
    stalled, progressing = condition(status, "Stalled"), condition(status, "Progressing")
    reverted = condition(status, "RolledBack")
    reason = (stalled or reverted or ready)["reason"]
    text = _NEXT.get(reason)
    if text is None and progressing is not None and progressing["status"] == "False":
        text = _NEXT.get(progressing["reason"], "look at its events: wasm-reconciler describe {name}")
    found = (text or _WAIT).format(name=name, owner=owner_of(status))
    return (
        found if "rollback" in found or not _older_serves(status) else f"{found}; or go back: {_BACK.format(name=name)}"
    )


def _older_serves(status: Object) -> bool:
    """Whether something that worked is there to go back to."""
    revision = status.get("revision") or {}
    return bool(revision.get("serving")) and revision.get("serving") != revision.get("desired")


def _sentence(text: str) -> str:
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
