"""`wasi:config/store` and `wasi:keyvalue`: a plugin's configuration, and the state stores that it may use."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from reconciler.state.errors import StoreUnavailable
from reconciler.wasm.kind import KeyValueStore
from reconciler.wasm.wasi_http.run import Resource, Run

MAX_KEY: Final = 4096
MAX_VALUE: Final = 2**20
"""Bytes of a key and of a value that a guest writes."""
_PAGE: Final = 256
"""Keys that are listed at once."""
_TRIES: Final = 100
"""How often a number is read anew that others change meanwhile."""
_OK: Final = (True, None)
_S64: Final = range(-(2**63), 2**63)


class Bucket(Resource):
    """An open store."""

    number = 12

    __slots__ = ("store",)

    def __init__(self, store: KeyValueStore) -> None:
        self.store = store


class Swap(Resource):
    """What an interface calls `cas`: a value as it was seen, to be replaced if it is still there."""

    number = 13

    __slots__ = ("key", "seen", "store")

    def __init__(self, store: KeyValueStore, key: str) -> None:
        """Raises StoreUnavailable."""
        self.store = store
        self.key = key
        self.seen = store.get(key)


class Cursor(str):
    """Where the next keys start. The drafts of the interface have it as a text and as a number."""

    __slots__ = ()

    def __index__(self) -> int:
        return int(str(self))


class _Unfit(Exception):
    """A key or value that no store takes; says why."""


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


def _told(function: Callable[..., tuple[bool, Any]]) -> Callable[..., tuple[bool, Any]]:
    """A function that tells the guest what went wrong with a store."""

    def call(*args: Any) -> tuple[bool, Any]:
        try:
            return function(*args)
        except (StoreUnavailable, _Unfit) as error:
            return False, ("other", str(error))

    return call


def _get(run: Run, rep: int, key: str) -> tuple[bool, Any]:
    return True, run.get(rep, Bucket).store.get(key)


def _set(run: Run, rep: int, key: str, value: bytes) -> tuple[bool, Any]:
    run.get(rep, Bucket).store.set(*_fit(key, value))
    return _OK


def _delete(run: Run, rep: int, key: str) -> tuple[bool, Any]:
    run.get(rep, Bucket).store.delete(key)
    return _OK


def _exists(run: Run, rep: int, key: str) -> tuple[bool, Any]:
    return True, run.get(rep, Bucket).store.get(key) is not None


def _list_keys(run: Run, rep: int, cursor: str | int | None) -> tuple[bool, Any]:
    store = run.get(rep, Bucket).store
    text = str(cursor or 0)
    if not text.isdecimal() or len(text) > 20:
        raise _Unfit(f"{text[:40]!r} is not a cursor of this store")
    keys, after = store.keys(int(text), _PAGE)
    return True, (keys, Cursor(after) if after else None)


def _get_many(run: Run, rep: int, keys: Sequence[str]) -> tuple[bool, Any]:
    store = run.get(rep, Bucket).store
    return True, [(key, store.get(key)) for key in keys]


def _set_many(run: Run, rep: int, pairs: Sequence[tuple[str, bytes]]) -> tuple[bool, Any]:
    store = run.get(rep, Bucket).store
    for key, value in [_fit(key, value) for key, value in pairs]:
        store.set(key, value)
    return _OK


def _delete_many(run: Run, rep: int, keys: Sequence[str]) -> tuple[bool, Any]:
    store = run.get(rep, Bucket).store
    for key in keys:
        store.delete(key)
    return _OK


def _increment(run: Run, rep: int, key: str, delta: int) -> tuple[bool, Any]:
    """A number is kept as decimal text, as Redis does."""
    store = run.get(rep, Bucket).store
    for _ in range(_TRIES):
        old = store.get(key)
        number = _number(key, old) + delta
        if number not in _S64:
            raise _Unfit(f"the number of {key!r} would leave 64 bits")
        if store.swap(*_fit(key, old), str(number).encode()):
            return True, number
    raise _Unfit(f"the number of {key!r} is changed too often")


def _new_swap(run: Run, rep: int, key: str) -> tuple[bool, Any]:
    return True, run.give(Swap(run.get(rep, Bucket).store, key))


def _current(run: Run, rep: int) -> tuple[bool, Any]:
    return True, run.get(rep, Swap).seen


def _swap(run: Run, rep: int, value: bytes) -> tuple[bool, Any]:
    swap = run.take(rep, Swap)
    try:
        _fit(swap.key, value)
        if swap.store.swap(swap.key, swap.seen, value):
            return _OK
        return False, ("cas-failed", run.give(Swap(swap.store, swap.key)))
    except (StoreUnavailable, _Unfit) as error:
        return False, ("store-error", ("other", str(error)))


def _fit(key: str, value: Any) -> tuple[str, Any]:
    if len(key) > MAX_KEY or len(value or b"") > MAX_VALUE:
        raise _Unfit(f"a key has {MAX_KEY} characters at most, a value {MAX_VALUE} bytes")
    return key, value


def _number(key: str, value: bytes | None) -> int:
    if value is None:
        return 0
    text = value.decode("ascii", "replace") if len(value) <= 20 else ""
    if not text.removeprefix("-").isdecimal():
        raise _Unfit(f"the value of {key!r} is not a whole number of 64 bits")
    return int(text)


STORE: Final[Mapping[str, Callable[..., Any]]] = {
    "open": _open,
    "[method]bucket.get": _told(_get),
    "[method]bucket.set": _told(_set),
    "[method]bucket.delete": _told(_delete),
    "[method]bucket.exists": _told(_exists),
    "[method]bucket.list-keys": _told(_list_keys),
}
"""`wasi:keyvalue/store`, by the names in the interface; each takes the run first."""

ATOMICS: Final[Mapping[str, Callable[..., Any]]] = {
    "increment": _told(_increment),
    "[static]cas.new": _told(_new_swap),
    "[method]cas.current": _told(_current),
    "swap": _swap,
}
"""`wasi:keyvalue/atomics`."""

BATCH: Final[Mapping[str, Callable[..., Any]]] = {
    "get-many": _told(_get_many),
    "set-many": _told(_set_many),
    "delete-many": _told(_delete_many),
}
"""`wasi:keyvalue/batch`."""
