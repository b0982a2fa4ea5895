"""WASI preview 1 for programs that run once: arguments, environment, streams, directories.

Most functions are the engine's own. Three are not:

- fd_write, where the program has no directories: the engine would hand each write to a thread of its own, which takes
  ten times as long. With directories, a descriptor may be a file, so there the engine writes.
- poll_oneoff: the engine's sleeps on past the deadline of the call.
- clock_time_get: so that an absolute time means the same to poll_oneoff.

Belongs here: what a program sees of the outside. Does not: what its output means (cgi.py), when it runs
(wasi_command.py). The only module besides the package ffi that uses the engine's C API.
"""

import ctypes
import errno
import itertools
import struct
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, cast

import wasmtime
from wasmtime import _ffi as native

from reconciler.core.revision import PreopenDir
from reconciler.wasm import preview1
from reconciler.wasm.ffi.memory import GuestMemory, OutOfBoundsError
from reconciler.wasm.ffi.seam import Ffi, Guest, Signature
from reconciler.wasm.pace import take_turn

_NO_SPACE: Final = 51
"""errno nospc of wasi_snapshot_preview1.witx."""

_MAX_VECTORS: Final = 1024
_MAX_WRITE: Final = 2**20
_VECTOR: Final = struct.Struct("<II")
"""A ciovec: address and length."""
"""Bytes that one write takes; of more, a part is taken, which the program is told as POSIX has it."""

_STDOUT: Final = 1
_STDERR: Final = 2


class Sink(Protocol):
    """Where a stream of a program goes. May be called from another thread than the program's, one call at a time."""

    def write(self, data: bytes) -> bool:
        """Take some bytes; False where no more are taken. Must not raise."""


@dataclass(slots=True, eq=False)
class Run:
    """One run of a program. `deadline` is in monotonic seconds; `guest` is set once the program is instantiated."""

    deadline: float
    stdin: bytes
    stdout: Sink
    stderr: Sink
    environment: Mapping[str, str]
    guest: Guest
    turns: int = 0
    """See pace.py."""


class _Current(threading.local):
    """Which run is under way on this thread: host functions are linked once and ask here.

    It is None while no program runs on the thread, and then no host function does; hence the cast.
    """

    run: Run = cast("Run", None)


class Wasi:
    """WASI for programs of one engine. Safe to use from several threads."""

    def __init__(self, ffi: Ffi) -> None:
        self._ffi = ffi
        self._current = _Current()
        self._api = _ConfigApi()
        self._numbers = itertools.count(1)
        self._running: dict[int, Run] = {}
        # The engine calls these from threads of its own; they must live as long as any store.
        self._callbacks = {number: self._api.callback(partial(self._take, number)) for number in (_STDOUT, _STDERR)}

    def link(self, linker: wasmtime.Linker, imports: Sequence[str], *, directories: bool) -> tuple[object, ...]:
        """Define what a program imports of WASI. What is returned must live as long as its instances."""
        linker.allow_shadowing = True
        linker.define_wasi()
        functions: dict[str, tuple[str, Callable[..., int]]] = {
            "poll_oneoff": ("iiii", self._poll_oneoff),
            "clock_time_get": ("iIi", self._clock_time_get),
        }
        if not directories:
            functions["fd_write"] = ("iiii", self._fd_write)
        kept = []
        for name in imports:
            if name in functions:
                params, function = functions[name]
                types = ["i64" if letter == "I" else "i32" for letter in params]
                signature = Signature(types, ["i32"], fault=preview1.FAULT, broken=preview1.IO)
                kept.append(self._ffi.define(linker, preview1.MODULE, name, signature, function, self._pause))
        return tuple(kept)

    def open(self, store: wasmtime.Store, run: Run, arguments: Sequence[str], directories: Sequence[PreopenDir]) -> int:
        """Give a store its WASI; a number for `close`. Raises OSError where a directory cannot be opened."""
        number = next(self._numbers)
        config = wasmtime.WasiConfig()
        try:
            self._api.set_arguments(config, arguments)
            self._api.set_environment(config, run.environment)
            if run.stdin:
                self._api.set_stdin(config, run.stdin)
            for directory in directories:
                self._api.add_directory(config, directory)
            if directories:
                for descriptor, callback in self._callbacks.items():
                    self._api.set_output(config, descriptor, callback, number)
            store.set_wasi(config)
        finally:
            config.close()
        self._running[number] = run
        return number

    def close(self, number: int) -> None:
        """The run is over; its store was closed before."""
        self._running.pop(number, None)

    def _pause(self) -> None:
        take_turn(self._current.run)

    def enter(self, run: Run) -> Run:
        """Make it the run of this thread. What was under way before, for `leave`."""
        before, self._current.run = self._current.run, run
        return before

    def leave(self, before: Run) -> None:
        """The run is no longer under way."""
        self._current.run = before

    def _take(self, descriptor: int, number: int, data: bytes) -> bool:
        """What the engine's fd_write writes. A run that is over takes nothing: its last write may come late."""
        run = self._running.get(number)
        if run is None:
            return False
        return (run.stdout if descriptor == _STDOUT else run.stderr).write(data)

    def _memory(self) -> GuestMemory:
        memory = self._current.run.guest.memory
        if memory is None:  # a wasm start function runs before the memory is known
            raise OutOfBoundsError
        return memory

    def _fd_write(self, descriptor: int, vectors: int, count: int, written_at: int) -> int:
        run = self._current.run
        if descriptor not in (_STDOUT, _STDERR):
            return preview1.BAD_DESCRIPTOR
        if count > _MAX_VECTORS:
            return preview1.INVALID
        memory = run.guest.memory
        if memory is None:
            raise OutOfBoundsError
        memory.check(written_at, 4)
        parts = []
        room = _MAX_WRITE
        for address, length in _VECTOR.iter_unpack(memory.read(vectors, _VECTOR.size * count)):
            size = min(length, room)
            parts.append(memory.read(address, size))
            room -= size
        data = b"".join(parts)
        if not (run.stdout if descriptor == _STDOUT else run.stderr).write(data):
            run.guest.set_deadline(0)  # the answer is lost: running on would only print more
            return _NO_SPACE
        memory.write_u32(written_at, len(data))
        return preview1.SUCCESS

    def _clock_time_get(self, clock: int, _precision: int, time_at: int) -> int:
        return preview1.clock_time_get(self._memory(), clock, time_at)

    def _poll_oneoff(self, subscriptions: int, events: int, count: int, count_at: int) -> int:
        run = self._current.run
        return preview1.poll_oneoff(
            run.guest,
            self._memory(),
            run.deadline,
            subscriptions=subscriptions,
            events=events,
            count=count,
            count_at=count_at,
        )


class _ConfigApi:
    """The C API of WASI's configuration.

    The package's own class keeps the callbacks of all stores in one list that no lock guards, and takes no bytes for
    stdin.
    """

    def __init__(self) -> None:
        library = ctypes.CDLL(native.dll._name)
        word, size, strings = ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_char_p)
        self._callback_type = ctypes.CFUNCTYPE(ctypes.c_ssize_t, word, word, size)
        self._set_argv = ctypes.CFUNCTYPE(ctypes.c_bool, word, size, strings)(("wasi_config_set_argv", library))
        self._set_env = ctypes.CFUNCTYPE(ctypes.c_bool, word, size, strings, strings)(("wasi_config_set_env", library))
        self._new_bytes = ctypes.CFUNCTYPE(None, word, size, ctypes.c_char_p)(("wasm_byte_vec_new", library))
        self._set_stdin = ctypes.CFUNCTYPE(None, word, word)(("wasi_config_set_stdin_bytes", library))
        output = ctypes.CFUNCTYPE(None, word, self._callback_type, word, word)
        self._set_output = {
            _STDOUT: output(("wasi_config_set_stdout_custom", library)),
            _STDERR: output(("wasi_config_set_stderr_custom", library)),
        }

    def callback(self, write: Callable[[int, bytes], bool]) -> Any:
        """A C function that writes to a numbered run."""

        def called(number: int, data: int, size: int) -> int:
            return size if write(number, ctypes.string_at(data, size)) else -errno.ENOSPC

        return self._callback_type(called)

    def set_arguments(self, config: wasmtime.WasiConfig, arguments: Sequence[str]) -> None:
        self._set_argv(config.ptr(), len(arguments), _strings(arguments))

    def set_environment(self, config: wasmtime.WasiConfig, environment: Mapping[str, str]) -> None:
        names, values = _strings(environment.keys()), _strings(environment.values())
        self._set_env(config.ptr(), len(environment), names, values)

    def set_stdin(self, config: wasmtime.WasiConfig, data: bytes) -> None:
        vector = native.wasm_byte_vec_t()
        self._new_bytes(ctypes.addressof(vector), len(data), data)
        self._set_stdin(config.ptr(), ctypes.addressof(vector))

    def set_output(self, config: wasmtime.WasiConfig, descriptor: int, callback: Any, number: int) -> None:
        self._set_output[descriptor](config.ptr(), callback, number, None)

    def add_directory(self, config: wasmtime.WasiConfig, directory: PreopenDir) -> None:
        try:
            config.preopen_dir(directory.host, directory.guest, not directory.read_only)
        except wasmtime.WasmtimeError as error:
            error.close()
            raise OSError(f"the directory {directory.host} cannot be opened") from None


def _strings(texts: Iterable[str]) -> Any:
    """An array of C strings."""
    encoded = [text.encode("utf-8", "replace") for text in texts]
    return (ctypes.c_char_p * len(encoded))(*encoded)
