"""How maps cross the boundary: a count, the lengths of keys and values, then `key NUL value NUL ...`, little-endian.

Text is Latin-1, as HTTP/1 headers are on the wire, so every byte string of a guest has a spelling.
"""

import struct
from typing import Final

from reconciler.wasm.kind import Headers

MAX_PAIRS: Final = 1024
MAX_BYTES: Final = 1 << 18
"""Bounds of a map that a guest makes: twice what the data plane sends or takes as headers, at least."""


def encode_pairs(pairs: Headers) -> bytes:
    """A map in its serialised form."""
    encoded = [(key.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for key, value in pairs]
    return encode_bytes(encoded)


def encode_bytes(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """A map of byte strings in its serialised form."""
    sizes = [size for key, value in pairs for size in (len(key), len(value))]
    parts = [struct.pack(f"<{1 + len(sizes)}I", len(pairs), *sizes)]
    for key, value in pairs:
        parts += (key, b"\0", value, b"\0")
    return b"".join(parts)


def encoded_size(pairs: Headers) -> int:
    """How many bytes encode_pairs gives."""
    return 4 + sum(10 + len(key) + len(value) for key, value in pairs)


def decode_pairs(data: bytes) -> Headers:
    """The map that a guest sent, keys in lower case. Raises ValueError where it is not one, or is too large.

    An empty map is nothing, or zeros. The byte after each key and value is skipped, whatever it is: Layotto's own
    encoder writes `0`.
    """
    if len(data) > MAX_BYTES:
        raise ValueError("the map is too large")
    if not data.strip(b"\0"):
        return []
    try:
        (count,) = struct.unpack_from("<I", data)
        if count > MAX_PAIRS:
            raise ValueError("the map has too many pairs")
        sizes = struct.unpack_from(f"<{2 * count}I", data, 4)
    except struct.error:
        raise ValueError("the map is cut short") from None
    texts = []
    at = 4 + 8 * count
    for size in sizes:
        texts.append(data[at : at + size].decode("latin-1"))
        at += size + 1
    if at - 1 > len(data):
        raise ValueError("the map is cut short")
    return [(key.lower(), value) for key, value in zip(texts[::2], texts[1::2], strict=True)]
