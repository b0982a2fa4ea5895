"""The admin port's access checks and both ports' TLS, made of settings. For the composition root.

Belongs here: which flags belong together, and what may not be started. Does not: what the parts do.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from api.access.access import Access, FileAccess, OpenAccess
from api.access.credentials import read_credentials
from api.access.guard import METRICS_PATH, OPEN_PATHS, Guard
from api.access.hosts import HostRule, host_rule, is_loopback
from api.followed import Followed, Unusable
from api.settings import ServeSettings
from api.tls import HTTP_1_AND_2, TlsFiles, server_context


@dataclass(frozen=True, slots=True)
class AccessParts:
    """The contexts are None for a port that speaks plain HTTP. `open_paths` need no credentials."""

    access: Access
    hosts: HostRule
    open_paths: frozenset[str]
    admin_tls: ssl.SSLContext | None
    data_tls: ssl.SSLContext | None

    def guard(self) -> Guard:
        """The admin app's first middleware."""
        return Guard(self.access, self.hosts, self.open_paths)


def access_parts(
    settings: ServeSettings, now: Callable[[], datetime], public: frozenset[str] = frozenset()
) -> AccessParts:
    """Raises Unusable: files that do not fit together, or a port that nobody should open like this.

    `public` are paths that tell nothing about the node, such as the page's own files.
    """
    admin_tls = _tls_files("--admin-", settings.admin_tls_cert, settings.admin_tls_key, settings.admin_client_ca)
    problem = exposure_problem(settings)
    if problem:
        raise Unusable(problem)
    access: Access = OpenAccess()
    if settings.tokens is not None:
        tokens = settings.tokens
        access = FileAccess(Followed([tokens], lambda: read_credentials(tokens)), now)
    return AccessParts(
        access=access,
        hosts=host_rule(settings.admin, settings.admin_host),
        open_paths=OPEN_PATHS | public | ({METRICS_PATH} if settings.metrics_open else frozenset()),
        admin_tls=None if admin_tls is None else server_context(admin_tls),
        data_tls=data_tls(settings),
    )


def data_tls(settings: ServeSettings) -> ssl.SSLContext | None:
    """The data plane's, None for plain HTTP. Raises Unusable."""
    files = _tls_files("--", settings.tls_cert, settings.tls_key, settings.client_ca, client_required=True)
    return None if files is None else server_context(files, HTTP_1_AND_2)


def exposure_problem(settings: ServeSettings) -> str | None:
    """Why the admin port must not be opened like this, and what to do; None where it may.

    Nobody shall open it to a network by accident.
    """
    if settings.admin_client_ca is not None and settings.tokens is None:
        return "--admin-client-ca needs --tokens FILE, which says under `certificates` what each client may do"
    if settings.admin_insecure or is_loopback(settings.admin):
        return None
    missing = []
    if settings.tokens is None:
        missing.append("--tokens FILE")
    if settings.admin_tls_cert is None:
        missing.append("--admin-tls-cert FILE and --admin-tls-key FILE")
    if not missing:
        return None
    return (
        f"the admin port at {settings.admin} can be reached from other machines, and whoever reaches it can run code"
        f" here: add {' and '.join(missing)}, listen on 127.0.0.1, or say --admin-insecure"
    )


def _tls_files(
    prefix: str, certificate: Path | None, key: Path | None, client_ca: Path | None, *, client_required: bool = False
) -> TlsFiles | None:
    if certificate is None and key is None and client_ca is None:
        return None
    if certificate is None or key is None:
        raise Unusable(f"TLS needs both {prefix}tls-cert FILE and {prefix}tls-key FILE")
    return TlsFiles(certificate, key, client_ca, client_required)
