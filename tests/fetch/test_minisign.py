"""Signatures in minisign's format: what its own tool writes is good, and nothing else is."""

import base64
from pathlib import Path

import pytest

from reconciler.host.minisign import PublicKey, SignatureInvalid
from tests.fetch.signing import Minisign, Signer

CONTENT = b"\x00asm\x01\x00\x00\x00" * 1000

# From minisign's page, https://jedisct1.github.io/minisign/
AUTHORS_KEY = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"


def why(key: PublicKey, content: bytes, signature: bytes) -> str:
    with pytest.raises(SignatureInvalid) as refused:
        key.check(content, signature)
    return str(refused.value)


@pytest.mark.parametrize("flags", [(), ("-l",), ("-t", "a comment: with ünïcode", "-c", "another")])
def test_what_the_tool_signs_is_good(tmp_path: Path, flags: tuple[str, ...]) -> None:
    minisign = Minisign(tmp_path)
    module = tmp_path / "a.wasm"
    module.write_bytes(CONTENT)
    signature = minisign.sign(module, *flags).read_bytes()

    key = PublicKey.parse(minisign.public_file.read_text())

    key.check(CONTENT, signature)
    assert "of other content" in why(key, CONTENT + b"!", signature)


@pytest.mark.parametrize("legacy", [False, True])
def test_both_algorithms_are_checked(legacy: bool) -> None:
    signer = Signer()
    signature = signer.sign(CONTENT, legacy=legacy)

    PublicKey.parse(signer.public).check(CONTENT, signature)
    PublicKey.parse(signer.public_file).check(CONTENT, signature)
    PublicKey.parse(signer.public).check(CONTENT, signature.replace(b"\n", b"\r\n"))
    PublicKey.parse(signer.public).check(CONTENT, signature.removesuffix(b"\n"))


def test_any_changed_byte_of_the_content_is_noticed() -> None:
    signer = Signer()
    signature = signer.sign(b"module")
    key = PublicKey.parse(signer.public)

    for place in range(6):
        changed = bytearray(b"module")
        changed[place] ^= 1
        assert "of other content" in why(key, bytes(changed), signature)


def test_another_key_is_named_as_such() -> None:
    signature = Signer(b"\1\2\3\4\5\6\7\x08").sign(CONTENT)

    message = why(PublicKey.parse(Signer(b"\x11\2\3\4\5\6\7\x08").public), CONTENT, signature)

    assert message == "it was signed with the key 0807060504030201, not with 0807060504030211"


def test_a_key_with_the_same_id_does_not_pass() -> None:
    assert "forged" in why(PublicKey.parse(Signer().public), CONTENT, Signer().sign(CONTENT))


def test_a_changed_trusted_comment_is_noticed() -> None:
    signer = Signer()
    signature = signer.sign(CONTENT, comment="version 1").replace(b"version 1", b"version 2")

    assert why(PublicKey.parse(signer.public), CONTENT, signature) == "the trusted comment was changed after signing"


def test_the_untrusted_comment_may_say_anything() -> None:
    signer = Signer()

    PublicKey.parse(signer.public).check(CONTENT, b"untrusted comment: x" + signer.sign(CONTENT)[28:])


def test_a_signature_of_the_hash_does_not_pass_for_one_of_the_content() -> None:
    """The algorithm is not signed: changing it must not make a signature good for other bytes."""
    signer = Signer()
    lines = signer.sign(CONTENT).split(b"\n")
    lines[1] = base64.b64encode(b"Ed" + base64.b64decode(lines[1])[2:])

    assert "of other content" in why(PublicKey.parse(signer.public), CONTENT, b"\n".join(lines))


@pytest.mark.parametrize("text", [b"", b"\n\n\n\n", b"\xff\xfe", b"a\nb\ntrusted comment: c\nd\n", b"x" * 8192])
def test_what_is_no_signature_is_refused(text: bytes) -> None:
    assert "minisign" in why(PublicKey.parse(Signer().public), CONTENT, text)


@pytest.mark.parametrize("line", [0, 1, 2, 3])
def test_a_signature_without_one_of_its_lines_is_refused(line: int) -> None:
    signer = Signer()
    lines = signer.sign(CONTENT).splitlines()
    del lines[line]

    assert "four lines" in why(PublicKey.parse(signer.public), CONTENT, b"\n".join(lines))


def test_a_key_is_read_from_its_file_and_from_its_line() -> None:
    key = PublicKey.parse(AUTHORS_KEY)

    assert (key.text, key.key_id[::-1].hex().upper()) == (AUTHORS_KEY, "E7620F1842B4E81F")
    assert PublicKey.parse(f"untrusted comment: x\n{AUTHORS_KEY}\n") == key


@pytest.mark.parametrize(
    "text",
    ["", "\n", "not base64!", AUTHORS_KEY[:-4], "RWQ=", f"a\nb\n{AUTHORS_KEY}", "untrusted comment: key", "ключ"],
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no minisign public key"):
        PublicKey.parse(text)
