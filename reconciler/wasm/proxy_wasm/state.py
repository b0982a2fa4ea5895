"""What host functions know of the instance that called them.

One GuestState for each instance. It is small: ten thousand instances have ten thousand of them, so what is rarely
used is None until it is.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, cast

from reconciler.core.addresses import HostPolicy
from reconciler.core.observed import Failure
from reconciler.core.revision import InstanceSpec
from reconciler.wasm.egress import EgressRequest
from reconciler.wasm.failures import failure_of
from reconciler.wasm.ffi.memory import GuestMemory
from reconciler.wasm.ffi.seam import GUEST_ERRORS, Guest
from reconciler.wasm.kind import CallContext, GuestServices, Headers
from reconciler.wasm.proxy_wasm import abi
from reconciler.wasm.proxy_wasm.shared import SharedSpace
from reconciler.wasm.proxy_wasm.stream import Body, Stream

MAX_LINE: Final = 8192
"""Bytes of one log line; what a guest says beyond is cut."""

MAX_CALL_DATA: Final = 1 << 16
MAX_PROPERTIES: Final = 256
MAX_PROPERTY_BYTES: Final = 1 << 16
"""Paths and values that a guest keeps with one request, or with the instance."""
MAX_NAME: Final = 1 << 16
"""Bytes of what a guest gives to name something: a key, a store, a route, a queue, a property."""


@dataclass(frozen=True, slots=True)
class PluginFacts:
    """What all instances of one prepared guest share."""

    spec: InstanceSpec
    services: GuestServices
    space: SharedSpace
    policy: HostPolicy
    configuration: bytes
    allocator: int
    """The export that allocates guest memory, as Guest.call takes it; -1 for none."""


@dataclass(slots=True)
class PendingCall:
    """An HTTP call that the guest dispatched and the host still has to make."""

    number: int
    request: EgressRequest
    timeout: float


@dataclass(slots=True)
class CallResult:
    """What came back, while proxy_on_http_call_response runs. No headers means that the call failed."""

    headers: Headers
    body: bytes
    status: int
    message: str = ""
    trailers: Headers = field(default_factory=list)


class GuestState:
    """The host's side of one instance."""

    __slots__ = (
        "allocating",
        "call",
        "call_data",
        "calls_made",
        "contexts",
        "done",
        "facts",
        "guest",
        "lines",
        "memory",
        "pending",
        "properties",
        "queues",
        "result",
        "spoilt",
        "starting_vm",
        "stream",
        "tick_due",
        "tick_period",
    )

    def __init__(self, facts: PluginFacts, guest: Guest, memory: GuestMemory) -> None:
        self.facts = facts
        self.guest = guest
        self.memory = memory
        self.call: CallContext | None = None
        self.allocating = False
        self.spoilt: Failure | None = None
        """Why its allocator failed: the guest goes on to the end of its callback, and is not used again."""
        self.stream: Stream | None = None
        """The effective context; None is the root context."""
        self.contexts: dict[int, Stream] = {}
        self.call_data: Body = b""
        self.starting_vm = False
        self.tick_period = 0.0
        self.tick_due = 0.0
        self.calls_made = 0
        self.pending: list[PendingCall] | None = None
        self.result: CallResult | None = None
        self.done: list[Stream] | None = None
        """Contexts whose guest said proxy_done, to be deleted when its callback returned."""
        self.queues: set[int] | None = None
        self.properties: dict[bytes, bytes] | None = None
        self.lines: dict[int, bytes] | None = None
        """What was written to stdout and stderr after the last line end."""

    def give(self, data: Body, address_at: int, size_at: int) -> int:
        """Hand bytes to the guest in memory that it allocates and then owns. A status; may raise OutOfBoundsError."""
        size, memory = len(data), self.memory
        address = 0
        if size:
            address = self.allocate(size)
            if not address:
                return abi.INTERNAL_FAILURE
            memory.write(address, data)
        memory.write_u32(address_at, address)
        memory.write_u32(size_at, size)
        return abi.OK

    def allocate(self, size: int) -> int:
        """Guest memory of that size; 0 where the guest cannot or will not.

        An allocator that asks for something that must be allocated gets nothing: it would nest the host's frames until
        Python has no more of them, and then a host function cannot even fail.
        """
        allocator = self.facts.allocator
        if allocator < 0 or self.allocating:
            return 0
        self.allocating = True
        try:
            return self.guest.call(allocator, size)
        except GUEST_ERRORS as error:
            self.spoilt = failure_of(error, "the allocator")
            self.guest.set_deadline(0)
            return 0
        finally:
            self.allocating = False

    def may_act(self) -> bool:
        """Whether the guest may do now what cannot be done twice, or wait. If not, it ends at its next step."""
        call = self.call
        if call is None or call.may_act():
            return True
        self.guest.set_deadline(0)
        return False

    def later(self) -> list[Callable[[], object]] | None:
        """Where changes are put off to until a brief call is over; None where they are made at once."""
        call = self.call
        if call is None or not call.brief:
            return None
        if call.later is None:
            call.later = []
        return call.later

    def log(self, level: int, text: bytes) -> None:
        """Write a line to the plugin's log, cut to MAX_LINE."""
        line = text[:MAX_LINE].decode("utf-8", "replace")
        if len(text) > MAX_LINE:
            line += f" ... ({len(text)} bytes)"
        call = self.call
        self.facts.services.log(level, line, call.request_id if call is not None else "")

    def set_property(self, path: bytes, value: bytes) -> int:
        """Keep a property of the guest's own with its request, or with the instance. A status."""
        holder: Stream | GuestState = self if self.stream is None else self.stream
        kept = holder.properties
        if kept is None:
            kept = {}
            holder.properties = kept
        held = sum(map(len, kept)) + sum(map(len, kept.values()))
        if (path not in kept and len(kept) >= MAX_PROPERTIES) or held + len(path) + len(value) > MAX_PROPERTY_BYTES:
            return abi.INTERNAL_FAILURE
        kept[path] = value
        return abi.OK

    def own_property(self, path: bytes) -> bytes | None:
        """A property that the guest set."""
        if self.stream is not None and self.stream.properties is not None and path in self.stream.properties:
            return self.stream.properties[path]
        return None if self.properties is None else self.properties.get(path)


class Current(threading.local):
    """Which instance runs on this thread. Host functions are linked once for all instances and ask here.

    Set by whoever calls into a guest, and set back afterwards: calls nest where guests call guests. It is None while
    no guest runs on the thread, and then no host function runs either; hence the cast.
    """

    state: GuestState = cast("GuestState", None)
