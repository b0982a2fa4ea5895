"""One request of a component: the resources that the guest holds, and what it answered."""

import threading
from dataclasses import dataclass
from typing import Final, TypeVar, cast

from reconciler.core.observed import Failure
from reconciler.core.revision import InstanceSpec
from reconciler.wasm.ffi.components import GuestRefused
from reconciler.wasm.ffi.values import Own
from reconciler.wasm.flow import Flow
from reconciler.wasm.kind import CallContext, GuestServices, Request
from reconciler.wasm.wasi_http.streams import Streams

MAX_RESOURCES: Final = 10_000
"""Resources of this host that a guest may hold at once: one that never lets go of any is stopped."""

Kind = TypeVar("Kind", bound="Resource")


class Resource:
    """Something of this host that a guest holds a handle to. `number` is the type's, for the engine."""

    number = 0

    __slots__ = ()

    def dropped(self) -> None:
        """The guest let go of it."""


@dataclass(slots=True, eq=False)
class Run:
    """One request under way. `first` is the first number that no resource of the store has had.

    `flow` is there where the bodies flow. `answer` is the response that the guest set, `error` the error that it set
    instead; `stopped` says why we ended the guest, where we did.
    """

    spec: InstanceSpec
    services: GuestServices
    request: Request
    call: CallContext
    streams: Streams
    resources: dict[int, Resource]
    first: int = 1
    flow: Flow | None = None
    answer: Resource | None = None
    error: str = ""
    stopped: Failure | None = None

    def give(self, resource: Resource) -> Own:
        """Let the guest own it. Raises GuestRefused where it holds too many."""
        if len(self.resources) >= MAX_RESOURCES:
            raise GuestRefused(f"the component holds more than {MAX_RESOURCES} resources of the host")
        rep = self.first
        self.first += 1
        self.resources[rep] = resource
        return Own(resource.number, rep)

    def get(self, rep: int | None, kind: type[Kind]) -> Kind:
        """What the guest lent. Raises GuestRefused for a handle that outlived its request."""
        found = self.resources.get(rep or 0)
        if not isinstance(found, kind):
            raise GuestRefused(f"this handle of a {kind.__name__} is not of this request")
        return found

    def take(self, rep: int | None, kind: type[Kind]) -> Kind:
        """What the guest gave away. Raises GuestRefused as `get` does."""
        found = self.get(rep, kind)
        del self.resources[rep or 0]
        return found

    def drop(self, rep: int) -> None:
        """The guest let go of a resource."""
        found = self.resources.pop(rep, None)
        if found is not None:
            found.dropped()


class Current(threading.local):
    """Which run is under way on this thread: host functions are linked once and ask here.

    It is None while no component runs on the thread, and then no host function does; hence the cast.
    """

    run: Run = cast("Run", None)
