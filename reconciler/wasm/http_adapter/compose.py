"""Puts an HTTP component and the adapter together into one component: from binary to binary, nothing is run.

The result exports an instance by the name of the component's handler, with one function, `run` (outer.wat).
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import wasmtime

from reconciler.wasm.components import read_number
from reconciler.wasm.http_adapter.passed import PASSED, import_of, instance_of

RUN: Final = "run"
"""What the result exports in place of the handler's function: it answers one request."""
HANDLER: Final = "wasi:http/incoming-handler@0.2."

_HERE: Final = Path(__file__).parent
_VERSION: Final = "@0.2.6"
_OFFERED: Final = frozenset(
    (
        "wasi:cli/stderr",
        "wasi:cli/stdin",
        "wasi:cli/stdout",
        "wasi:http/types",
        "wasi:io/error",
        "wasi:io/poll",
        "wasi:io/streams",
    )
)
_EMPTY: Final = b"\x04\x08\0asm\x0d\0\x01\0"
"""A section with a component that has nothing in it."""
_COMPONENT_SECTION: Final = 4
_IMPORT_SECTION: Final = 10
_EXPORT_SECTION: Final = 11
_INSTANCE: Final = 5


class Composer:
    """The adapter, read from the package. `digest` names it, for what is kept of its results."""

    def __init__(self) -> None:
        self._adapter = (_HERE / "adapter.wasm").read_bytes()
        self._outer = (_HERE / "outer.wat").read_text(encoding="utf-8")
        texts = f"{self._outer}{sorted(PASSED.items())}"
        self.digest = hashlib.sha256(self._adapter + texts.encode()).hexdigest()[:8]

    def compose(self, binary: bytes) -> bytes | None:
        """A component with the adapter around it; None where the adapter does not offer what it imports.

        Raises WasmtimeError where a name in it is none.

        The engine may still refuse the result: it looks at the functions of an interface, this only at names.
        """
        try:
            found = _interface(binary)
        except IndexError:  # it is cut off, which the engine tells better
            return None
        if found is None:
            return None
        imports, handler = found
        passed = dict.fromkeys(name.partition("@")[0] for name in imports)
        text = (
            self._outer.replace("PASSED_IMPORTS", "\n  ".join(import_of(name) for name in passed if name in PASSED))
            .replace("GUEST_IMPORTS", " ".join(map(_given, imports)))
            .replace("GUEST_HANDLER", handler)
        )
        before, between, after = bytes(wasmtime.wat2wasm(text)).split(_EMPTY)
        return b"".join((before, _section(self._adapter), between, _section(binary), after))


def _given(name: str) -> str:
    """What a component gets for one of its imports."""
    interface = name.partition("@")[0]
    if interface in PASSED:
        return f'(with "{name}" (instance {instance_of(interface)}))'
    return f'(with "{name}" (instance $adapted "{interface}{_VERSION}"))'


def _interface(binary: bytes) -> tuple[Sequence[str], str] | None:
    """What a component imports, if the adapter may offer all of it, and the name of its handler."""
    imports: list[str] = []
    handler = ""
    for section, start in _sections(binary):
        if section == _IMPORT_SECTION:
            count, at = read_number(binary, start)
            while count:
                count -= 1
                name, kind, at = _import(binary, at)
                interface, _, version = name.partition("@")
                known = interface in _OFFERED or interface in PASSED
                if kind != _INSTANCE or not known or not version.startswith("0.2."):
                    return None
                imports.append(name)
        elif section == _EXPORT_SECTION:
            handler = _handler(binary, start) or handler
    return (imports, handler) if handler else None


def _sections(binary: bytes) -> Iterator[tuple[int, int]]:
    """The sections of a component: each one's number, and where it begins."""
    at = 8
    while at < len(binary):
        section = binary[at]
        size, at = read_number(binary, at + 1)
        yield section, at
        at += size


def _name(binary: bytes, at: int) -> tuple[str, int]:
    size, at = read_number(binary, at + 1)  # past the byte that says which kind of name it is
    return binary[at : at + size].decode("utf-8", "replace"), at + size


def _import(binary: bytes, at: int) -> tuple[str, int, int]:
    """The import at a place: its name, its kind, and the place after it, which is known of instances alone."""
    name, at = _name(binary, at)
    kind = binary[at]
    if kind != _INSTANCE:
        return name, kind, at
    return name, kind, read_number(binary, at + 1)[1]


def _handler(binary: bytes, at: int) -> str:
    """The name of the handler, if it is the first export of a section."""
    count, at = read_number(binary, at)
    name = _name(binary, at)[0] if count else ""
    return name if name.startswith(HANDLER) else ""


def _section(component: bytes) -> bytes:
    return bytes([_COMPONENT_SECTION]) + _number(len(component)) + component


def _number(value: int) -> bytes:
    """A number as LEB128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
