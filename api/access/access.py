"""Who is calling, and whether they may.

Belongs here: from what a caller shows to a principal and a role. Does not: HTTP (guard.py).
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from api.access.credentials import Credentials, Role, Token
from api.followed import Followed
from api.tls import PeerCertificate

READ_VERBS: Final = frozenset({"get", "list", "watch"})
"""The verbs, as Kubernetes names them, that change nothing."""

ANONYMOUS: Final = "anonymous"


class Unknown(Exception):
    """It cannot be told who is calling. `str()` says why. `shown`: whether the caller showed a token at all."""

    def __init__(self, message: str, *, shown: bool) -> None:
        super().__init__(message)
        self.shown = shown


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller. `via` is `token`, `certificate` or `open`; without a role a caller may do nothing."""

    name: str
    role: Role | None
    via: str


class Access(Protocol):
    """Knows callers and their rights."""

    def identify(self, authorization: str | None, certificate: PeerCertificate | None) -> Principal:
        """Who shows this header, over a connection with that certificate. Raises Unknown."""

    def may(self, principal: Principal, verb: str) -> bool:
        """Whether they may do that. `verb` is one of Kubernetes' (`get`, `create`, ...)."""


def may(principal: Principal, verb: str) -> bool:
    """What the roles mean: read reads, write does all."""
    return principal.role is Role.WRITE or (principal.role is Role.READ and verb in READ_VERBS)


class OpenAccess:
    """For a port that asks nobody who they are: whoever reaches it may do all."""

    def identify(self, authorization: str | None, certificate: PeerCertificate | None) -> Principal:
        """Anybody. A token is not looked at."""
        return Principal(ANONYMOUS, Role.WRITE, "open")

    def may(self, principal: Principal, verb: str) -> bool:
        """Yes."""
        return may(principal, verb)


class FileAccess:
    """Tokens and certificates as a file lists them at this moment. `now` tells the time, with its zone."""

    def __init__(self, credentials: Followed[Credentials], now: Callable[[], datetime]) -> None:
        self._credentials = credentials
        self._now = now

    def identify(self, authorization: str | None, certificate: PeerCertificate | None) -> Principal:
        """The owner of the token; without a token, the certificate's subject."""
        if authorization is not None:
            return self._by_token(authorization)
        if certificate is not None:
            return self._by_certificate(certificate)
        raise Unknown("this needs a token: send the header Authorization: Bearer TOKEN", shown=False)

    def may(self, principal: Principal, verb: str) -> bool:
        """As their role says."""
        return may(principal, verb)

    def _by_token(self, authorization: str) -> Principal:
        scheme, _, shown = authorization.strip().partition(" ")
        if scheme.lower() != "bearer" or not shown.strip():
            raise Unknown("only bearer tokens are taken: send Authorization: Bearer TOKEN", shown=True)
        token = self._find(hashlib.sha256(shown.strip().encode("latin-1", "replace")).digest())
        if token is None:
            raise Unknown("that token is not known here", shown=True)
        if token.expired(self._now()):
            raise Unknown(f"the token of {token.name} has expired; ask for a new one", shown=True)
        return Principal(token.name, token.role, "token")

    def _find(self, digest: bytes) -> Token | None:
        """Looks at every token, so that the time taken does not tell which one nearly fits."""
        found = None
        for token in self._credentials.current().tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found

    def _by_certificate(self, certificate: PeerCertificate) -> Principal:
        if certificate.not_after <= self._now():
            raise Unknown(f"the certificate of {certificate.common_name} has expired", shown=False)
        entries = self._credentials.current().certificates
        role = next((entry.role for entry in entries if entry.commonName == certificate.common_name), None)
        return Principal(certificate.common_name, role, "certificate")
