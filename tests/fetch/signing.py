"""Signing as minisign does: with the tool itself where it is installed, and by the documented format where not."""

import base64
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Signer:
    """A key pair made here; signs in minisign's format."""

    def __init__(self, key_id: bytes = b"12345678") -> None:
        self._key = Ed25519PrivateKey.generate()
        self.key_id = key_id

    @property
    def public(self) -> str:
        """The public key in one line."""
        return base64.b64encode(b"Ed" + self.key_id + self._key.public_key().public_bytes_raw()).decode()

    @property
    def public_file(self) -> str:
        """The content of `minisign.pub`."""
        return f"untrusted comment: minisign public key\n{self.public}\n"

    def sign(self, content: bytes, *, legacy: bool = False, comment: str = "trusted") -> bytes:
        """The content of a `.minisig` file."""
        proof = self._key.sign(content if legacy else hashlib.blake2b(content).digest())
        whole = self._key.sign(proof + comment.encode())
        line = base64.b64encode((b"Ed" if legacy else b"ED") + self.key_id + proof).decode()
        return (
            f"untrusted comment: signature\n{line}\ntrusted comment: {comment}\n{base64.b64encode(whole).decode()}\n"
        ).encode()


class Minisign:
    """The tool, with a key pair in a directory. Skips the test where it is not installed."""

    def __init__(self, directory: Path) -> None:
        if shutil.which("minisign") is None:
            pytest.skip("minisign is not installed (Debian: apt-get install minisign)")
        self._key = directory / "minisign.key"
        self.public_file = directory / "minisign.pub"
        self._run("-G", "-W", "-p", str(self.public_file), "-s", str(self._key))

    def sign(self, file: Path, *flags: str) -> Path:
        """Sign a file; the signature's path."""
        self._run("-S", "-s", str(self._key), "-m", str(file), *flags)
        return file.with_name(f"{file.name}.minisig")

    def _run(self, *arguments: str) -> None:
        subprocess.run(["minisign", *arguments], check=True, capture_output=True, input=b"", timeout=20)
