"""From a source to a compiled module: what must be proven first, and what survives without its source."""

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reconciler.core.revision import ModuleSource
from reconciler.core.states import Reason
from reconciler.host.content import ContentStore
from reconciler.host.files import RootedFiles
from reconciler.host.modules import ModuleCache
from reconciler.host.supply import ModuleSupply
from reconciler.wasm.engine import Engine
from tests.fetch.registry_server import WASM, RegistryServer
from tests.fetch.signing import Minisign, Signer
from tests.fetch.world import Fetching, Site, refusal, reply, sha256
from tests.guest_wat import answering

MODULE = answering("a")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


class Node:
    """What a daemon has of modules. `restart` forgets all but the disk."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        self.root = directory / "modules"
        self.root.mkdir()
        self.state = directory / "state"
        self._engine = engine
        self.restart()

    def restart(self) -> None:
        files = RootedFiles(self.root)
        supply = ModuleSupply(files.read, Fetching(seconds=2).remote, ContentStore(self.state))
        self._cache = ModuleCache(self._engine, self.state, supply)

    def lose_compiled(self) -> None:
        """As an update of the engine does."""
        shutil.rmtree(self.state / "aot")

    def file(self, content: bytes = MODULE, name: str = "a.wasm") -> ModuleSource:
        path = self.root / name
        path.write_bytes(content)
        return ModuleSource(sha256(content), path=str(path))

    def load(self, source: ModuleSource) -> bool:
        """Whether compiling was saved. Raises ModuleRefused."""
        _, saved = self._cache.acquire(source, metered=False)
        self._cache.release(source, metered=False)
        return saved

    def refusal(self, source: ModuleSource) -> tuple[Reason, str]:
        return refusal(lambda: self.load(source))


@pytest.fixture
def node(engine: Engine, tmp_path: Path) -> Node:
    return Node(engine, tmp_path)


# What survives


def test_a_module_survives_the_loss_of_its_file_and_of_what_was_compiled(node: Node) -> None:
    source = node.file()
    node.load(source)
    (node.root / "a.wasm").unlink()
    node.restart()
    assert node.load(source)

    node.lose_compiled()
    node.restart()

    assert not node.load(source)


def test_a_module_that_was_compiled_before_is_kept_as_well(node: Node) -> None:
    source = node.file()
    node.load(source)
    shutil.rmtree(node.state / "modules")
    node.restart()
    node.load(source)

    (node.root / "a.wasm").unlink()
    node.lose_compiled()
    node.restart()

    assert not node.load(source)


def test_a_file_that_changed_does_not_take_the_place_of_what_was_good(node: Node) -> None:
    source = node.file()
    node.load(source)
    (node.root / "a.wasm").write_bytes(answering("b"))
    node.lose_compiled()
    node.restart()

    assert not node.load(source)


def test_a_fetched_module_survives_the_loss_of_its_server(node: Node, site: Site) -> None:
    site.pages["/a.wasm"] = reply(body=MODULE)
    md5 = f"md5:{hashlib.md5(MODULE).hexdigest()}"
    sources = [ModuleSource(digest, url=site.url("/a.wasm")) for digest in (sha256(MODULE), md5)]
    for source in sources:
        node.load(source)
    site.close()
    node.lose_compiled()
    node.restart()

    for source in sources:
        assert not node.load(source)


def test_an_image_survives_the_loss_of_its_registry(node: Node, tmp_path: Path) -> None:
    with RegistryServer(tmp_path / "registry") as server:
        digest = server.image("acme/a", (WASM, MODULE))
        by_manifest = ModuleSource(digest, image=f"{server.address}/acme/a@{digest}")
        by_content = ModuleSource(sha256(MODULE), image=f"{server.address}/acme/a:v1")
        node.load(by_manifest)
        node.load(by_content)
    node.lose_compiled()
    node.restart()

    assert not node.load(by_manifest)
    assert not node.load(by_content)


# Digests


def test_content_with_another_digest_is_refused(node: Node, site: Site, registry: RegistryServer) -> None:
    site.pages["/a.wasm"] = reply(body=MODULE)
    registry.image("acme/other", (WASM, MODULE))
    wrong = sha256(b"another")

    for source in (
        ModuleSource(wrong, url=site.url("/a.wasm")),
        ModuleSource("md5:" + "0" * 32, url=site.url("/a.wasm")),
        ModuleSource(wrong, image=f"{registry.address}/acme/other:v1"),
        replace(node.file(), digest=wrong),
    ):
        assert node.refusal(source)[0] is Reason.DIGEST_MISMATCH
    assert not (node.state / "modules").exists()


# Signatures


def test_a_module_that_minisign_signed_is_run(node: Node, tmp_path: Path) -> None:
    minisign = Minisign(tmp_path)
    key = minisign.public_file.read_text().splitlines()[1]
    source = replace(node.file(), key=key)
    minisign.sign(node.root / "a.wasm")

    assert not node.load(source)


def test_an_unsigned_module_is_refused_before_it_is_compiled(node: Node) -> None:
    source = replace(node.file(b"not even wasm"), key=Signer().public)

    reason, message = node.refusal(source)

    assert reason is Reason.SIGNATURE_INVALID
    assert f"minisign -Sm FILE` and put it at {source.path}.minisig" in message
    assert not (node.state / "aot").exists()


def test_a_signature_by_another_key_or_of_other_content_is_refused(node: Node) -> None:
    signer, other = Signer(), Signer(b"another!")
    source = replace(node.file(), key=signer.public)
    signature = node.root / "a.wasm.minisig"

    signature.write_bytes(other.sign(MODULE))
    assert "it was signed with the key" in node.refusal(source)[1]
    signature.write_bytes(signer.sign(MODULE + b"!"))
    assert "of other content, or forged; sign it again" in node.refusal(source)[1]
    signature.write_bytes(b"")
    assert node.refusal(source)[0] is Reason.SIGNATURE_INVALID


def test_a_module_that_runs_unsigned_elsewhere_must_be_signed_all_the_same(node: Node) -> None:
    source = node.file()
    assert node.load(source) is False

    node.restart()

    assert node.refusal(replace(source, key=Signer().public))[0] is Reason.SIGNATURE_INVALID
    assert node.load(source) is True


def test_a_key_that_changed_asks_for_its_own_signature(node: Node) -> None:
    old, new = Signer(), Signer(b"new key!")
    source = node.file()
    signature = node.root / "a.wasm.minisig"
    signature.write_bytes(old.sign(MODULE))
    node.load(replace(source, key=old.public))

    assert node.refusal(replace(source, key=new.public))[0] is Reason.SIGNATURE_INVALID
    signature.write_bytes(new.sign(MODULE))
    assert node.load(replace(source, key=new.public))


def test_a_signature_survives_with_its_module_and_is_checked_again(node: Node) -> None:
    signer = Signer()
    source = replace(node.file(), key=signer.public)
    (node.root / "a.wasm.minisig").write_bytes(signer.sign(MODULE))
    node.load(source)
    shutil.rmtree(node.root)
    node.root.mkdir()
    node.restart()
    assert node.load(source)

    (note,) = (node.state / "modules").glob("*.minisig")
    note.write_bytes(Signer().sign(MODULE))
    node.restart()

    assert node.refusal(source)[0] is Reason.SIGNATURE_INVALID


def test_the_signature_of_a_url_lies_beside_it(node: Node, site: Site) -> None:
    signer = Signer()
    site.pages["/a.wasm?v=1"] = reply(body=MODULE)
    source = ModuleSource(sha256(MODULE), url=site.url("/a.wasm?v=1"), key=signer.public)
    assert f"put it at {source.url}.minisig" in node.refusal(source)[1]

    site.pages["/a.wasm.minisig?v=1"] = reply(body=b"x" * 100_000)
    assert node.refusal(source)[0] is Reason.TOO_LARGE
    site.pages["/a.wasm.minisig?v=1"] = reply(body=signer.sign(MODULE))
    assert not node.load(source)


def test_the_signature_of_an_image_lies_in_its_annotation(node: Node, registry: RegistryServer) -> None:
    signer = Signer()
    unsigned = registry.image("acme/s", (WASM, MODULE), tag="u")
    text = signer.sign(MODULE).decode()
    signed = registry.image("acme/s", (WASM, MODULE), tag="s", annotations={"wasm-reconciler.dev/minisig": text})

    def source(digest: str) -> ModuleSource:
        return ModuleSource(digest, image=f"{registry.address}/acme/s@{digest}", key=signer.public)

    assert "as the annotation wasm-reconciler.dev/minisig" in node.refusal(source(unsigned))[1]
    assert not node.load(source(signed))


def test_a_host_that_fetches_nothing_says_so(engine: Engine, tmp_path: Path) -> None:
    cache = ModuleCache(engine, tmp_path)

    reason, _ = refusal(lambda: cache.acquire(ModuleSource(sha256(b""), url="http://a.test/"), metered=False))

    assert reason is Reason.POLICY_DENIED
