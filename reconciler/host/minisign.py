"""Detached Ed25519 signatures in minisign's format, so that its own tool signs modules.

The format is the one that minisign's page documents (https://jedisct1.github.io/minisign/, "Signature format"):

    untrusted comment: TEXT
    base64(ALGORITHM KEY_ID SIGNATURE)           ALGORITHM `ED`: of the content's BLAKE2b-512; `Ed`: of the content
    trusted comment: TEXT
    base64(GLOBAL_SIGNATURE)                     of SIGNATURE and the trusted comment's TEXT

Belongs here: parsing and checking, pure. Does not: where keys and signatures lie. The only importer of cryptography.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from typing import Final, Self

_TRUSTED: Final = "trusted comment: "
_LEGACY: Final = b"Ed"
_PREHASHED: Final = b"ED"


class SignatureInvalid(Exception):
    """A signature does not prove that the holder of the key signed that content. `str()` says why."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A minisign public key; `key_id` names it in signatures."""

    key_id: bytes
    raw: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The key in a `minisign.pub` file, or its last line alone. ValueError, with a sentence, for anything else."""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        data = _base64(lines[-1]) if lines else b""
        if len(lines) > 2 or len(data) != 42 or data[:2] != _LEGACY:
            raise ValueError("no minisign public key: it is one line that starts with RW, after a comment line")
        return cls(data[2:10], data[10:])

    @property
    def text(self) -> str:
        """The key in one line, as minisign prints it."""
        return base64.b64encode(_LEGACY + self.key_id + self.raw).decode()

    def check(self, content: bytes, signature: bytes) -> None:
        """Return where the signature, the content of a `.minisig` file, is this key's. Raises SignatureInvalid."""
        # 30 ms, which a start without signed modules does not have to spend.
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415

        algorithm, key_id, proof, comment, global_proof = _parse(signature)
        if key_id != self.key_id:
            raise SignatureInvalid(f"it was signed with the key {_id(key_id)}, not with {_id(self.key_id)}")
        message = hashlib.blake2b(content).digest() if algorithm == _PREHASHED else content
        key = Ed25519PublicKey.from_public_bytes(self.raw)
        try:
            key.verify(proof, message)
        except InvalidSignature:
            raise SignatureInvalid("the signature is of other content, or forged") from None
        try:
            key.verify(global_proof, proof + comment)
        except InvalidSignature:
            raise SignatureInvalid("the trusted comment was changed after signing") from None


def _parse(signature: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """Algorithm, key id, signature, trusted comment, global signature."""
    try:
        lines = signature.decode().removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise SignatureInvalid("its signature is no text, so not one of minisign") from None
    lines = [line.removesuffix("\r") for line in lines]
    if len(lines) != 4 or not lines[2].startswith(_TRUSTED):
        raise SignatureInvalid("its signature is not in minisign's format: four lines, with a trusted comment")
    proof, global_proof = _base64(lines[1]), _base64(lines[3])
    if len(proof) != 74 or len(global_proof) != 64 or proof[:2] not in (_LEGACY, _PREHASHED):
        raise SignatureInvalid("its signature is not in minisign's format: the lines are no Ed25519 signatures")
    return proof[:2], proof[2:10], proof[10:], lines[2].removeprefix(_TRUSTED).encode(), global_proof


def _base64(text: str) -> bytes:
    """The bytes; empty for what is not base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _id(key_id: bytes) -> str:
    """A key's id as minisign shows it."""
    return key_id[::-1].hex().upper()
