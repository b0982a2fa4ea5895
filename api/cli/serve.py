"""Running the daemon: `serve`."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from api import daemon, logs
from api.cli.frame import DIRECTORY, FILE, PREFIX, command
from api.settings import Address, LogFormat, LogLevel, ServeSettings
from specs.model import parse_seconds

MOST_WORKERS: Final = 64
"""Worker processes, each of which is linked with all others."""


class _AddressType(click.ParamType[Address]):
    """HOST:PORT."""

    name = "host:port"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Address:
        """The address, or a usage error that says what one looks like."""
        if isinstance(value, Address):
            return value
        try:
            return Address.parse(value)
        except ValueError as ex:
            self.fail(str(ex), param, ctx)


class _SecondsType(click.ParamType[float]):
    """A duration, as spec files have them."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, or a usage error that says what a duration looks like."""
        try:
            return parse_seconds(value)
        except ValueError as ex:
            self.fail(str(ex), param, ctx)


class _WorkersType(click.ParamType[int]):
    """A number of processes, or `auto`."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number, or a usage error."""
        if value == "auto":
            return len(os.sched_getaffinity(0))
        if str(value).isascii() and str(value).isdigit() and int(value) <= MOST_WORKERS:
            return int(value)
        return self.fail(f"{value!r} is not a number up to {MOST_WORKERS}, nor auto", param, ctx)


def default_state() -> Path:
    """`$XDG_STATE_HOME/wasm-reconciler`, or below `~/.local/state` where that is not set."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "wasm-reconciler"


def _option(flag: str, **attributes: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(flag, show_envvar=True, show_default=attributes.pop("show_default", True), **attributes)


@command(
    "serve",
    "wasm-reconciler serve --specs specs --module-root .",
    context_settings={"auto_envvar_prefix": PREFIX},
)
@_option("--config", multiple=True, type=FILE, metavar="FILE", help="A config.json; may be given again.")
@_option("--specs", multiple=True, type=DIRECTORY, metavar="DIR", help="A directory of spec files; may be given again.")
@_option("--stores", type=FILE, metavar="FILE", help="Names the key-value stores that plugins may read.")
@_option("--admin", type=_AddressType(), default="127.0.0.1:34998", metavar="HOST:PORT", help="The admin port.")
@_option("--listen", type=_AddressType(), default="127.0.0.1:2045", metavar="HOST:PORT", help="The data plane.")
@_option(
    "--state",
    type=DIRECTORY,
    default=default_state,
    show_default="$XDG_STATE_HOME/wasm-reconciler",
    metavar="DIR",
    help="The daemon's own directory: compiled modules, stores.",
)
@_option("--module-root", type=DIRECTORY, default=".", metavar="DIR", help="Where module paths start.")
@_option(
    "--module-hosts",
    multiple=True,
    metavar="HOST[:PORT]",
    help="A private or loopback host that modules may be fetched from; http://HOST[:PORT] for a registry without TLS.",
)
@_option(
    "--registry-auth", type=FILE, metavar="FILE", help="Passwords for image registries, as `docker login` writes them."
)
@_option("--allow-image-tags", is_flag=True, help="Accept images by tag, without a digest; what runs may then change.")
@_option("--namespace", default="default", metavar="NAME", help="The namespace that kubectl sees the plugins in.")
@_option("--tokens", type=FILE, metavar="FILE", help="Who may do what on the admin port; else everybody may do all.")
@_option("--admin-host", multiple=True, metavar="NAME", help="A name in Host headers to the admin port.")
@_option("--admin-insecure", is_flag=True, help="Open the admin port to a network without tokens or TLS.")
@_option("--admin-tls-cert", type=FILE, metavar="FILE", help="The admin port's certificate chain, in PEM.")
@_option("--admin-tls-key", type=FILE, metavar="FILE", help="Its key.")
@_option("--admin-client-ca", type=FILE, metavar="FILE", help="Authorities of client certificates; see --tokens.")
@_option("--tls-cert", type=FILE, metavar="FILE", help="The data plane's certificate chain, in PEM.")
@_option("--tls-key", type=FILE, metavar="FILE", help="Its key.")
@_option("--client-ca", type=FILE, metavar="FILE", help="Authorities that every client's certificate must be from.")
@_option("--metrics-open", is_flag=True, help="Let /metrics be read without a token.")
@_option(
    "--traces", is_flag=True, help="Send traces, to where OTEL_EXPORTER_OTLP_ENDPOINT says; needs the extra [otel]."
)
@_option(
    "--drain-timeout",
    type=_SecondsType(),
    default="15s",
    metavar="DURATION",
    help="How long requests may go on after SIGTERM.",
)
@_option(
    "--workers",
    type=_WorkersType(),
    default="0",
    metavar="N|auto",
    help="Processes that run the plugins, so that a crash of one is no crash of all; auto: as many as cores; 0: none.",
)
@_option(
    "--kube",
    default="",
    show_default=False,
    metavar="URL",
    help="Follow the WasmPlugin objects of that Kubernetes API or daemon; in-cluster: of the pod's own.",
)
@_option("--kube-selector", default="", show_default=False, metavar="LABELS", help="Only objects with these labels.")
@_option("--kube-token", type=FILE, metavar="FILE", help="The bearer token to show there.")
@_option("--kube-ca", type=FILE, metavar="FILE", help="Authorities of its certificate, in PEM.")
@_option("--node", default="", show_default="the host's name", metavar="NAME", help="This daemon's name there.")
@_option("--workload", default="", show_default=False, metavar="NAME", help="What it is a part of there.")
@_option("--log-level", type=click.Choice(LogLevel, case_sensitive=False), default="info", help="What is logged.")
@_option("--log-format", type=click.Choice(LogFormat, case_sensitive=False), default="text", help="How it is logged.")
def serve(**flags: Any) -> None:
    """Run the plugins that the files ask for, until SIGTERM.

    Each option can be given as an environment variable too, as shown; several paths are separated by ':'.
    """
    settings = ServeSettings(**flags)
    logs.configure(settings.log_level, settings.log_format, sys.stderr)
    sys.exit(daemon.run(settings))
