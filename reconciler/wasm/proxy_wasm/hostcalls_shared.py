"""Host functions about what instances share: data, queues, metrics."""

from collections.abc import Iterable

from reconciler.wasm.proxy_wasm import abi
from reconciler.wasm.proxy_wasm.hostcalls import HostCall, HostCallGroup


class SharedDataCalls(HostCallGroup):
    """Shared data and queues."""

    def calls(self) -> Iterable[HostCall]:
        """The functions of the group."""
        return (
            HostCall("proxy_get_shared_data", "iiiii", self.get),
            HostCall("proxy_set_shared_data", "iiiii", self.set),
            HostCall("proxy_register_shared_queue", "iii", self.register),
            HostCall("proxy_resolve_shared_queue", "iiiii", self.resolve),
            HostCall("proxy_enqueue_shared_queue", "iii", self.enqueue),
            HostCall("proxy_dequeue_shared_queue", "iii", self.dequeue),
            HostCall("proxy_remove_shared_queue", "i", self.unimplemented),
        )

    def get(self, key: int, key_size: int, address_at: int, size_at: int, cas_at: int) -> int:
        """A value and its compare-and-swap number."""
        state = self._current.state
        state.memory.check(cas_at, 4)
        found = state.facts.space.get(state.memory.read(key, key_size))
        if found is None:
            return abi.NOT_FOUND
        value, cas = found
        state.memory.write_u32(cas_at, cas)
        return state.give(value, address_at, size_at)

    def set(self, key: int, key_size: int, value: int, value_size: int, cas: int) -> int:
        """Set a value, if `cas` is 0 or the current number."""
        state = self._current.state
        if not state.may_act():
            return abi.INTERNAL_FAILURE
        return state.facts.space.set(state.memory.read(key, key_size), state.memory.read(value, value_size), cas)

    def register(self, name: int, name_size: int, number_at: int) -> int:
        """Make or open a queue, and be told of its items."""
        state = self._current.state
        state.memory.check(number_at, 4)
        number = state.facts.space.register_queue(state.memory.read(name, name_size))
        if not number:
            return abi.INTERNAL_FAILURE
        if state.queues is None:
            state.queues = set()
        state.queues.add(number)
        state.memory.write_u32(number_at, number)
        return abi.OK

    def resolve(self, vm: int, vm_size: int, name: int, name_size: int, number_at: int) -> int:
        """Find a queue of this namespace. The VM is the namespace's name, the plugin's, or empty."""
        state = self._current.state
        wanted = state.memory.read(vm, vm_size).decode("utf-8", "replace")
        queue = state.memory.read(name, name_size)
        facts = state.facts
        if wanted not in ("", facts.spec.namespace, facts.spec.plugin):
            return abi.NOT_FOUND
        number = facts.space.resolve_queue(queue)
        if not number:
            return abi.NOT_FOUND
        state.memory.write_u32(number_at, number)
        return abi.OK

    def enqueue(self, number: int, value: int, value_size: int) -> int:
        """Put an item at a queue's end."""
        state = self._current.state
        if not state.may_act():
            return abi.INTERNAL_FAILURE
        return state.facts.space.enqueue(number, state.memory.read(value, value_size))

    def dequeue(self, number: int, address_at: int, size_at: int) -> int:
        """Take the item at a queue's front."""
        state = self._current.state
        state.memory.check(address_at, 4)
        state.memory.check(size_at, 4)
        if not state.may_act():
            return abi.INTERNAL_FAILURE
        status, item = state.facts.space.dequeue(number)
        return state.give(item, address_at, size_at) if status == abi.OK else status

    def unimplemented(self, _number: int) -> int:
        """A queue that others may have open is not removed."""
        return abi.UNIMPLEMENTED


class MetricCalls(HostCallGroup):
    """Metrics."""

    def calls(self) -> Iterable[HostCall]:
        """The functions of the group."""
        return (
            HostCall("proxy_define_metric", "iiii", self.define),
            HostCall("proxy_record_metric", "iI", self.record),
            HostCall("proxy_increment_metric", "iI", self.increment),
            HostCall("proxy_get_metric", "ii", self.get),
            HostCall("proxy_remove_metric", "i", self.unimplemented),
        )

    def define(self, kind: int, name: int, name_size: int, number_at: int) -> int:
        """Define a metric, or find it."""
        state = self._current.state
        state.memory.check(number_at, 4)
        text = state.memory.read(name, name_size).decode("utf-8", "replace")
        if kind > abi.HISTOGRAM or len(text) > 1024:
            return abi.BAD_ARGUMENT
        status, number = state.facts.space.define_metric(kind, text)
        if status == abi.OK:
            state.memory.write_u32(number_at, number)
        return status

    def record(self, number: int, value: int) -> int:
        """Set a metric, or add a record to a histogram."""
        state = self._current.state
        return state.facts.space.record_metric(number, value, state.later())

    def increment(self, number: int, delta: int) -> int:
        """Change a metric by a signed amount."""
        signed = delta - (1 << 64) if delta >= 1 << 63 else delta
        state = self._current.state
        return state.facts.space.increment_metric(number, signed, state.later())

    def get(self, number: int, value_at: int) -> int:
        """A metric's value."""
        state = self._current.state
        if state.later() and not state.may_act():  # the guest would miss its own changes
            return abi.INTERNAL_FAILURE
        value = state.facts.space.metric(number)
        if value is None:
            return abi.NOT_FOUND
        state.memory.write(value_at, (value & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little"))
        return abi.OK

    def unimplemented(self, _number: int) -> int:
        """A metric that others may count in is not removed."""
        return abi.UNIMPLEMENTED
