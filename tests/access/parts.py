"""What the access tests share: an admin port as strict as asked for, a client that sees bytes, and authorities."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import falcon
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from api.access.kube import RoleAuthorizer
from api.access.parts import access_parts
from api.admin import AdminServer, create_app
from api.errors import serialize
from api.kube.access import AccessReview
from api.kube.errors import serializer
from api.kube.resources import ACCESS_REVIEWS, PLUGINS
from api.settings import Address, ServeSettings
from api.streaming import App
from api.wsgi.server import Bounds
from tests.api.world import Answer, World

PLUGINS_PATH = PLUGINS.paths()[0]
REVIEWS_PATH = ACCESS_REVIEWS.paths()[0]


class Clock:
    """A time that tests move."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


class KubePaths:
    """Enough of the Kubernetes API to ask it for something: its errors, a resource, a review."""

    def __init__(self, authorizer: RoleAuthorizer) -> None:
        self._authorizer = authorizer

    def install(self, app: App) -> None:
        app.set_error_serializer(serializer(serialize))
        app.add_route(f"{PLUGINS_PATH}/{{name}}", self)
        app.add_route(REVIEWS_PATH, AccessReview(self._authorizer, "default"))
        app.add_route("/metrics", self)

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str = "") -> None:
        resp.media = {"metadata": {"name": name}}

    on_delete = on_get


def settings(directory: Path, **more: Any) -> ServeSettings:
    here = Address("127.0.0.1", 0)
    given = {"config": (), "specs": (), "stores": None, "admin": here, "listen": here}
    return ServeSettings(**{**given, "state": directory, "module_root": directory, **more})


@dataclass
class Port:
    """A running admin port."""

    number: int
    host: str = "localhost"

    def ask(self, method: str, path: str, body: bytes = b"", /, **headers: str) -> Answer:
        with socket.create_connection(("127.0.0.1", self.number), timeout=10) as connection:
            connection.sendall(request(method, path, body, **{"host": self.host, **headers}))
            return answer(connection)


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A request's bytes. `_` in a header's name stands for `-`; the connection ends after it."""
    fields = {"connection": "close", "content-length": str(len(body)), **headers}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


def everything(connection: socket.socket) -> bytes:
    """All bytes until the other side is done, also when it resets."""
    found = b""
    try:
        while piece := connection.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def answer(connection: socket.socket) -> Answer:
    found = everything(connection)
    if not found:
        raise ConnectionError("there was no answer")
    head, _, body = found.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Answer(int(status.split()[1]), headers, body)


@contextmanager
def admin_port(
    world: World, directory: Path, *, clock: Clock | None = None, bounds: Bounds | None = None, **more: Any
) -> Iterator[Port]:
    """The admin port as the daemon puts it together, for these settings."""
    parts = access_parts(settings(directory, **more), clock or Clock())
    app = create_app(world.services(), "1", [KubePaths(RoleAuthorizer(parts.access))], [parts.guard()])
    server = AdminServer(app, Address("127.0.0.1", 0), parts.admin_tls, bounds)
    server.start()
    try:
        yield Port(server.port)
    finally:
        server.stop()


class Authority:
    """A certificate authority, and what it signs, as PEM files in a directory."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.file = directory / f"{name}.pem"
        usage = x509.KeyUsage(
            digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
            data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
        )  # fmt: skip
        certificate = (
            self._builder(self._name, self._key, timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self, name: str, life: timedelta = timedelta(hours=1), to: str = "", server: str = "localhost"
    ) -> tuple[Path, Path]:
        """A certificate for that name, good for a server (on localhost) and for a client: its file and its key's."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        certificate = (
            self._builder(subject, key, life)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(server)]), critical=False)
            .add_extension(purposes, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        files = self._directory / f"{to or name}.pem", self._directory / f"{to or name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        plain = serialization.NoEncryption()
        files[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
        return files

    def client(self, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """The context of a client that trusts this authority."""
        context = ssl.create_default_context(cafile=str(self.file))
        if certificate:
            context.load_cert_chain(*certificate)
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, life: timedelta) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=2))
            .not_valid_after(now + life)
        )
