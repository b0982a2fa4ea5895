"""Which hosts and addresses may be reached: the rules of `allowedHosts`, and what is no public address.

A name says nothing about where it leads, so there are two questions: may this host be named, and may the address that
it resolved to be connected to. Belongs here: the answers. Does not: resolving and connecting (reconciler.wasm.egress).
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAME: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_NOT_PUBLIC: Final = tuple(
    ipaddress.ip_network(text)
    for text in (
        "100.64.0.0/10",  # carriers' shared space, and where some clouds keep their metadata
        "2001::/32",  # Teredo and
        "2002::/16",  # 6to4: tunnels that end at an IPv4 address inside
        "fec0::/10",  # site-local
    )
)


def parse_address(text: str) -> Address | None:
    """The address that a text is, with or without brackets; None for a name, and for an address with a zone.

    An IPv4 address that is written as IPv6 (mapped, or behind NAT64) is that IPv4 address.
    """
    if "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text[1:-1] if text.startswith("[") and text.endswith("]") else text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def normal_host(text: str) -> str:
    """One spelling for each host: lower case, no final dot, addresses without brackets in their shortest form."""
    address = parse_address(text)
    return text.lower().removesuffix(".") if address is None else str(address)


def not_public(address: Address) -> str:
    """Why an address from parse_address is not on the public internet, as `a loopback address`; empty where it is."""
    for found, words in (
        (address.is_unspecified, "the unspecified address"),
        (address.is_loopback, "a loopback address"),
        (address.is_link_local, "a link-local address"),
        (address.is_multicast, "a multicast address"),
        (address.is_reserved, "a reserved address"),
        (address.is_private or not address.is_global, "a private address"),
    ):
        if found:
            return words
    return "a private address" if any(address in network for network in _NOT_PUBLIC) else ""


_METADATA: Final = frozenset(map(ipaddress.ip_address, ("100.100.100.200", "fd00:ec2::254")))
"""Where clouds keep an instance's credentials, besides the link-local 169.254.169.254."""


def is_inside(address: Address) -> bool:
    """Whether an address is on this machine or on a private network, where services of one's own are.

    Link-local, multicast and reserved addresses are not, nor are those where clouds answer with credentials.
    """
    if address.is_loopback:
        return True
    if address in _METADATA or address.is_link_local or address.is_unspecified:
        return False
    return not_public(address) == "a private address"


@dataclass(frozen=True, slots=True)
class HostRule:
    """One entry of `allowedHosts`. `port` None means any; `subdomains` marks `*.HOST`, which leaves HOST itself out."""

    host: str
    port: int | None = None
    subdomains: bool = False

    @classmethod
    def parse(cls, text: str) -> Self:
        """`host`, `host:port`, `*.example.com`, an address, `[v6]:port`. ValueError, with a sentence, for the rest."""
        if parse_address(text) is not None:
            return cls(normal_host(text))
        host, colon, digits = text.rpartition(":")
        port = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 6 else 0
        if not colon:
            host = text
        elif not 0 < port < 65536:
            raise ValueError(f"{text!r} is no host: write host or host:port, without a scheme or a path")
        subdomains = host.startswith("*.")
        host = host.removeprefix("*.")
        address = parse_address(host) is not None
        if (address and subdomains) or not (address or _NAME.fullmatch(host)):
            raise ValueError(f"{text!r} is no host: write host, host:port or *.example.com")
        return cls(normal_host(host), port if colon else None, subdomains)

    def names(self, host: str, port: int) -> bool:
        """Whether a host, in its normal spelling, is meant."""
        if self.port not in (None, port):
            return False
        return host.endswith("." + self.host) if self.subdomains else host == self.host

    def opens(self, address: Address, port: int) -> bool:
        """Whether the rule names that very address, so that it may be reached although it is not public."""
        if self.subdomains or self.port not in (None, port):
            return False
        return self.host == str(address) or (self.host == "localhost" and address.is_loopback)


class HostPolicy:
    """What may be reached: the hosts that a rule names, at public addresses, or at addresses that a rule names.

    So `db.internal` needs two entries, its name and its address; and a name whose DNS answer turns to 127.0.0.1 is
    refused. Without rules, nothing may be reached.
    """

    def __init__(self, rules: Iterable[HostRule]) -> None:
        self._rules = tuple(rules)

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Self:
        """The policy of an `allowedHosts` list. ValueError, with a sentence, for the first bad entry."""
        return cls(HostRule.parse(entry) for entry in entries)

    def permits(self, host: str, port: int) -> bool:
        """Whether that host may be named, however it is spelt."""
        normal = normal_host(host)
        return any(rule.names(normal, port) for rule in self._rules)

    def refusal(self, address: Address, port: int) -> str:
        """Why an address that a permitted host resolved to may not be connected to; empty where it may."""
        words = not_public(address)
        if not words or any(rule.opens(address, port) for rule in self._rules):
            return ""
        return f"{address} is {words}, and allowedHosts does not name it"
