"""What a daemon is told when it starts: plain values.

Does not belong here: reading flags (`cli.py`), acting on them (`daemon.py`).
"""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class LogFormat(StrEnum):
    """How log lines are written."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """The least serious lines that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. Port 0 lets the system choose a free one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """`HOST:PORT` or `[IPV6]:PORT`. ValueError for anything else."""
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        if not colon or not host or (":" in host and not bracketed):
            raise ValueError(f"{text!r} is not HOST:PORT; write for example 127.0.0.1:34998 or [::1]:34998")
        if not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise ValueError(f"{text!r} has no port between 0 and 65535; write for example 127.0.0.1:34998")
        return cls(host[1:-1] if bracketed else host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class ServeSettings:
    """All that `serve` needs.

    `config` are the config.json files and `specs` the directories of spec files; either may be empty. `stores`
    is the file that names key-value stores. `state` is the daemon's own directory. Module paths are relative to
    `module_root` and may not leave it. `module_hosts` are hosts at addresses that are not public, which modules may be
    fetched from all the same; `registry_auth` is a file with registries' passwords. `namespace` is the one that the
    Kubernetes API says its plugins are in.

    `tokens` is the file of who may do what on the admin port; None lets everybody who reaches it do all. `admin_host`
    are names that the admin port is called by, besides localhost. `admin_insecure` opens it to a network without
    credentials or TLS, `metrics_open` lets metrics be read without a token. `tls_*` and `client_ca` are the data
    plane's files in PEM, `admin_tls_*` and `admin_client_ca` the admin port's. `drain_timeout` is how long requests may
    go on after SIGTERM, in seconds. `workers` is how many processes hold the pools and answer requests; 0: this one.

    `kube` is the Kubernetes API whose WasmPlugin objects are followed (empty: none), of `namespace`, by
    `kube_selector`; `kube_token` and `kube_ca` are files. `node` is this daemon's name there (empty: the host's), and
    `workload` what it is a part of.
    """

    config: tuple[Path, ...]
    specs: tuple[Path, ...]
    stores: Path | None
    admin: Address
    listen: Address
    state: Path
    module_root: Path
    log_level: LogLevel = LogLevel.INFO
    log_format: LogFormat = LogFormat.TEXT
    module_hosts: tuple[str, ...] = ()
    registry_auth: Path | None = None
    allow_image_tags: bool = False
    namespace: str = "default"
    traces: bool = False
    tokens: Path | None = None
    admin_host: tuple[str, ...] = ()
    admin_insecure: bool = False
    admin_tls_cert: Path | None = None
    admin_tls_key: Path | None = None
    admin_client_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    client_ca: Path | None = None
    metrics_open: bool = False
    drain_timeout: float = 15.0
    workers: int = 0
    kube: str = ""
    kube_selector: str = ""
    kube_token: Path | None = None
    kube_ca: Path | None = None
    node: str = ""
    workload: str = ""
