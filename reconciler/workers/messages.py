"""What the control process and a worker process say to each other. Plain frozen values; each kind goes one way.

Both ends are of one version, as one is forked from the other: nothing here needs to be understood by older ones.
"""

from dataclasses import dataclass

from reconciler.core.observed import ObservedPlugin
from reconciler.core.plan import Action
from reconciler.host.router import Expectation


@dataclass(frozen=True, slots=True)
class Apply:
    """To a worker: do these, wait up to `patience` seconds for what that began, and say what there is then.

    `number` grows with each.
    """

    number: int
    actions: tuple[Action, ...]
    patience: float


@dataclass(frozen=True, slots=True)
class Expect:
    """To a worker: plugins that are desired, or (None) no longer. `number` as in Apply."""

    number: int
    plugins: tuple[tuple[str, Expectation | None], ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Which workers can answer for a plugin: on `route`, and on `alias` where its module calls itself something else.

    No workers: none can.
    """

    plugin: str
    route: str = ""
    alias: str = ""
    workers: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Placed:
    """To a worker: what changed about who can answer."""

    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class Meet:
    """To a worker: the socket that comes with this leads to another worker."""

    peer: int


@dataclass(frozen=True, slots=True)
class Open:
    """To a worker: take requests from now on."""


@dataclass(frozen=True, slots=True)
class Drain:
    """To a worker: take no more connections, let requests end for so many seconds. Answered by Drained."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Quit:
    """To a worker: close every instance and end."""


@dataclass(frozen=True, slots=True)
class Seen:
    """From a worker: all that it has of these plugins, after it did what `applied` and all before it said.

    `changed` are those of them of which a pass may be wanted.
    """

    applied: int
    plugins: tuple[ObservedPlugin, ...] = ()
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Queued:
    """From a worker: how many requests wait at it, by route; routes that nobody waits on are left out."""

    waiting: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Drained:
    """From a worker: its connections are closed; `clean` unless requests were cut."""

    clean: bool


@dataclass(frozen=True, slots=True)
class Told:
    """From a worker: something for whoever put the processes together (counts, log lines). It is passed on as it is."""

    content: object


@dataclass(frozen=True, slots=True)
class Fork:
    """To the nursery: make the worker with that number; its sockets come with this."""

    worker: int


@dataclass(frozen=True, slots=True)
class Kill:
    """To the nursery: end that process, if it is still there."""

    pid: int


@dataclass(frozen=True, slots=True)
class Forked:
    """From the nursery: that worker is the process `pid`."""

    worker: int
    pid: int


@dataclass(frozen=True, slots=True)
class Ended:
    """From the nursery: the process `pid` ended; `code` is its exit code, or minus the signal that killed it."""

    pid: int
    code: int
