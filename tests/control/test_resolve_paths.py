"""What a spec may name: attempts to read modules from out of the module root, and to pass without a pin or a key."""

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.control.resolve import Resolver, Tags, Unresolved
from reconciler.core.images import ImageRef
from reconciler.core.revision import ModuleSource
from reconciler.core.states import Reason
from reconciler.host.fetch.web import refused
from reconciler.host.files import FileDigests, RootedFiles
from reconciler.wasm.kind import ModuleRefused
from specs.document import parse_text
from specs.model import WasmPlugin
from tests.fetch.signing import Signer

GOOD, SECRET = b"a module inside", b"a secret outside"
DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The module root, with a module; beside it a directory that is nobody's business."""
    for name, content in (("root/dir/good.wasm", GOOD), ("outside/secret", SECRET), ("root-too/secret", SECRET)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tmp_path / "root"


def plugin(**module: Any) -> WasmPlugin:
    return WasmPlugin.model_validate({"metadata": {"name": "a"}, "spec": {"module": module}})


def source(
    root: Path, tags: Tags | None = None, read: Callable[[Path], bytes] | None = None, **module: Any
) -> ModuleSource:
    """Where the module of a spec comes from. Raises Unresolved."""
    digests = FileDigests(read or RootedFiles(root).read)
    spec = Resolver(root, digests, tags).target(plugin(**module)).spec
    assert spec is not None
    return spec.module


def refusal(root: Path, tags: Tags | None = None, **module: Any) -> tuple[Reason, str]:
    with pytest.raises(Unresolved) as error:
        source(root, tags, **module)
    return error.value.failure.reason, error.value.failure.message


# Paths


@pytest.mark.parametrize("path", ["dir/good.wasm", "./dir//good.wasm", "dir/../dir/good.wasm"])
def test_a_path_inside_is_followed(root: Path, path: str) -> None:
    assert source(root, path=path).path == str(root / "dir/good.wasm")


def test_an_absolute_path_and_a_link_that_stay_inside_are_followed(root: Path) -> None:
    (root / "link.wasm").symlink_to("dir/good.wasm")

    for path in (str(root / "dir/good.wasm"), "link.wasm"):
        assert source(root, path=path).path == str(root / "dir/good.wasm")


@pytest.mark.parametrize(
    "path",
    ["../outside/secret", "dir/../../outside/secret", "../root-too/secret", "../root/../outside/secret", "/etc/passwd",
     "//etc/passwd", "/proc/self/environ", "..", "dir/../..", "./../outside/secret"],
)  # fmt: skip
def test_a_path_that_leads_out_is_refused(root: Path, path: str) -> None:
    reason, message = refusal(root, path=path)

    assert reason is Reason.POLICY_DENIED
    assert message == f"{path} leads out of the module root {root}"


def test_the_root_itself_and_what_is_no_file_are_no_modules(root: Path) -> None:
    os.mkfifo(root / "pipe")  # reading it would never end
    for path in (".", "dir", "pipe"):
        assert refusal(root, path=path)[0] in (Reason.POLICY_DENIED, Reason.NOT_FOUND)


def test_a_path_that_no_file_can_have_is_refused_or_not_found(root: Path) -> None:
    with pytest.raises(ValueError, match="path"):
        plugin(path="dir/good.wasm\0.txt")
    assert refusal(root, path="x" * 5000)[0] is Reason.NOT_FOUND
    assert refusal(root, path="x/" * 5000)[0] is Reason.NOT_FOUND


@pytest.mark.parametrize("target", ["../outside/secret", "/etc/passwd", "dir/../../outside/secret"])
def test_a_link_to_a_file_outside_is_refused(root: Path, target: str) -> None:
    (root / "link.wasm").symlink_to(target)

    assert refusal(root, path="link.wasm")[0] is Reason.POLICY_DENIED


def test_a_link_to_a_directory_outside_is_refused(root: Path) -> None:
    (root / "out").symlink_to("../outside")
    (root / "far").symlink_to("out")

    for path in ("out/secret", "far/secret", "dir/../out/secret"):
        assert refusal(root, path=path)[0] is Reason.POLICY_DENIED


def test_links_in_a_circle_are_not_followed_for_ever(root: Path) -> None:
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")

    assert refusal(root, path="one")[0] is Reason.NOT_FOUND


def test_a_root_that_is_a_link_is_where_it_leads(root: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to("root")

    assert source(tmp_path / "alias", path="dir/good.wasm").path == str(root / "dir/good.wasm")


def swap(root: Path, name: str, target: str) -> None:
    """Put a link in the place of what was checked, as whoever may write below the root can at any moment."""
    (root / name).rename(root / "aside")
    (root / name).symlink_to(target)


@pytest.mark.parametrize(("name", "target"), [("dir/good.wasm", "../../outside/secret"), ("dir", "../outside")])
def test_a_link_that_comes_between_check_and_use_is_refused(root: Path, name: str, target: str) -> None:
    (root.parent / "outside/good.wasm").write_bytes(SECRET)
    files = RootedFiles(root)

    def late(path: Path) -> bytes:
        swap(root, name, target)
        return files.read(path)

    with pytest.raises(Unresolved) as error:
        source(root, read=late, path="dir/good.wasm")

    assert error.value.failure.reason is Reason.NOT_FOUND


def test_no_swap_at_any_moment_lets_the_outside_in(root: Path) -> None:
    """The race itself: one thread swaps a directory for a link and back, as fast as it can; another reads."""
    (root.parent / "outside/good.wasm").write_bytes(SECRET)
    os.symlink("../outside", root / "link")
    done = threading.Event()

    def swapping() -> None:
        while not done.is_set():
            for names in (("dir", "real"), ("link", "dir"), ("dir", "link"), ("real", "dir")):
                os.rename(root / names[0], root / names[1])

    thread = threading.Thread(target=swapping)
    thread.start()
    found = set()
    try:
        for _ in range(2000):
            try:
                found.add(source(root, path="dir/good.wasm").digest)
            except Unresolved as error:
                found.add(error.failure.reason)
    finally:
        done.set()
        thread.join()

    assert f"sha256:{hashlib.sha256(SECRET).hexdigest()}" not in found
    assert f"sha256:{hashlib.sha256(GOOD).hexdigest()}" in found


def test_a_file_that_is_read_directly_must_lie_under_the_root(root: Path) -> None:
    files = RootedFiles(root)

    for path in (root.parent / "outside/secret", root / "../outside/secret", root, Path("dir/good.wasm")):
        with pytest.raises(ModuleRefused) as error:
            files.read(path)
        assert error.value.failure.reason is Reason.POLICY_DENIED


# Images


class FixedTags:
    """Knows one digest, or none yet."""

    def __init__(self, digest: str | None) -> None:
        self.now = digest
        self.asked: list[tuple[str, str]] = []

    def known(self, image: ImageRef, plugin: str) -> str | None:
        self.asked.append((str(image), plugin))
        return self.now

    def digest(self, image: ImageRef, plugin: str) -> str:
        if self.now is None:
            raise refused(Reason.LOADING, "asking")
        return self.now


def test_an_image_by_digest_needs_nothing_else(root: Path) -> None:
    assert source(root, image=f"ghcr.io/a/b@{DIGEST}") == ModuleSource(DIGEST, image=f"ghcr.io/a/b@{DIGEST}")
    assert source(root, image="ghcr.io/a/b:v1", digest=DIGEST) == ModuleSource(DIGEST, image="ghcr.io/a/b:v1")


@pytest.mark.parametrize("image", ["ghcr.io/a/b:v1", "ghcr.io/a/b"])
def test_a_tag_alone_needs_the_flag(root: Path, image: str) -> None:
    reason, message = refusal(root, image=image)

    assert reason is Reason.POLICY_DENIED
    assert "--allow-image-tags" in message


def test_with_the_flag_a_tag_is_the_digest_that_it_names_now(root: Path) -> None:
    tags = FixedTags(None)
    assert refusal(root, tags, image="ghcr.io/a/b:v1")[0] is Reason.LOADING

    tags.now = DIGEST

    assert source(root, tags, image="ghcr.io/a/b:v1") == ModuleSource(DIGEST, image=f"ghcr.io/a/b:v1@{DIGEST}")
    assert ("ghcr.io/a/b:v1", "a") in tags.asked


def test_a_tag_that_moved_is_a_change_that_a_resync_sees(root: Path) -> None:
    tags = FixedTags(DIGEST)
    resolver = Resolver(root, FileDigests(), tags)
    before = resolver.signature(plugin(image="ghcr.io/a/b:v1"), {})

    tags.now = "sha256:" + "b" * 64

    assert resolver.signature(plugin(image="ghcr.io/a/b:v1"), {}) != before
    assert resolver.signature(plugin(image="no reference at all"), {}) == ()


def test_what_is_no_reference_is_said(root: Path) -> None:
    assert refusal(root, image="library/nginx")[0] is Reason.INVALID_SPEC


# Keys


def revision(root: Path, **module: Any) -> str | None:
    return Resolver(root, FileDigests()).target(plugin(**module)).revision


def verify(file: object) -> dict[str, Any]:
    return {"ed25519": {"publicKeyFile": str(file)}}


def test_a_changed_key_is_a_new_revision_and_a_resync_sees_it(root: Path, tmp_path: Path) -> None:
    resolver = Resolver(root, FileDigests())
    key = tmp_path / "key.pub"
    wanted = {"path": "dir/good.wasm", "verify": verify(key)}
    seen = []
    for signer in (Signer(b"12345678"), Signer(b"87654321")):
        key.write_text(signer.public_file)
        target = resolver.target(plugin(**wanted))
        assert target.spec is not None
        assert target.spec.module.key == signer.public
        seen.append((target.revision, resolver.signature(plugin(**wanted), {})))

    assert len({revision(root, path="dir/good.wasm"), *(one for one, _ in seen)}) == 3
    assert seen[0][1] != seen[1][1]


def test_a_key_below_the_root_may_not_lead_out(root: Path) -> None:
    signer = Signer()
    (root / "key.pub").write_text(signer.public_file)
    assert source(root, path="dir/good.wasm", verify=verify("key.pub")).key == signer.public
    (root.parent / "outside/key.pub").write_text(signer.public_file)
    (root / "link.pub").symlink_to("../outside/key.pub")

    for file in ("../outside/key.pub", "link.pub"):
        assert refusal(root, path="dir/good.wasm", verify=verify(file))[0] is Reason.POLICY_DENIED


@pytest.mark.parametrize("content", [None, b"", b"no key", b"\xff\xfe", b"RWQ=\n", b"x" * 100_000])
def test_without_a_key_that_can_be_read_nothing_runs(root: Path, content: bytes | None) -> None:
    if content is not None:
        (root / "key.pub").write_bytes(content)

    reason, message = refusal(root, path="dir/good.wasm", verify=verify("key.pub"))

    assert reason is Reason.SIGNATURE_INVALID
    assert str(root / "key.pub") in message


def test_a_url_without_a_digest_is_no_spec() -> None:
    parsed = parse_text(
        "apiVersion: wasm-reconciler.dev/v1alpha1\nkind: WasmPlugin\nmetadata: {name: a}\n"
        "spec: {module: {url: https://example.com/a.wasm}}\n",
        "a.yaml",
    )
    assert not parsed.documents
    assert "url needs a digest" in str(parsed.problems)


@pytest.mark.parametrize("bad", [{}, {"ed25519": {}}, {"ed25519": {"publicKeyFile": ""}}, {"rsa": {}}, True])
def test_a_verification_that_names_no_key_is_no_spec(bad: object) -> None:
    """A typing error must not turn the check off."""
    with pytest.raises(ValueError, match="verify"):
        plugin(path="dir/good.wasm", verify=bad)
