"""Modules from a real OCI registry: layouts, tampering, tokens and passwords."""

import base64
import io
import json
import tarfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from reconciler.core.images import ImageRef
from reconciler.core.states import Reason
from reconciler.host.fetch.layouts import unpack
from reconciler.host.fetch.registry import SIGNATURE_ANNOTATION
from tests.fetch.registry_server import INDEX, MANIFEST, WASM, RegistryServer, archive
from tests.fetch.world import Answer, Fetching, Names, Site, docker_config, refusal, reply, sha256

MODULE = b"\x00asm\x01\x00\x00\x00"
ISTIO = "application/vnd.module.wasm.content.layer.v1+wasm"
ISTIO_CONFIG = "application/vnd.module.wasm.config.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


# Layouts


@pytest.mark.parametrize(
    "layers",
    [
        [(WASM, MODULE)],
        [(ISTIO, MODULE)],
        [(ISTIO_CONFIG, b"{}"), (ISTIO, MODULE)],
        [("application/vnd.wasm.content.layer.v1+wasm", MODULE)],
        [(DOCKER_LAYER, archive({"plugin.wasm": MODULE}))],
        [(OCI_LAYER, archive({"etc/passwd": b"x"})), (OCI_LAYER, archive({"./plugin.wasm": MODULE}))],
        [(OCI_LAYER, archive({"plugin.wasm": b"old"})), (OCI_LAYER, archive({"a": b"", "plugin.wasm": MODULE}))],
        [(OCI_LAYER, archive({"plugin.wasm": MODULE})), (OCI_LAYER, archive({"runtime-config.json": b"{}"}))],
        [("application/vnd.oci.image.layer.v1.tar", archive({"plugin.wasm": MODULE}, packed=False))],
    ],
    ids=["cncf", "istio", "istio-config", "wasm-to-oci", "docker", "container", "overlaid", "under", "unpacked"],
)
def test_every_known_layout_yields_its_module(registry: RegistryServer, layers: list[tuple[str, bytes]]) -> None:
    digest = registry.image("acme/layout", *layers)

    assert Fetching().image(f"{registry.address}/acme/layout@{digest}") == MODULE


def test_a_tag_names_a_digest_and_both_lead_to_the_module(registry: RegistryServer) -> None:
    digest = registry.image("acme/tagged", (WASM, MODULE), tag="v2")
    image = ImageRef.parse(f"{registry.address}/acme/tagged:v2")

    assert Fetching().registry.digest(image, 1e9) == digest
    assert Fetching().image(str(image)) == Fetching().image(str(image.at(digest))) == MODULE


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([("application/vnd.oci.image.layer.v1.tar+zstd", b"x")], "holds no wasm module: its layers are"),
        ([(WASM, b"1"), (WASM, b"2")], "holds 2 wasm modules"),
        ([(OCI_LAYER, archive({"other.wasm": MODULE}))], "no layer of it holds a plugin.wasm"),
        ([(OCI_LAYER, b"no archive at all")], "is no archive"),
        ([(OCI_LAYER, archive({"plugin.wasm": MODULE})[:30])], "is no archive"),
    ],
)
def test_an_image_without_a_module_is_refused(
    registry: RegistryServer, layers: list[tuple[str, bytes]], words: str
) -> None:
    digest = registry.image("acme/odd", *layers)

    assert words in refusal(lambda: Fetching().image(f"{registry.address}/acme/odd@{digest}"))[1]


def index(registry: RegistryServer, *entries: tuple[str, str, bytes]) -> str:
    """An index of images of one module each: (architecture, os, module)."""
    manifests = []
    for number, (architecture, os, module) in enumerate(entries):
        digest = registry.image("acme/index", (WASM, module), tag=f"part{number}")
        size = 2  # nobody relies on it
        platform = {"architecture": architecture, "os": os}
        manifests.append({"mediaType": MANIFEST, "digest": digest, "size": size, "platform": platform})
    content = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
    return f"{registry.address}/acme/index@{registry.manifest('acme/index', 'all', content)}"


def test_an_index_leads_to_the_manifest_for_wasm(registry: RegistryServer) -> None:
    several = index(registry, ("amd64", "linux", b"no"), ("wasm", "wasip1", MODULE), ("unknown", "unknown", b"no"))
    single = index(registry, ("amd64", "linux", MODULE), ("unknown", "unknown", b"attestation"))

    assert Fetching().image(several) == Fetching().image(single) == MODULE


def test_an_index_that_does_not_say_which_is_refused(registry: RegistryServer) -> None:
    image = index(registry, ("amd64", "linux", b"a"), ("arm64", "linux", b"b"))

    assert "an index (amd64, arm64)" in refusal(lambda: Fetching().image(image))[1]


def test_the_signature_lies_in_an_annotation(registry: RegistryServer) -> None:
    registry.image("acme/signed", (WASM, MODULE), annotations={SIGNATURE_ANNOTATION: "four\nlines"})
    registry.image("acme/unsigned", (WASM, MODULE))
    image = ImageRef.parse(f"{registry.address}/acme/signed:v1")

    assert Fetching().registry.signature(image, 1e9) == b"four\nlines"
    image = ImageRef.parse(f"{registry.address}/acme/unsigned:v1")
    assert Fetching().registry.signature(image, 1e9) is None


# Tampering


def test_a_layer_that_was_changed_in_the_registry_is_refused(registry: RegistryServer) -> None:
    module = MODULE + b"tampered layer"
    digest = registry.image("acme/layer", (WASM, module))
    registry.tamper(sha256(module), module[:-1] + b"!")

    reason, message = refusal(lambda: Fetching().image(f"{registry.address}/acme/layer@{digest}"))

    assert reason is Reason.DIGEST_MISMATCH
    assert "a layer was named" in message


def test_a_manifest_that_was_changed_on_the_way_is_refused(site: Site) -> None:
    manifest = json.dumps({"layers": [{"mediaType": WASM, "digest": sha256(MODULE), "size": len(MODULE)}]}).encode()
    digest = sha256(manifest)
    site.pages[f"/v2/a/manifests/{digest}"] = reply(body=manifest + b" ")
    site.pages[f"/v2/a/blobs/{sha256(MODULE)}"] = reply(body=MODULE)

    reason, message = refusal(lambda: Fetching().image(f"127.0.0.1:{site.port}/a@{digest}"))

    assert (reason, len(site.seen)) == (Reason.DIGEST_MISMATCH, 1)
    assert "the manifest was named" in message


@pytest.mark.parametrize(
    "manifest",
    [b"", b"[]", b"{}", b'{"layers": 3}', b'{"layers": [{"size": 1}]}', b'{"layers": [{"digest": "a", "size": "x"}]}',
     b'{"annotations": 3, "layers": []}', b"[" * 100_000, b'{"schemaVersion": 1, "fsLayers": []}',
     b'{"layers": [{"mediaType": "application/wasm", "digest": "../../secret", "size": 3}]}',
     b'{"layers": [{"mediaType": "application/wasm", "digest": "sha512:00", "size": 3}]}'],
)  # fmt: skip
def test_a_malformed_manifest_is_refused(site: Site, manifest: bytes) -> None:
    site.pages["/v2/a/manifests/v1"] = reply(body=manifest)

    assert refusal(lambda: Fetching().image(f"127.0.0.1:{site.port}/a:v1"))[0] is Reason.FETCH_FAILED
    assert len(site.seen) == 1


def registry_pages(site: Site, module: bytes, size: int) -> None:
    manifest = {"layers": [{"mediaType": WASM, "digest": sha256(module), "size": size}]}
    site.pages["/v2/a/manifests/v1"] = reply(body=json.dumps(manifest).encode())
    site.pages[f"/v2/a/blobs/{sha256(module)}"] = reply(body=module)


@pytest.mark.parametrize(("size", "requests"), [(10**12, 1), (4, 2)])
def test_a_layer_that_is_or_says_it_is_too_large_is_refused(site: Site, size: int, requests: int) -> None:
    registry_pages(site, MODULE, size)

    reason, _ = refusal(lambda: Fetching().image(f"127.0.0.1:{site.port}/a:v1"))

    assert (reason, len(site.seen)) == (Reason.TOO_LARGE, requests)


def test_an_archive_that_unpacks_to_far_more_is_refused() -> None:
    bomb = archive({"filler": b"\0" * 50_000_000, "plugin.wasm": MODULE})

    reason, message = refusal(lambda: unpack(bomb, "bomb", 1_000_000))

    assert reason is Reason.TOO_LARGE
    assert "unpacks to more" in message
    assert len(bomb) < 100_000


def test_a_link_in_an_archive_is_no_module() -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        link = tarfile.TarInfo("plugin.wasm")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)

    assert unpack(data.getvalue(), "links") is None


def test_what_is_not_there_is_said(registry: RegistryServer) -> None:
    reason, message = refusal(lambda: Fetching().image(f"{registry.address}/acme/none:v1"))

    assert reason is Reason.NOT_FOUND
    assert "there is no /v2/acme/none/manifests/v1" in message


# Addresses


def test_a_registry_on_this_machine_must_be_named(registry: RegistryServer) -> None:
    digest = registry.image("acme/plain", (WASM, MODULE))

    reason, message = refusal(lambda: Fetching(hosts=()).image(f"{registry.address}/acme/plain@{digest}"))

    assert reason is Reason.BLOCKED_ADDRESS
    assert "--module-hosts" in message


def test_a_registry_is_spoken_to_over_tls_unless_its_name_says_otherwise(registry: RegistryServer) -> None:
    digest = registry.image("acme/plain", (WASM, MODULE))
    port = registry.address.rpartition(":")[2]
    names = Names(registry_test=("127.0.0.1",))
    image = f"registry.test:{port}/acme/plain@{digest}"

    plain = Fetching(hosts=(f"http://registry.test:{port}",), names=names)
    secure = Fetching(hosts=(f"registry.test:{port}",), names=names, seconds=0.5)

    assert plain.image(image) == MODULE
    assert "SSL" in refusal(lambda: secure.image(image))[1]


def test_a_blob_may_lie_elsewhere_and_is_asked_for_without_the_registrys_token(sites: Callable[[], Site]) -> None:
    site, cdn = sites(), sites()
    registry_pages(site, MODULE, len(MODULE))
    blob = f"/v2/a/blobs/{sha256(MODULE)}"
    cdn.pages["/stored?signed=1"] = reply(body=MODULE)
    site.pages[blob] = reply(307, location=cdn.url("/stored?signed=1"))
    guard(site, "t0ken")

    assert Fetching().image(f"127.0.0.1:{site.port}/a:v1") == MODULE
    assert (blob, "Bearer t0ken") in site.seen
    assert cdn.seen == [("/stored?signed=1", None)]


# Who asks


def guard(site: Site, token: str, *, user: str = "", realm: str = "") -> None:
    """Every page of a site wants a token, which is to be had at `realm`, there for `user` where one is given."""
    challenge = f'Bearer realm="{realm or site.url("/token")}",service="reg",scope="repository:a:pull"'

    def guarded(answer: Answer) -> Answer:
        def check(request: BaseHTTPRequestHandler) -> None:
            if request.headers.get("authorization") == f"Bearer {token}":
                answer(request)
            else:
                reply(401, www_authenticate=challenge)(request)

        return check

    def grant(request: BaseHTTPRequestHandler) -> None:
        wanted = f"Basic {base64.b64encode(user.encode()).decode()}" if user else None
        allowed = request.headers.get("authorization") == wanted
        reply(200 if allowed else 401, json.dumps({"token": token}).encode())(request)

    site.pages = {path: guarded(answer) for path, answer in site.pages.items() if not isinstance(answer, list)}
    site.pages["/token?scope=repository%3Aa%3Apull&service=reg"] = grant


def test_a_token_is_asked_for_once_where_the_registry_says(site: Site) -> None:
    registry_pages(site, MODULE, len(MODULE))
    guard(site, "t0ken")

    assert Fetching().image(f"127.0.0.1:{site.port}/a:v1") == MODULE
    assert sum(path.startswith("/token") for path in site.paths) == 1


def test_a_token_is_asked_for_with_the_registrys_password(site: Site, tmp_path: Path) -> None:
    registry_pages(site, MODULE, len(MODULE))
    guard(site, "t0ken", user="user:password")
    image = f"127.0.0.1:{site.port}/a:v1"
    auth = docker_config(tmp_path / "auth.json", f"http://127.0.0.1:{site.port}/v1/", "user", "password")

    assert "answered 401: it wants other credentials" in refusal(lambda: Fetching().image(image))[1]
    assert Fetching(auth=auth).image(image) == MODULE


def test_the_place_of_tokens_is_checked_as_any_other(site: Site) -> None:
    registry_pages(site, MODULE, len(MODULE))
    guard(site, "t0ken", realm="http://169.254.169.254/latest/api/token")

    assert refusal(lambda: Fetching().image(f"127.0.0.1:{site.port}/a:v1"))[0] is Reason.BLOCKED_ADDRESS


def test_a_password_is_sent_where_the_file_names_the_registry(tmp_path: Path) -> None:
    auth = tmp_path / "auth.json"
    with RegistryServer(tmp_path / "registry", password=True) as server:
        digest = server.image("acme/private", (WASM, MODULE))
        image = f"{server.address}/acme/private@{digest}"

        assert "--registry-auth FILE" in refusal(lambda: Fetching().image(image))[1]
        docker_config(auth, "other.test", "user", "password")
        assert "--registry-auth FILE" in refusal(lambda: Fetching(auth=auth).image(image))[1]
        docker_config(auth, server.address, "user", "wrong")
        assert "other credentials" in refusal(lambda: Fetching(auth=auth).image(image))[1]
        docker_config(auth, server.address, "user", "password")
        assert Fetching(auth=auth).image(image) == MODULE


@pytest.mark.parametrize(
    "text", [None, "", "[]", "{}", '{"auths": []}', '{"auths": {"R": {"auth": "*"}}}', '{"auths": {"R": 1}}']
)
def test_a_file_of_passwords_that_cannot_be_used_is_said(site: Site, tmp_path: Path, text: str | None) -> None:
    registry_pages(site, MODULE, len(MODULE))
    guard(site, "t0ken")
    auth = tmp_path / "auth.json"
    if text is not None:
        auth.write_text(text.replace("R", f"127.0.0.1:{site.port}"))

    reason, message = refusal(lambda: Fetching(auth=auth).image(f"127.0.0.1:{site.port}/a:v1"))

    assert reason is Reason.FETCH_FAILED
    assert str(auth) in message
