"""Host functions about the plugin itself: its log, clock, timer, contexts, properties."""

import time
from collections.abc import Iterable

from reconciler.wasm.proxy_wasm import abi, properties
from reconciler.wasm.proxy_wasm.hostcalls import HostCall, HostCallGroup
from reconciler.wasm.proxy_wasm.state import MAX_LINE, MAX_NAME, MAX_PROPERTY_BYTES

_MIN_PERIOD = 0.01
"""Seconds; a guest that asks for a faster timer gets this one."""


class PluginCalls(HostCallGroup):
    """Log, clock, timer, contexts, properties."""

    def calls(self) -> Iterable[HostCall]:
        """The functions of the group."""
        return (
            HostCall("proxy_log", "iii", self.log),
            HostCall("proxy_get_log_level", "i", self.log_level),
            HostCall("proxy_get_current_time_nanoseconds", "i", self.now),
            HostCall("proxy_set_tick_period_milliseconds", "i", self.set_tick_period),
            HostCall("proxy_set_effective_context", "i", self.set_context),
            HostCall("proxy_done", "", self.done),
            HostCall("proxy_get_status", "iii", self.status),
            HostCall("proxy_get_property", "iiii", self.get_property),
            HostCall("proxy_set_property", "iiii", self.set_property),
            HostCall("proxy_call_foreign_function", "iiiiii", self.foreign),
        )

    def log(self, level: int, address: int, size: int) -> int:
        """Write a line to the plugin's log."""
        state = self._current.state
        if size > MAX_LINE:
            state.memory.check(address, size)
        text = state.memory.read(address, min(size, MAX_LINE))
        if level > abi.CRITICAL:
            return abi.BAD_ARGUMENT
        state.log(level, text if size <= MAX_LINE else text + b"...")
        return abi.OK

    def log_level(self, level_at: int) -> int:
        """The least level that is worth logging."""
        state = self._current.state
        state.memory.write_u32(level_at, state.facts.services.log_level())
        return abi.OK

    def now(self, time_at: int) -> int:
        """The time since the epoch of Unix, all 64 bits of it."""
        self._current.state.memory.write(time_at, time.time_ns().to_bytes(8, "little"))
        return abi.OK

    def set_tick_period(self, milliseconds: int) -> int:
        """Ask for proxy_on_tick that often; 0 for never."""
        state = self._current.state
        state.tick_period = max(milliseconds / 1000, _MIN_PERIOD) if milliseconds else 0.0
        state.tick_due = time.monotonic() + state.tick_period
        return abi.OK

    def set_context(self, context: int) -> int:
        """Let what follows be about another context: the root's, or one of a request."""
        state = self._current.state
        if context == abi.ROOT:
            state.stream = None
            return abi.OK
        stream = state.contexts.get(context)
        if stream is None:
            return abi.BAD_ARGUMENT
        state.stream = stream
        return abi.OK

    def done(self) -> int:
        """A context whose proxy_on_done answered false may be deleted now."""
        state = self._current.state
        stream = state.stream
        if stream is None or not stream.waits:
            return abi.NOT_FOUND
        stream.waits = False
        if state.done is None:
            state.done = []
        state.done.append(stream)
        return abi.OK

    def status(self, code_at: int, address_at: int, size_at: int) -> int:
        """The status of the HTTP call whose response is being told."""
        state = self._current.state
        result = state.result
        state.memory.write_u32(code_at, 0 if result is None else result.status)
        return state.give(b"" if result is None else result.message.encode(), address_at, size_at)

    def get_property(self, path: int, path_size: int, address_at: int, size_at: int) -> int:
        """A property of the request or the plugin."""
        state = self._current.state
        if path_size > MAX_NAME:
            return abi.BAD_ARGUMENT
        value = properties.lookup(state, state.memory.read(path, path_size))
        return abi.NOT_FOUND if value is None else state.give(value, address_at, size_at)

    def set_property(self, path: int, path_size: int, value: int, value_size: int) -> int:
        """Set a property of the guest's own."""
        state = self._current.state
        if path_size + value_size > MAX_PROPERTY_BYTES:
            return abi.BAD_ARGUMENT
        return state.set_property(state.memory.read(path, path_size), state.memory.read(value, value_size))

    def foreign(
        self, name: int, name_size: int, arguments: int, arguments_size: int, _address_at: int, _size_at: int
    ) -> int:
        """No foreign functions are registered here."""
        memory = self._current.state.memory
        memory.check(name, name_size)
        memory.check(arguments, arguments_size)
        return abi.NOT_FOUND
