"""Which Host and Origin headers are taken, so that a web page cannot make a browser drive the admin port.

A page's own name can be made to mean 127.0.0.1 (DNS rebinding); the browser then sends that name as the Host. And a
page can send a form to any address; the browser then says in Origin where the page came from.
"""

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final

from api.settings import Address

_HOST: Final = re.compile(r"(?:\[(?P<bracketed>[0-9a-f:.]+)\]|(?P<plain>[a-z0-9._-]+))(?::[0-9]*)?")


@dataclass(frozen=True, slots=True)
class HostRule:
    """The names by which the port may be called, besides localhost.

    `any_address` takes every IP address too: a page cannot make one mean another machine.
    """

    names: frozenset[str]
    any_address: bool

    def allows(self, header: str) -> bool:
        """Whether a Host header is one of ours. The port in it does not matter."""
        host = _host(header)
        if host in self.names or host == "localhost":
            return True
        address = _address(host)
        return address is not None and (self.any_address or address.is_loopback)


def host_rule(listen: Address, names: tuple[str, ...]) -> HostRule:
    """The rule for a port that listens there and is called by these names too."""
    return HostRule(frozenset(name.lower().rstrip(".") for name in names), any_address=not is_loopback(listen))


def is_loopback(address: Address) -> bool:
    """Whether only this machine can reach it. False where the name means no address."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return bool(found) and all(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_loopback for entry in found)


def same_origin(origin: str, host_header: str) -> bool:
    """Whether a page from `origin` was itself served by the host that the request is sent to."""
    scheme, separator, rest = origin.partition("://")
    return bool(separator) and scheme in ("http", "https") and rest.lower() == host_header.lower()


def _host(header: str) -> str:
    """The host of a Host header, without its port and without brackets; empty where that is no host."""
    found = _HOST.fullmatch(header.strip().lower())
    return (found["bracketed"] or found["plain"]).rstrip(".") if found else ""


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
