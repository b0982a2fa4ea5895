"""TLS for both listeners: contexts made of files, and made anew when the files change.

Belongs here: certificates, keys, which versions are spoken. Does not: sockets, and what a client's certificate allows
(`api.access`).
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from api.followed import Followed, Unusable

HTTP_1_AND_2: Final = ("h2", "http/1.1")
"""What a server offers in ALPN that speaks both, the better first."""

PEER_CERTIFICATE: Final = "wasm_reconciler.peer_certificate"
"""The WSGI environment's key of the client's verified certificate, a PeerCertificate or None."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: a chain that starts with our certificate, its key, and the authorities of clients.

    `client_ca` None asks clients for no certificate. With `client_required` they cannot connect without one.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    client_required: bool = False

    @property
    def all(self) -> tuple[Path, ...]:
        """The files there are."""
        return (self.certificate, self.key, *([self.client_ca] if self.client_ca else []))


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What counts of a client's certificate, which was verified when the connection began."""

    common_name: str
    not_after: datetime

    @classmethod
    def of(cls, found: Mapping[str, Any] | None) -> "PeerCertificate | None":
        """From what `getpeercert` gives; None where the client showed none."""
        if not found:
            return None
        names = [value for part in found.get("subject", ()) for key, value in part if key == "commonName"]
        expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(found["notAfter"]), UTC)
        return cls(names[0] if len(names) == 1 else "", expires)


def server_context(files: TlsFiles, protocols: Sequence[str] = ("http/1.1",)) -> ssl.SSLContext:
    """A context for a server; each new connection gets what the files say then. Raises Unusable.

    `protocols` are offered in ALPN. A broken pair of files (one of them is replaced already) leaves what was before.
    """
    followed = Followed(files.all, lambda: _load(files, protocols))

    def choose(connection: ssl.SSLObject | ssl.SSLSocket, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = followed.current()

    context = _load(files, protocols)
    # OpenSSL asks this at every handshake, also of clients that name no server. The new context brings its own
    # certificate and its own authorities.
    context.sni_callback = choose
    return context


def _load(files: TlsFiles, protocols: Sequence[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0
    # A resumed session is not verified again, so that an authority that was removed would still count: TLS 1.3 without
    # tickets has no resumption, older versions cannot be kept from it.
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if files.client_ca else ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(list(protocols))
    try:
        # Without a password, OpenSSL would ask for one on the terminal.
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise Unusable(f"{files.certificate} and {files.key} are no certificate with its key: {_why(error)}") from error
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except (OSError, ValueError) as error:
            raise Unusable(f"{files.client_ca} holds no certificates in PEM: {_why(error)}") from error
        context.verify_mode = ssl.CERT_REQUIRED if files.client_required else ssl.CERT_OPTIONAL
    return context


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
