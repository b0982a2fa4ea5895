"""`wasi:http/types` fields: headers and trailers."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from reconciler.wasm.ffi.components import GuestRefused
from reconciler.wasm.ffi.values import Own
from reconciler.wasm.kind import Headers
from reconciler.wasm.wasi_http.run import Resource, Run

FORBIDDEN: Final = frozenset(
    ("connection", "host", "http2-settings", "keep-alive", "proxy-authenticate", "proxy-authorization",
     "proxy-connection", "transfer-encoding", "upgrade")
)  # fmt: skip
"""Names that guests may not set and are not shown: those of a connection, as `wasmtime serve` has them."""

_MAX_BYTES: Final = 128 * 1024
"""Names and values of one Fields, about what `wasmtime serve` allows."""

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")

_OK: Final = (True, None)
_INVALID: Final = (False, ("invalid-syntax", None))
_FORBIDDEN: Final = (False, ("forbidden", None))
_IMMUTABLE: Final = (False, ("immutable", None))

Entry = tuple[str, bytes]


class Fields(Resource):
    """Names (lower case) and values in order. Immutable ones are those of received and of handed-over messages."""

    number = 1

    __slots__ = ("_size", "entries", "mutable")

    def __init__(self, entries: Iterable[Entry] = (), *, mutable: bool = True) -> None:
        self.entries = list(entries)
        self.mutable = mutable
        self._size = sum(len(name) + len(value) for name, value in self.entries)

    @classmethod
    def received(cls, headers: Iterable[tuple[str, str]]) -> "Fields":
        """The headers of a message that came in, without those of the connection."""
        entries = ((name.lower(), value.encode("latin-1", "replace")) for name, value in headers)
        return cls((entry for entry in entries if entry[0] not in FORBIDDEN), mutable=False)

    def headers(self) -> Headers:
        """As the rest of the host has them."""
        return [(name, value.decode("latin-1")) for name, value in self.entries]

    def values(self, name: str) -> list[bytes]:
        """The values of a name, however it is written."""
        lowered = name.lower()
        return [value for found, value in self.entries if found == lowered]

    def append(self, name: str, values: Sequence[bytes]) -> None:
        """Add values of one name. Raises GuestRefused beyond the bound."""
        self._size += sum(len(name) + len(value) for value in values)
        if self._size > _MAX_BYTES:
            raise GuestRefused(f"headers or trailers of more than {_MAX_BYTES} bytes")
        self.entries += [(name, value) for value in values]

    def remove(self, name: str) -> None:
        """Remove all values of a name."""
        self.entries = [entry for entry in self.entries if entry[0] != name]
        self._size = sum(len(found) + len(value) for found, value in self.entries)


def _flaw(name: str, values: Sequence[bytes]) -> tuple[bool, Any] | None:
    """What a guest is told of a name and values that no message may have; None where it may."""
    if not _NAME.fullmatch(name) or not all(map(_VALUE.fullmatch, values)):
        return _INVALID
    return _FORBIDDEN if name.lower() in FORBIDDEN else None


def _new(run: Run) -> Own:
    return run.give(Fields())


def _from_list(run: Run, entries: Sequence[Entry]) -> tuple[bool, Any]:
    fields = Fields()
    for name, value in entries:
        flaw = _flaw(name, (value,))
        if flaw is not None:
            return flaw
        fields.append(name.lower(), (value,))
    return True, run.give(fields)


def _get(run: Run, rep: int, name: str) -> list[bytes]:
    return run.get(rep, Fields).values(name)


def _has(run: Run, rep: int, name: str) -> bool:
    return bool(run.get(rep, Fields).values(name))


def _set(run: Run, rep: int, name: str, values: Sequence[bytes]) -> tuple[bool, Any]:
    fields = run.get(rep, Fields)
    if not fields.mutable:
        return _IMMUTABLE
    flaw = _flaw(name, values)
    if flaw is None:
        fields.remove(name.lower())
        fields.append(name.lower(), values)
    return flaw or _OK


def _append(run: Run, rep: int, name: str, value: bytes) -> tuple[bool, Any]:
    fields = run.get(rep, Fields)
    if not fields.mutable:
        return _IMMUTABLE
    flaw = _flaw(name, (value,))
    if flaw is None:
        fields.append(name.lower(), (value,))
    return flaw or _OK


def _delete(run: Run, rep: int, name: str) -> tuple[bool, Any]:
    fields = run.get(rep, Fields)
    if not fields.mutable:
        return _IMMUTABLE
    flaw = _flaw(name, ())
    if flaw is None:
        fields.remove(name.lower())
    return flaw or _OK


def _entries(run: Run, rep: int) -> list[Entry]:
    return run.get(rep, Fields).entries


def _clone(run: Run, rep: int) -> Own:
    return run.give(Fields(run.get(rep, Fields).entries))


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "[constructor]fields": _new,
    "[static]fields.from-list": _from_list,
    "[method]fields.get": _get,
    "[method]fields.has": _has,
    "[method]fields.set": _set,
    "[method]fields.append": _append,
    "[method]fields.delete": _delete,
    "[method]fields.entries": _entries,
    "[method]fields.clone": _clone,
}
"""By their names in the interface; each takes the run first."""
