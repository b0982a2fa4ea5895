"""Calls between guests: how deep they may go, and when waiting would be for ever.

A call that a guest makes runs on the guest's own thread and leases the callee's instance directly. Where the
callee's pool is full, the caller would wait while it holds its own instance: in a cycle that never ends. So before
a call waits, the host asks whether anybody who holds an instance there can go on without it.
"""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Final, Protocol

from reconciler.host.pool import Pool
from reconciler.host.router import Group

MAX_DEPTH: Final = 16
"""Calls within calls, the outermost counted."""


class Chain:
    """One request's way through guests: who it waits for, if it waits. Guarded by the host's lock."""

    __slots__ = ("waiting_for",)

    def __init__(self) -> None:
        self.waiting_for: Group | None = None


class Holder(Protocol):
    """Whoever holds an instance."""

    chain: Chain


def would_wait_for_ever(group: Group, chain: Chain, holders: Mapping[Pool, AbstractSet["Holder"]]) -> bool:
    """Whether all instances behind a group are held by chains that, directly or not, wait for `chain`.

    A pool that is starting instances, or is due to, may free the way: then no.
    """
    seen: set[int] = set()
    pending = [group]
    while pending:
        current = pending.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        if not current.pools:
            return False
        for pool in current.pools:
            held = holders.get(pool, frozenset())
            if pool.job_running or len(held) < pool.target:
                return False
            for holder in held:
                if holder.chain is chain:
                    continue
                if holder.chain.waiting_for is None:
                    return False
                pending.append(holder.chain.waiting_for)
    return True
