"""Pulling a module from an OCI registry: manifests, blobs, and how one proves who asks.

The protocol is the OCI distribution specification 1.1; the token flow is that of the distribution project ("Token
Authentication Specification"). All content is checked against the digest that named it, so that a registry, and a
cache before it, can only refuse to answer. Does not belong here: how a module lies in an image (layouts.py).
"""

import hashlib
import json
import re
from typing import Final
from urllib.parse import urlencode, urlsplit

from reconciler.core.images import ImageRef
from reconciler.core.states import Reason
from reconciler.host.fetch.credentials import Credentials
from reconciler.host.fetch.layouts import INDEXES, MANIFESTS, Descriptor, Manifest, unpack
from reconciler.host.fetch.policy import ModuleHosts
from reconciler.host.fetch.web import Web, explain, refused
from reconciler.wasm.egress import EgressResponse

SIGNATURE_ANNOTATION: Final = "wasm-reconciler.dev/minisig"
"""The manifest's annotation that holds the text of the module's `.minisig` file."""

_MAX_MANIFEST: Final = 4 * 2**20  # what registries themselves accept at least
_MAX_TOKEN: Final = 2**20
_PARAMETER: Final = re.compile(r'(\w+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))')
_ELSEWHERE: Final = {"docker.io": "registry-1.docker.io"}


class Registry:
    """Pulls modules. Safe to use from several threads; nothing is kept between calls."""

    def __init__(self, web: Web, hosts: ModuleHosts, credentials: Credentials | None = None) -> None:
        self._web = web
        self._hosts = hosts
        self._credentials = credentials

    def digest(self, image: ImageRef, deadline: float) -> str:
        """The digest of the manifest that a reference names now. Raises ModuleRefused."""
        return _sha256(_Pull(image, self._web, self._hosts, self._credentials, deadline).raw_manifest(image.reference))

    def module(self, image: ImageRef, deadline: float) -> bytes:
        """The module that the image holds. Raises ModuleRefused."""
        pull = _Pull(image, self._web, self._hosts, self._credentials, deadline)
        place = str(image)
        for layer in pull.manifest().candidates(place):
            content = pull.blob(layer)
            module = unpack(content, place) if layer.archive else content
            if module is not None:
                return module
        raise refused(Reason.NOT_FOUND, f"{place}: no layer of it holds a plugin.wasm")

    def signature(self, image: ImageRef, deadline: float) -> bytes | None:
        """The module's signature, from the manifest's annotation. Raises ModuleRefused."""
        pull = _Pull(image, self._web, self._hosts, self._credentials, deadline)
        text = pull.manifest().annotations.get(SIGNATURE_ANNOTATION)
        return None if text is None else text.encode()


class _Pull:
    """One look at one image; holds the authorization that the registry granted."""

    def __init__(
        self, image: ImageRef, web: Web, hosts: ModuleHosts, credentials: Credentials | None, deadline: float
    ) -> None:
        self._image = image
        self._web = web
        self._credentials = credentials
        self._deadline = deadline
        authority = _ELSEWHERE.get(image.registry, image.registry)
        parts = urlsplit(f"//{authority}")
        self._plain = hosts.without_tls(parts.hostname or "", parts.port or 80)
        self._base = f"{'http' if self._plain else 'https'}://{authority}/v2/{image.repository}"
        self._authorization: str | None = None

    def manifest(self) -> Manifest:
        """The manifest that holds the module, through an index where the reference names one."""
        place = str(self._image)
        found = Manifest.parse(self.raw_manifest(self._image.reference), place)
        if found.manifests:
            found = Manifest.parse(self.raw_manifest(found.choose(place).digest), place)
        if found.manifests:
            raise refused(Reason.FETCH_FAILED, f"{place}: an index inside an index")
        return found

    def raw_manifest(self, reference: str) -> bytes:
        """A manifest or index as it was pushed, checked where the reference is a digest."""
        url = f"{self._base}/manifests/{reference}"
        answer = self._get(url, ", ".join((*MANIFESTS, *INDEXES)), _MAX_MANIFEST)
        if reference.startswith("sha256:"):
            self._check(answer.body, reference, "the manifest")
        return answer.body

    def blob(self, layer: Descriptor) -> bytes:
        """A layer's bytes, checked."""
        if not re.fullmatch(r"sha256:[a-f0-9]{64}", layer.digest):
            raise refused(Reason.FETCH_FAILED, f"{self._image}: a layer has the digest {layer.digest!r}, no sha256")
        content = self._get(f"{self._base}/blobs/{layer.digest}", "*/*", max(layer.size, 0)).body
        self._check(content, layer.digest, "a layer")
        return content

    def _check(self, content: bytes, digest: str, what: str) -> None:
        found = _sha256(content)
        if found != digest:
            message = f"{self._image}: {what} was named {digest}, what came has {found}"
            raise refused(Reason.DIGEST_MISMATCH, message)

    def _get(self, url: str, accept: str, limit: int) -> EgressResponse:
        answer = self._ask(url, accept, limit)
        if answer.status == 401 and self._authorization is None:
            challenge = next((value for name, value in answer.headers if name == "www-authenticate"), "")
            self._authorization = self._authorize(challenge)
            answer = self._ask(url, accept, limit)
        if answer.status != 200:
            raise explain(url, answer)
        return answer

    def _ask(self, url: str, accept: str, limit: int) -> EgressResponse:
        headers: tuple[tuple[str, str], ...] = (("accept", accept),)
        if self._authorization is not None:
            headers = (*headers, ("authorization", self._authorization))
        return self._web.get(url, self._deadline, headers=headers, max_body=limit)

    def _authorize(self, challenge: str) -> str:
        """What the registry asks for: a password, or a token from the place that it names."""
        scheme, _, rest = challenge.partition(" ")
        basic = None if self._credentials is None else self._credentials.basic(self._image.registry)
        if scheme.lower() == "basic" and basic is not None:
            return basic
        if scheme.lower() != "bearer":
            message = f"{self._image.registry} wants a user name and a password: give them with --registry-auth FILE"
            raise refused(Reason.FETCH_FAILED, message)
        parameters = {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(rest)}
        return f"Bearer {self._token(parameters, basic)}"

    def _token(self, parameters: dict[str, str], basic: str | None) -> str:
        realm = parameters.get("realm", "")
        if urlsplit(realm).scheme != "https" and not self._plain:
            message = f"{self._image.registry} names {realm!r} for tokens: they are not sent over plain http"
            raise refused(Reason.FETCH_FAILED, message)
        query = {"scope": parameters.get("scope") or f"repository:{self._image.repository}:pull"}
        if "service" in parameters:
            query["service"] = parameters["service"]
        url = f"{realm}{'&' if urlsplit(realm).query else '?'}{urlencode(query)}"
        headers = (("authorization", basic),) if basic is not None else ()
        answer = self._web.get(url, self._deadline, headers=headers, max_body=_MAX_TOKEN)
        if answer.status != 200:
            raise explain(url, answer)
        try:
            data = json.loads(answer.body)
            return str(data.get("token") or data["access_token"])
        except (ValueError, KeyError, TypeError, AttributeError):
            raise refused(Reason.FETCH_FAILED, f"{urlsplit(realm).netloc} gave no token") from None


def _sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
