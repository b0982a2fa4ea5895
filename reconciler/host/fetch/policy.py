"""Which hosts modules may be fetched from. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from reconciler.core.addresses import Address, HostRule, is_inside, normal_host, not_public, parse_address

_PLAIN = "http://"


@dataclass(frozen=True, slots=True)
class HostReach:
    """What one host may resolve to; a Policy for the HTTP client. `named` marks a host that the operator named."""

    named: bool
    rules: tuple[HostRule, ...]

    def permits(self, host: str, port: int) -> bool:
        """Every host may be named: what counts is where it leads."""
        return True

    def refusal(self, address: Address, port: int) -> str:
        """Why that address may not be connected to; empty where it may."""
        words = not_public(address)
        if not words or any(rule.opens(address, port) for rule in self.rules) or (self.named and is_inside(address)):
            return ""
        return f"{address} is {words}, and --module-hosts does not allow it"


class ModuleHosts:
    """Public addresses may be reached, and of all others those that the operator names.

    A named host may resolve to loopback and private addresses (a registry inside the cluster has an address that
    nobody knows beforehand), yet never to link-local ones or those where clouds answer with credentials: these must be
    named themselves.
    """

    def __init__(self, rules: Iterable[HostRule] = (), plain: Iterable[HostRule] = ()) -> None:
        self._plain = tuple(plain)
        self._rules = (*rules, *self._plain)

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Self:
        """`HOST[:PORT]` entries; `http://HOST[:PORT]` is a registry that is spoken to without TLS.

        ValueError, with a sentence, for the first bad entry.
        """
        written = tuple(entries)
        return cls(
            [HostRule.parse(entry) for entry in written if not entry.startswith(_PLAIN)],
            [HostRule.parse(entry.removeprefix(_PLAIN)) for entry in written if entry.startswith(_PLAIN)],
        )

    def reach(self, host: str, port: int) -> HostReach:
        """What that host may resolve to."""
        normal = normal_host(host)
        return HostReach(any(rule.names(normal, port) for rule in self._rules), self._rules)

    def without_tls(self, host: str, port: int) -> bool:
        """Whether the registry there is spoken to over plain http: it is on this machine, or was named so."""
        normal = normal_host(host)
        address = parse_address(normal)
        here = normal == "localhost" or (address is not None and address.is_loopback)
        return here or any(rule.names(normal, port) for rule in self._plain)
