"""The guest kind wasi-command: a program that runs once for each request, as CGI has it.

Any language that compiles to WASI is a plugin. The request is in the environment and on stdin, the answer goes to
stdout (cgi.py), stderr to the plugin's log. Every request gets a fresh instance, so nothing that a program does to
itself outlives it: a slot of the pool is never spoilt, and no failure here is fatal.
"""

import json
import time
from typing import Final

import wasmtime

from reconciler.core.observed import Failure, GuestInfo
from reconciler.core.revision import InstanceSpec
from reconciler.core.states import NextStep, Reason
from reconciler.wasm import cgi, kind, preview1, wasi
from reconciler.wasm.engine import CompiledModule, Engine
from reconciler.wasm.failures import failure_of
from reconciler.wasm.ffi.seam import GUEST_ERRORS, UnboundGuest
from reconciler.wasm.kind import (
    CallContext,
    ExportShape,
    GuestFailed,
    GuestServices,
    ModuleRefused,
    ModuleShape,
    Request,
    Response,
)

NAME: Final = "wasi-command"

_ENTRY: Final = ExportShape("_start", "func")
_CONFIG_VARIABLE: Final = "PLUGIN_CONFIG"
_ERROR_LEVEL: Final = 4
"""proxy-wasm's level for what a program prints on stderr."""
_MAX_LINE: Final = 8192
_MAX_LOG: Final = 65_536
"""Bytes of stderr that are logged of one run."""
_START_FUEL: Final = 1 << 62
"""Fuel for a start, which `limits.startTimeout` bounds."""


class WasiCommandKind:
    """Programs that export `_start`. Components that are programs are wasi_http/command.py's."""

    name = NAME

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.wasi = wasi.Wasi(engine.ffi)

    def recognise(self, shape: ModuleShape) -> bool:
        """Whether a module exports `_start` and is no filter. What it imports is judged, and named, by `prepare`."""
        return "_start" in shape.exports and not any(name.startswith("proxy_") for name in shape.exports)

    def prepare(self, module: kind.CompiledModule, spec: InstanceSpec, services: GuestServices) -> "PreparedCommand":
        """Link a program. Raises ModuleRefused: no `_start`, no memory, imports that are not WASI's."""
        if not isinstance(module, CompiledModule) or module.module is None:
            raise _refused(Reason.UNSUPPORTED_ABI, "this is a component; a WASI command is a core module")
        shape = module.shape
        if shape.exports.get("_start") != _ENTRY:
            raise _refused(Reason.MISSING_EXPORT, "a WASI command exports _start, a function without parameters")
        strange = [f"{item.module}.{item.name}" for item in shape.imports if item.module != preview1.MODULE]
        if strange:
            raise _refused(Reason.MISSING_IMPORT, f"the host does not offer {', '.join(strange)} to a WASI command")
        memory = shape.exports.get("memory")
        if shape.imports and (memory is None or memory.kind != "memory"):
            raise _refused(Reason.MISSING_EXPORT, "the module imports WASI but exports no memory named 'memory'")
        return PreparedCommand(self, module, module.module, spec, services, environment_of(spec))


def environment_of(spec: InstanceSpec) -> dict[str, str]:
    """What a program finds in its environment, whatever the request: `env`, and its configuration.

    Raises ModuleRefused for what no environment can have.
    """
    environment = dict(spec.env) | {_CONFIG_VARIABLE: _configuration(spec.config)}
    for name, value in environment.items():
        if "\0" in value:
            raise _refused(Reason.INVALID_SPEC, f"the variable {name} has a NUL character")
    return environment


class PreparedCommand:
    """A program linked for one InstanceSpec; see PreparedGuest."""

    def __init__(
        self,
        owner: WasiCommandKind,
        module: CompiledModule,
        native: wasmtime.Module,
        spec: InstanceSpec,
        services: GuestServices,
        environment: dict[str, str],
    ) -> None:
        self.spec = spec
        self.services = services
        self.environment = environment
        names = [item.name for item in module.shape.imports]
        self.info = GuestInfo(NAME, may_wait=bool(spec.preopens) or "poll_oneoff" in names)
        self._engine = owner.engine
        self._wasi = owner.wasi
        self._metered = module.metered
        self._memories = module.memories
        self._linker = wasmtime.Linker(owner.engine.native(module.metered))
        self._kept = owner.wasi.link(self._linker, names, directories=bool(spec.preopens))
        try:
            self._pre = self._linker.instantiate_pre(native)
        except wasmtime.WasmtimeError as error:
            self._linker.close()
            raise _refused(Reason.MISSING_IMPORT, failure_of(error).message) from None

    def start(self) -> "CommandSlot":
        """A slot for runs. A program is instantiated once to see that it can be; it is not run."""
        output, log = _Output(0), _Log(self.services, "")
        self.run(wasi.Run(time.monotonic() + self.spec.limits.start_timeout, b"", output, log, {}, UnboundGuest()), ())
        return CommandSlot(self)

    def close(self) -> None:
        """Free it. Idempotent."""
        self._pre.close()
        self._linker.close()

    def run(self, run: wasi.Run, entry: tuple[str, ...] = ("_start",)) -> None:
        """Instantiate the program in a store of its own and call its entry. Raises GuestFailed, not for exit 0."""
        left = run.deadline - time.monotonic()
        if left <= 0:
            raise _failed(Reason.DEADLINE_EXCEEDED, "no time was left for the program")
        store = self._engine.store(self._metered, self.spec.limits, self._memories)
        number = 0
        before = self._wasi.enter(run)
        self._engine.ticker.enter(run)
        try:
            number = self._wasi.open(store, run, (self.spec.plugin,), self.spec.preopens)
            if self._metered:
                store.set_fuel(self.spec.limits.fuel or _START_FUEL)
            store.set_epoch_deadline(self._engine.ticker.ticks(left))
            instance = self._pre.instantiate(store)
            if entry:
                run.guest = self._engine.ffi.bind(store, instance, entry)
                run.guest.call(0)
        except OSError as error:
            raise _failed(Reason.START_FAILED, str(error)) from None
        except wasmtime.ExitTrap as error:
            if error.code:
                raise GuestFailed(failure_of(error), fatal=False) from None
            error.close()
        except GUEST_ERRORS as error:
            raise GuestFailed(failure_of(error), fatal=False) from None
        finally:
            self._engine.ticker.leave(run)
            self._wasi.leave(before)
            store.close()
            self._wasi.close(number)


class CommandSlot:
    """The right to run a program, once at a time; see Instance."""

    tick_period: float | None = None

    def __init__(self, prepared: PreparedCommand) -> None:
        self._prepared = prepared

    def tick(self, call: CallContext) -> None:
        """Between requests nothing runs."""

    def handle(self, request: Request, call: CallContext) -> Response:
        """Run the program for a request; see Instance.

        A program that fails has not answered, whatever it printed before: the answer may be half of one.
        """
        prepared = self._prepared
        most = prepared.spec.limits.response_bytes
        try:
            environment = cgi.variables(request) | prepared.environment
        except cgi.BadRequest as error:
            return Response(400, [("content-type", "text/plain; charset=utf-8")], f"{error}\n".encode())
        output = _Output(most + cgi.MAX_HEAD)
        log = _Log(prepared.services, call.request_id)
        try:
            prepared.run(wasi.Run(call.deadline, request.body, output, log, environment, UnboundGuest()))
        except GuestFailed as failed:
            if not output.overflown:
                raise _with_last_words(failed, log.end()) from None
        log.end()
        if output.overflown:
            raise _failed(Reason.BAD_RESPONSE, f"the program printed more than limits.responseBytes ({most})")
        try:
            response = cgi.parse_output(output.data())
        except cgi.BadOutput as error:
            raise _failed(Reason.BAD_RESPONSE, str(error)) from None
        if len(response.body) > most:
            raise _failed(Reason.BAD_RESPONSE, f"the program printed more than limits.responseBytes ({most})")
        return response

    def close(self) -> None:
        """Nothing is held between requests."""


class _Output:
    """The Sink of stdout: keeps what fits, refuses all from what does not on."""

    def __init__(self, most: int) -> None:
        self.overflown = False
        self._room = most
        self._taken = bytearray()

    def write(self, data: bytes) -> bool:
        self._room -= len(data)
        if self._room < 0:
            self.overflown = True
            self._taken.clear()
            return False
        self._taken += data
        return True

    def data(self) -> bytes:
        return bytes(self._taken)


class _Log:
    """The Sink of stderr: logs whole lines as they come, and no more than a bounded part of a flood."""

    def __init__(self, services: GuestServices, request_id: str) -> None:
        self._services = services
        self._request_id = request_id
        self._rest = b""
        self._room = _MAX_LOG
        self._last = ""

    def write(self, data: bytes) -> bool:
        if self._room > 0:
            taken = data[: self._room]
            self._room -= len(taken)
            *lines, self._rest = (self._rest + taken).split(b"\n")
            if len(self._rest) > _MAX_LINE:
                lines.append(self._rest)
                self._rest = b""
            for line in lines:
                self._say(line)
            if self._room == 0:
                self._say(self._rest)
                self._rest = b""
                self._services.log(_ERROR_LEVEL, f"(more than {_MAX_LOG} bytes: the rest is dropped)", self._request_id)
        return True

    def end(self) -> str:
        """Log what is left without a line end. The last line that was logged."""
        self._say(self._rest)
        self._rest = b""
        return self._last

    def _say(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        if text:
            self._last = text
            self._services.log(_ERROR_LEVEL, text, self._request_id)


def _configuration(text: str) -> str:
    """The plugin configuration as a program reads it: a string as it is, a mapping as JSON."""
    value = json.loads(text) if text else {}
    return value if isinstance(value, str) else text


def _with_last_words(failed: GuestFailed, words: str) -> GuestFailed:
    """The failure with the program's last line on stderr, which often says more than a trap does."""
    if not words:
        return failed
    failure = failed.failure
    message = f"{failure.message}; its last words: {words[:500]}"
    return GuestFailed(Failure(failure.reason, message, failure.next_step), fatal=failed.fatal)


def _failed(reason: Reason, message: str) -> GuestFailed:
    return GuestFailed(Failure(reason, message), fatal=False)


def _refused(reason: Reason, message: str) -> ModuleRefused:
    return ModuleRefused(Failure(reason, message, NextStep.STALL))
