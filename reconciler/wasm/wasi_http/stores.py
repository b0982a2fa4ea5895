"""`wasi:config/store` and `wasi:keyvalue`: a plugin's configuration, and the state stores that it may read."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from reconciler.state.errors import StoreUnavailable
from reconciler.wasm.kind import KeyValueStore
from reconciler.wasm.wasi_http.run import Resource, Run

_DENIED: Final = (False, ("access-denied", None))
"""Stores are for reading: `capabilities.stores`."""


class Bucket(Resource):
    """An open store."""

    number = 12

    __slots__ = ("store",)

    def __init__(self, store: KeyValueStore) -> None:
        self.store = store


def config_of(text: str) -> Mapping[str, str]:
    """A plugin's `config` as texts by key: what is no text is JSON. A `config` that is one text has no keys."""
    value = json.loads(text) if text else {}
    if not isinstance(value, dict):
        return {}
    return {key: item if isinstance(item, str) else json.dumps(item) for key, item in value.items()}


def config_store(config: Mapping[str, str]) -> Mapping[str, Callable[..., Any]]:
    """`wasi:config/store`, and `runtime` as its drafts called it."""
    return {
        "get": lambda _run, key: (True, config.get(key)),
        "get-all": lambda _run: (True, list(config.items())),
    }


def _open(run: Run, name: str) -> tuple[bool, Any]:
    store = run.services.store(name)
    return (False, ("no-such-store", None)) if store is None else (True, run.give(Bucket(store)))


def _get(run: Run, rep: int, key: str) -> tuple[bool, Any]:
    try:
        return True, run.get(rep, Bucket).store.get(key)
    except StoreUnavailable as error:
        return False, ("other", str(error))


def _exists(run: Run, rep: int, key: str) -> tuple[bool, Any]:
    good, value = _get(run, rep, key)
    return good, value is not None if good else value


def _get_many(run: Run, rep: int, keys: Sequence[str]) -> tuple[bool, Any]:
    store = run.get(rep, Bucket).store
    try:
        return True, [(key, store.get(key)) for key in keys]
    except StoreUnavailable as error:
        return False, ("other", str(error))


def _denied(run: Run, rep: int, *_values: Any) -> tuple[bool, Any]:
    run.get(rep, Bucket)
    return _DENIED


STORE: Final[Mapping[str, Callable[..., Any]]] = {
    "open": _open,
    "[method]bucket.get": _get,
    "[method]bucket.set": _denied,
    "[method]bucket.delete": _denied,
    "[method]bucket.exists": _exists,
    "[method]bucket.list-keys": _denied,
}
"""`wasi:keyvalue/store`, by the names in the interface; each takes the run first."""

BATCH: Final[Mapping[str, Callable[..., Any]]] = {
    "get-many": _get_many,
    "set-many": _denied,
    "delete-many": _denied,
}
"""`wasi:keyvalue/batch`."""
