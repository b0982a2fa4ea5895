"""The least host that can run the modules of this repository: so that they are tested before our own host is.

Belongs here: the host functions that those modules import, over plain dictionaries, and calls of exports. Does
not: anything that a guest of somebody else would need, limits, time. It shares no code with `reconciler`.
"""

import struct
from collections.abc import Callable
from pathlib import Path

import wasmtime

OK, NOT_FOUND, INTERNAL_FAILURE = 0, 1, 10
REQUEST_BODY, RESPONSE_BODY, PLUGIN_CONFIGURATION, CALL_DATA = 0, 1, 7, 8
REQUEST_HEADERS, RESPONSE_HEADERS = 0, 2


class StubHost:
    """One instance of a module, and what it was given and left."""

    def __init__(self, engine: wasmtime.Engine, path: Path) -> None:
        self.module = wasmtime.Module.from_file(engine, str(path))
        self.buffers: dict[int, bytes] = {}
        self.headers: dict[int, dict[str, str]] = {REQUEST_HEADERS: {}, RESPONSE_HEADERS: {}}
        self.state: dict[tuple[str, str], bytes] = {}
        self.services: dict[str, Callable[[bytes], bytes]] = {}
        self.lines: list[str] = []
        self.local_response: tuple[int, bytes] | None = None
        self._store = wasmtime.Store(engine)
        self._store.set_wasi(wasmtime.WasiConfig())
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        for wanted in self.module.imports:
            if wanted.module == "env" and isinstance(wanted.type, wasmtime.FuncType):
                linker.define_func("env", str(wanted.name), wanted.type, getattr(self, f"_{wanted.name}"))
        self._exports = linker.instantiate(self._store, self.module).exports(self._store)
        memory = self._exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        self._memory = memory

    def close(self) -> None:
        self._store.close()

    def has(self, name: str) -> bool:
        return any(export.name == name for export in self.module.exports)

    def call(self, name: str, *arguments: int) -> int | None:
        function = self._exports[name]
        assert isinstance(function, wasmtime.Func)
        result: int | None = function(self._store, *arguments)
        return result

    def start(self, configuration: bytes = b"") -> None:
        """Run what runs once: the entry, the root context, the configuration."""
        self.buffers[PLUGIN_CONFIGURATION] = configuration
        for name, arguments in (
            ("_initialize", ()),
            ("_start", ()),
            ("proxy_on_context_create", (1, 0)),
            ("proxy_on_vm_start", (1, 0)),
            ("proxy_on_configure", (1, len(configuration))),
        ):
            if self.has(name):
                assert self.call(name, *arguments) in (None, 1), name

    def ask(self, body: bytes, context: int = 2) -> tuple[int, bytes]:
        """One request as Layotto drives it: the action that the body's callback returned, and the response body."""
        self.buffers[REQUEST_BODY] = body
        self.buffers[RESPONSE_BODY] = b""
        if self.has("proxy_on_context_create"):
            self.call("proxy_on_context_create", context, 1)
        if self.has("proxy_on_request_headers"):
            self.call("proxy_on_request_headers", context, len(self.headers[REQUEST_HEADERS]), 0)
        action = self.call("proxy_on_request_body", context, len(body), 1)
        assert action is not None
        for name in ("proxy_on_done", "proxy_on_delete"):
            if self.has(name):
                self.call(name, context)
        return action, self.buffers[RESPONSE_BODY]

    def memory_pages(self) -> int:
        return self._memory.size(self._store)

    def read(self, address: int, size: int) -> bytes:
        return bytes(self._memory.read(self._store, address, address + size))

    def read_pair(self, address: int) -> tuple[int, int]:
        first, second = struct.unpack("<II", self.read(address, 8))
        return first, second

    def _text(self, address: int, size: int) -> str:
        return self.read(address, size).decode()

    def hand_over(self, value: bytes, address_out: int, size_out: int) -> int:
        """Give bytes to the guest the way hosts do: into its own memory, address and size where it says."""
        allocate = "proxy_on_memory_allocate" if self.has("proxy_on_memory_allocate") else "malloc"
        address = self.call(allocate, len(value))
        assert address
        self._memory.write(self._store, value, address)
        self._memory.write(self._store, struct.pack("<I", address), address_out)
        self._memory.write(self._store, struct.pack("<I", len(value)), size_out)
        return OK

    def _proxy_log(self, _level: int, text: int, size: int) -> int:
        self.lines.append(self._text(text, size))
        return OK

    def _proxy_set_effective_context(self, _context: int) -> int:
        return OK

    def _proxy_get_buffer_bytes(self, buffer: int, start: int, most: int, address_out: int, size_out: int) -> int:
        if buffer not in self.buffers:
            return NOT_FOUND
        return self.hand_over(self.buffers[buffer][start : start + (most & 0xFFFFFFFF)], address_out, size_out)

    def _proxy_set_buffer_bytes(self, buffer: int, _start: int, _length: int, data: int, size: int) -> int:
        self.buffers[buffer] = self.read(data, size)
        return OK

    def _proxy_get_header_map_pairs(self, headers: int, address_out: int, size_out: int) -> int:
        pairs = [(key.encode(), value.encode()) for key, value in self.headers[headers].items()]
        sizes = b"".join(struct.pack("<II", len(key), len(value)) for key, value in pairs)
        texts = b"".join(key + b"\0" + value + b"\0" for key, value in pairs)
        return self.hand_over(struct.pack("<I", len(pairs)) + sizes + texts, address_out, size_out)

    def _proxy_get_header_map_value(self, headers: int, key: int, size: int, address_out: int, size_out: int) -> int:
        value = self.headers[headers].get(self._text(key, size))
        return NOT_FOUND if value is None else self.hand_over(value.encode(), address_out, size_out)

    def _proxy_add_header_map_value(self, headers: int, key: int, key_size: int, value: int, size: int) -> int:
        self.headers[headers][self._text(key, key_size)] = self._text(value, size)
        return OK

    _proxy_replace_header_map_value = _proxy_add_header_map_value

    def _proxy_remove_header_map_value(self, headers: int, key: int, size: int) -> int:
        self.headers[headers].pop(self._text(key, size), None)
        return OK

    def _proxy_send_local_response(self, status: int, _d: int, _ds: int, body: int, size: int, *_rest: int) -> int:
        self.local_response = (status, self.read(body, size))
        return OK

    def _proxy_call_foreign_function(self, *_arguments: int) -> int:
        return NOT_FOUND

    def _proxy_get_state(
        self, store: int, store_size: int, key: int, key_size: int, address_out: int, size_out: int
    ) -> int:
        value = self.state.get((self._text(store, store_size), self._text(key, key_size)), b"")
        return self.hand_over(value, address_out, size_out)

    def _proxy_invoke_service(
        self, route: int, route_size: int, _m: int, _ms: int, body: int, size: int, address_out: int, size_out: int
    ) -> int:
        service = self.services.get(self._text(route, route_size))
        if service is None:
            return INTERNAL_FAILURE
        return self.hand_over(service(self.read(body, size)), address_out, size_out)


def run_command(path: Path, folder: Path, variables: dict[str, str], body: bytes) -> bytes:
    """What a WASI command prints. `folder` takes its standard input and output, which wasmtime wants as files."""
    (folder / "in").write_bytes(body)
    with (
        wasmtime.Engine() as engine,
        wasmtime.Module.from_file(engine, str(path)) as module,
        wasmtime.Store(engine) as store,
    ):
        wasi = wasmtime.WasiConfig()
        wasi.env = list(variables.items())
        wasi.stdin_file = str(folder / "in")
        wasi.stdout_file = str(folder / "out")
        store.set_wasi(wasi)
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        start = linker.instantiate(store, module).exports(store)["_start"]
        assert isinstance(start, wasmtime.Func)
        try:
            start(store)
        except wasmtime.ExitTrap as exit_:
            assert exit_.code == 0
    return (folder / "out").read_bytes()
