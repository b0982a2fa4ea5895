"""Streams for guests: the engine's own, over memory and memory files.

The C API cannot make a stream. But a component's stdin and stdout are streams, and what they read and write is set for
a store, again and again: so a tiny component in the guest's store hands out its own. The guest's stdin is empty, and
what it prints goes to the log: `wasi:cli/stdin` and `stdout` are ours (system.py).
"""

import ctypes
import os
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import wasmtime
import wasmtime.component as model
from wasmtime import _ffi as native

from reconciler.core.revision import InstanceSpec
from reconciler.wasm.ffi.components import ComponentFfi
from reconciler.wasm.ffi.values import Foreign

LENDER: Final = b"""(component
  (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource)))))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "input-stream" (type (sub resource)))
    (export "output-stream" (type (sub resource)))))
  (alias export $poll "pollable" (type $pollable))
  (alias export $streams "input-stream" (type $input))
  (alias export $streams "output-stream" (type $output))
  (import "wasi:cli/stdin@0.2.0" (instance $stdin
    (alias outer 1 $input (type $input)) (export "input-stream" (type (eq $input)))
    (export "get-stdin" (func (result (own $input))))))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $output (type $output)) (export "output-stream" (type (eq $output)))
    (export "get-stdout" (func (result (own $output))))))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $pollable)) (export "pollable" (type (eq $pollable)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (core func $get-stdin (canon lower (func $stdin "get-stdin")))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (func (export "input") (result (own $input)) (canon lift (core func $get-stdin)))
  (func (export "output") (result (own $output)) (canon lift (core func $get-stdout)))
  (func (export "wait") (param "when" u64) (result (own $pollable)) (canon lift (core func $subscribe)))
)"""
"""The component that lends its streams: it imports them and exports the same functions."""

_NUMBER: Final = struct.Struct("<B7xQQQ")
_U64: Final = native.WASMTIME_COMPONENT_U64.value


class Spool:
    """A memory file that a guest writes. Emptied when it is opened for writing again."""

    __slots__ = ("descriptor", "path")

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("guest", os.MFD_CLOEXEC)
        self.path = f"/proc/self/fd/{self.descriptor}"

    def size(self) -> int:
        """Bytes written."""
        return os.fstat(self.descriptor).st_size

    def read(self, size: int) -> bytes:
        """The first bytes."""
        return os.pread(self.descriptor, size, 0)

    def close(self) -> None:
        """Free it."""
        os.close(self.descriptor)


class Spools:
    """The two files of each run: its response's body, and what it prints. Kept for the next run."""

    def __init__(self) -> None:
        self._free: list[tuple[Spool, Spool]] = []

    @contextmanager
    def lend(self) -> Iterator[tuple[Spool, Spool]]:
        """Two files for a run."""
        try:
            pair = self._free.pop()  # atomic: several threads take and give back
        except IndexError:
            pair = (Spool(), Spool())
        try:
            yield pair
        finally:
            self._free.append(pair)

    def close(self) -> None:
        """Free all that are not lent."""
        while self._free:
            for spool in self._free.pop():
                spool.close()


class Lender:
    """The lending component, compiled, and a linker with all of the engine's WASI, which the guest's linker has too."""

    def __init__(self, engine: wasmtime.Engine, ffi: ComponentFfi) -> None:
        self.ffi = ffi
        self._component = model.Component(engine, LENDER)
        self._linker = model.Linker(engine)
        self._linker.add_wasip2()

    def instantiate(self, store: wasmtime.Store) -> model.Instance:
        """An instance in a guest's store."""
        return self._linker.instantiate(store, self._component)

    def close(self) -> None:
        """Free it. Idempotent."""
        self._linker.close()
        self._component.close()


class Streams:
    """The streams of one store. `response` is where the response's body goes, `printed` what goes to stderr."""

    def __init__(
        self, lender: Lender, store: wasmtime.Store, spec: InstanceSpec, environment: Mapping[str, str]
    ) -> None:
        self._lender = lender
        self._store = store
        self._spec = spec
        self._environment = environment
        self._instance: model.Instance | None = None
        self._functions: dict[str, model.Func] = {}
        self._stdin = b""
        self._stdout: Spool | None = None
        self._extra: list[Spool] = []
        self.printed: list[Spool] = []
        self.response: Spool

    def open(self, request: bytes, response: Spool, printed: Spool) -> None:
        """Begin a request: what the next `input` and `output` most likely are for. Raises OSError."""
        self.response = response
        self.printed = [printed]
        self._configure(request, response, printed)

    def close(self) -> None:
        """The request is over."""
        for spool in self._extra:
            spool.close()
        self._extra.clear()

    def input(self, data: bytes) -> Foreign:
        """A stream that reads those bytes."""
        if data is not self._stdin:
            self._configure(data, self._stdout, self._more_printed())
        self._stdin = b""
        return self._lend("input")

    def output(self, spool: Spool) -> Foreign:
        """A stream that writes to a file, which is emptied."""
        if spool is not self._stdout:
            self._configure(self._stdin, spool, self._more_printed())
        self._stdout = None
        return self._lend("output")

    def wait(self, nanoseconds: int) -> Foreign:
        """A pollable that is ready after that time."""
        return self._lend("wait", _NUMBER.pack(_U64, nanoseconds, 0, 0))

    def spool(self) -> Spool:
        """One more file, until the request is over."""
        spool = Spool()
        self._extra.append(spool)
        return spool

    def written(self) -> int:
        """Bytes in all files of the request."""
        return self.response.size() + self.printed[0].size() + sum(spool.size() for spool in self._extra)

    def _more_printed(self) -> Spool:
        spool = self.spool()
        self.printed.append(spool)
        return spool

    def _lend(self, name: str, *args: bytes) -> Foreign:
        if self._instance is None:
            self._instance = self._lender.instantiate(self._store)
        function = self._functions.get(name)
        if function is None:
            found = self._instance.get_func(self._store, name)
            assert found is not None
            function = self._functions[name] = found
        return Foreign(_NUMBER.unpack(self._lender.ffi.call(self._store, function, *args))[1])

    def _configure(self, stdin: bytes, stdout: Spool | None, stderr: Spool) -> None:
        """Give the store its WASI anew: streams that were handed out before stay what they were.

        A file is emptied when the engine opens it, so one that was handed out must not be given again.
        """
        config = wasmtime.WasiConfig()
        try:
            config.argv = [self._spec.plugin]
            config.env = self._environment.items()
            config.stderr_file = stderr.path
            if stdin:
                _set_stdin(config, stdin)
            if stdout is not None:
                config.stdout_file = stdout.path
            for directory in self._spec.preopens:
                try:
                    config.preopen_dir(directory.host, directory.guest, not directory.read_only)
                except wasmtime.WasmtimeError as error:
                    error.close()
                    raise OSError(f"the directory {directory.host} cannot be opened") from None
            self._store.set_wasi(config)
        finally:
            config.close()
        self._stdin, self._stdout = stdin, stdout


def _set_stdin(config: wasmtime.WasiConfig, data: bytes) -> None:
    vector = native.wasm_byte_vec_t()
    native.wasm_byte_vec_new(
        ctypes.byref(vector), len(data), ctypes.cast(ctypes.c_char_p(data), ctypes.POINTER(ctypes.c_uint8))
    )
    native.wasi_config_set_stdin_bytes(config.ptr(), ctypes.byref(vector))
