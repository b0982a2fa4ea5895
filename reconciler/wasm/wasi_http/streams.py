"""Streams for guests: the engine's own, over memory and files.

The C API cannot make a stream. But a component's stdin and stdout are streams, and a host says what a store's are: so
a tiny component in the guest's store hands out its own, for the request's body and the response's. A component that
makes requests of its own, or reads stdin, needs more: for these, a second one opens files of a directory in memory.

A store's WASI is set once for a request: setting it again would invalidate all streams that it has given out.
"""

import ctypes
import itertools
import os
import shutil
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import wasmtime
import wasmtime.component as model
from wasmtime import _ffi as native

from reconciler.core.revision import InstanceSpec, PreopenDir
from reconciler.wasm.ffi.components import ComponentFfi, GuestRefused
from reconciler.wasm.ffi.values import Foreign
from reconciler.wasm.flow import Flow
from reconciler.wasm.wasi_http.memory_files import MemoryFiles
from reconciler.wasm.wasi_http.printed import Prints

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
  (import "wasi:cli/stderr@0.2.0" (instance $stderr
    (alias outer 1 $output (type $output)) (export "output-stream" (type (eq $output)))
    (export "get-stderr" (func (result (own $output))))))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
    (alias outer 1 $pollable (type $pollable)) (export "pollable" (type (eq $pollable)))
    (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
  (core func $get-stdin (canon lower (func $stdin "get-stdin")))
  (core func $get-stdout (canon lower (func $stdout "get-stdout")))
  (core func $get-stderr (canon lower (func $stderr "get-stderr")))
  (core func $subscribe (canon lower (func $clock "subscribe-duration")))
  (func (export "input") (result (own $input)) (canon lift (core func $get-stdin)))
  (func (export "output") (result (own $output)) (canon lift (core func $get-stdout)))
  (func (export "printing") (result (own $output)) (canon lift (core func $get-stderr)))
  (func (export "wait") (param "when" u64) (result (own $pollable)) (canon lift (core func $subscribe)))
)"""
"""The component that lends its streams: it imports them and exports the same functions."""

_NUMBER: Final = struct.Struct("<B7xQQQ")
_U64: Final = native.WASMTIME_COMPONENT_U64.value
_U32: Final = native.WASMTIME_COMPONENT_U32.value
FILES: Final = Path(__file__).parent / "files.wat"
"""The component that opens files."""
_BASIC: Final = ("input", "output", "printing", "wait")
_OF_FILES: Final = ("read", "write")
"""What the two lending components export."""
_DIRECTORY: Final = ".bodies"
"""What the directory is called in the store. Guests that are given no directories are not shown it."""
_FIRST_NAME: Final = ord("0")
_LAST_NAME: Final = ord("z")


class Spool:
    """A file that a guest writes. `number` names it in the directory of its streams; one without is the response's."""

    __slots__ = ("descriptor", "number")

    def __init__(self, descriptor: int, number: int | None = None) -> None:
        self.descriptor = descriptor
        self.number = number

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
    """The memory files of responses' bodies: one for each run, kept for the next."""

    def __init__(self) -> None:
        self._free: list[Spool] = []

    @contextmanager
    def lend(self) -> Iterator[Spool]:
        """A file for a run."""
        try:
            spool = self._free.pop()  # atomic: several threads take and give back
        except IndexError:
            spool = Spool(os.memfd_create("response", os.MFD_CLOEXEC))
        try:
            yield spool
        finally:
            self._free.append(spool)

    def close(self) -> None:
        """Free all that are not lent."""
        while self._free:
            self._free.pop().close()


class Lender:
    """The lending components, compiled, their linker, and the callback that takes what guests print."""

    def __init__(self, engine: wasmtime.Engine, ffi: ComponentFfi, memory: MemoryFiles) -> None:
        self.ffi = ffi
        self.memory = memory
        self._basic = model.Component(engine, LENDER)
        self._files = model.Component(engine, FILES.read_bytes())
        self._exports = _exports(self._basic, _BASIC) | _exports(self._files, _OF_FILES)
        self._linker = model.Linker(engine)
        self._linker.add_wasip2()
        self._numbers = itertools.count(1)
        self._printing: dict[int, Prints] = {}
        # The engine calls it from threads of its own; it must live as long as any store.
        self._printer = ffi.printer(self._take)

    def instantiate(self, store: wasmtime.Store, *, files: bool = False) -> model.Instance:
        """An instance in a guest's store: of the component that opens files, or of the other."""
        return self._linker.instantiate(store, self._files if files else self._basic)

    def function(self, instance: model.Instance | None, store: wasmtime.Store, name: str) -> model.Func:
        """A function that an instance exports."""
        found = None if instance is None else instance.get_func(store, self._exports[name])
        assert found is not None
        return found

    def add(self, prints: "Prints") -> int:
        """Where a guest prints to; the number is for `print_to` and `remove`."""
        number = next(self._numbers)
        self._printing[number] = prints
        return number

    def remove(self, number: int) -> None:
        """That guest is gone; what it printed last may come late, and is dropped."""
        self._printing.pop(number, None)

    def print_to(self, config: wasmtime.WasiConfig, number: int) -> None:
        """Let a guest's stderr be its prints."""
        self.ffi.print_to(config, self._printer, number)

    def _take(self, number: int, data: bytes) -> None:
        """What a guest printed; on a thread of the engine, while the guest waits."""
        prints = self._printing.get(number)
        if prints is not None:
            prints.take(data)


class Directory:
    """The files of one store: a directory in memory where there is one, which holds nothing between requests."""

    def __init__(self, memory: MemoryFiles) -> None:
        self.path = memory.directory()
        self.spools: list[Spool] = []

    def add(self, data: bytes = b"") -> Spool:
        """A new file. Raises GuestRefused where there are too many."""
        number = _FIRST_NAME + len(self.spools)
        if number > _LAST_NAME:
            raise GuestRefused(f"the component has more than {len(self.spools)} bodies at once")
        descriptor = os.open(f"{self.path}/{chr(number)}", os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self.spools.append(Spool(descriptor, number))
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        return self.spools[-1]

    def size(self) -> int:
        """Bytes in all of it, whoever made the files."""
        with os.scandir(self.path) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)

    def clear(self) -> None:
        """The request is over."""
        if self.spools:
            shutil.rmtree(self.path, ignore_errors=True)
            os.makedirs(self.path, 0o700, exist_ok=True)
        for spool in self.spools:
            spool.close()
        self.spools.clear()

    def close(self) -> None:
        """Free it."""
        self.clear()
        shutil.rmtree(self.path, ignore_errors=True)


class Streams:
    """The streams of one store. `response` is where the response's body goes, `prints` what goes to the log."""

    def __init__(self, lender: Lender, store: wasmtime.Store, spec: InstanceSpec, *, files: bool) -> None:
        self._lender = lender
        self._store = store
        self._spec = spec
        self._instances: list[model.Instance | None] = [None, None]
        self._functions: dict[str, model.Func] = {}
        self.prints = Prints()
        self._number = lender.add(self.prints)
        self._directory = Directory(lender.memory) if files else None
        self.response: Spool | Flow

    def open(self, request: bytes, response: Spool | Flow) -> None:
        """Begin a request, whose body that is; or that flows. Raises OSError."""
        self.response = response
        config = wasmtime.WasiConfig()
        try:
            config.argv = [self._spec.plugin]
            if self._spec.env:
                config.env = self._spec.env
            self._lender.print_to(config, self._number)
            config.stdout_file = f"/proc/self/fd/{response.descriptor}"
            if isinstance(response, Flow) and response.request >= 0:
                config.stdin_file = f"/proc/self/fd/{response.request}"
            elif request:
                _set_stdin(config, request)
            if self._directory is not None:
                config.preopen_dir(self._directory.path, _DIRECTORY, True)
            for directory in self._spec.preopens:
                _preopen(config, directory)
            self._store.set_wasi(config)
        finally:
            config.close()

    def end(self) -> None:
        """The request is over."""
        if self._directory is not None:
            self._directory.clear()
        self.prints.clear()

    def close(self) -> None:
        """The store is closed."""
        if self._directory is not None:
            self._directory.close()
        self._lender.remove(self._number)

    def request(self) -> Foreign:
        """The stream of the request's body."""
        return self._lend("input")

    def output(self, spool: Spool | Flow) -> Foreign:
        """A stream that writes to a file: the response's, or one from `spool`."""
        return self._lend("output") if spool.number is None else self._lend("write", _number(_U32, spool.number))

    def input(self, data: bytes) -> Foreign:
        """A stream that reads those bytes."""
        spool = self._files().add(data)
        return self._lend("read", _number(_U32, spool.number or 0))

    def spool(self) -> Spool:
        """One more file, until the request is over."""
        return self._files().add()

    def printing(self) -> Foreign:
        """A stream to the log."""
        return self._lend("printing")

    def wait(self, nanoseconds: int) -> Foreign:
        """A pollable that is ready after that time."""
        return self._lend("wait", _number(_U64, nanoseconds))

    def written(self) -> int:
        """Bytes in all files of the request."""
        return self.response.size() + (self._directory.size() if self._directory is not None else 0)

    def _files(self) -> Directory:
        if self._directory is None:
            raise GuestRefused("the component has no files")
        return self._directory

    def _lend(self, name: str, *args: bytes) -> Foreign:
        function = self._functions.get(name)
        if function is None:
            lender = self._lender
            files = name in _OF_FILES
            if self._instances[files] is None:
                self._instances[files] = lender.instantiate(self._store, files=files)
            function = self._functions[name] = lender.function(self._instances[files], self._store, name)
        return Foreign(_NUMBER.unpack(self._lender.ffi.call(self._store, function, *args))[1])


def _exports(component: model.Component, names: tuple[str, ...]) -> dict[str, model.ExportIndex]:
    """Where a component's functions are: to look them up by name in each instance takes longer than to call them."""
    found = {name: component.get_export_index(name) for name in names}
    return {name: index for name, index in found.items() if index is not None}


def _number(kind: int, value: int) -> bytes:
    """An integer as the engine takes it."""
    return _NUMBER.pack(kind, value, 0, 0)


def _preopen(config: wasmtime.WasiConfig, directory: PreopenDir) -> None:
    try:
        config.preopen_dir(directory.host, directory.guest, not directory.read_only)
    except wasmtime.WasmtimeError as error:
        error.close()
        raise OSError(f"the directory {directory.host} cannot be opened") from None


def _set_stdin(config: wasmtime.WasiConfig, data: bytes) -> None:
    vector = native.wasm_byte_vec_t()
    native.wasm_byte_vec_new(
        ctypes.byref(vector), len(data), ctypes.cast(ctypes.c_char_p(data), ctypes.POINTER(ctypes.c_uint8))
    )
    native.wasi_config_set_stdin_bytes(config.ptr(), ctypes.byref(vector))
