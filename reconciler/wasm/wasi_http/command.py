"""The guest kind of components that are commands (`wasi:cli/run`): run once for each request, as CGI has it.

The same as a WASI command in a core module (wasi_command.py), in another form: the request is in the environment and on
stdin, the answer goes to stdout (cgi.py), stderr to the plugin's log. Each request has a store of its own. Whatever an
HTTP component may import is there as well.
"""

from dataclasses import replace
from typing import Final

import wasmtime
import wasmtime.component as model

from reconciler.core.addresses import HostPolicy
from reconciler.core.observed import Failure, GuestInfo
from reconciler.core.revision import InstanceSpec
from reconciler.core.states import NextStep, Reason
from reconciler.wasm import cgi, kind, wasi_command
from reconciler.wasm.engine import CompiledModule
from reconciler.wasm.kind import CallContext, GuestFailed, GuestServices, ModuleRefused, ModuleShape, Request, Response
from reconciler.wasm.wasi_http.guest import WasiHttpKind
from reconciler.wasm.wasi_http.instance import ComponentSlot, Parts
from reconciler.wasm.wasi_http.linking import Linked, offers
from reconciler.wasm.wasi_http.outgoing import Egress
from reconciler.wasm.wasi_http.run import Run
from reconciler.wasm.wasi_http.streams import Spools

_RUN: Final = "wasi:cli/run@0.2."
_ENGINES_OWN: Final = ("wasi:cli/stdin", "wasi:cli/stdout")
"""These carry the bodies here, so they are not this host's."""
_REQUESTS: Final = "wasi:http/outgoing-handler"
_WAITS: Final = (_REQUESTS, "wasi:keyvalue/", "wasi:clocks/monotonic-clock", "wasi:io/poll")
_ERROR_LEVEL: Final = 4
_MAX_LINE: Final = 8192
_PLENTY: Final = 1 << 62


class CommandComponentKind:
    """Components that export `wasi:cli/run` 0.2, and no HTTP handler."""

    name = wasi_command.NAME

    def __init__(self, components: WasiHttpKind) -> None:
        self.components = components

    def recognise(self, shape: ModuleShape) -> bool:
        """Whether a module is such a component. What it imports is judged, and named, by `prepare`."""
        return shape.component and _interface(shape) is not None and not self.components.recognise(shape)

    def prepare(self, module: kind.CompiledModule, spec: InstanceSpec, services: GuestServices) -> "PreparedProgram":
        """Link a component. Raises ModuleRefused: a missing import, a variable that cannot be passed."""
        if not isinstance(module, CompiledModule) or module.component is None:
            raise _refused(Reason.UNSUPPORTED_ABI, "this is a core module; `wasi:cli/run` is a component's")
        unfit = self.components.ffi.unfit()
        if unfit:
            raise _refused(Reason.UNSUPPORTED_ABI, f"components cannot be run: {unfit}")
        try:
            policy = HostPolicy.parse(spec.allowed_hosts)
        except ValueError as error:
            raise _refused(Reason.INVALID_SPEC, f"capabilities.allowedHosts: {error}") from None
        egress = Egress(self.components.client, policy)
        return PreparedProgram(self.components, module, module.component, spec, services, egress)


class PreparedProgram:
    """A command component linked for one InstanceSpec; see PreparedGuest."""

    def __init__(
        self,
        owner: WasiHttpKind,
        module: CompiledModule,
        component: model.Component,
        spec: InstanceSpec,
        services: GuestServices,
        egress: Egress,
    ) -> None:
        self._environment = wasi_command.environment_of(spec)
        ours = {name: functions for name, functions in offers(egress, spec).items() if name not in _ENGINES_OWN}
        self._linked = Linked(owner.engine.native(module.metered), owner.ffi, owner.current, module, ours)
        self._spools = Spools()
        imports = {item.module for item in module.shape.imports}
        waits = bool(spec.preopens) or any(name.startswith(_WAITS) for name in imports)
        self.info = GuestInfo(wasi_command.NAME, may_wait=waits)
        self._parts = Parts(
            engine=owner.engine,
            ffi=owner.ffi,
            current=owner.current,
            check=owner.check,
            lender=owner.lender(module.metered),
            module=module,
            linker=self._linked.linker,
            entry=_entry(component, module.shape),
            spec=replace(spec, reuse=1),
            services=services,
            spools=self._spools,
            files=any(name.startswith(_REQUESTS) for name in imports),
        )

    def start(self) -> "ProgramSlot":
        """A slot for runs. The component is instantiated once to see that it can be; it is not run."""
        program = Program(self._parts)
        program.warm_up()
        program.close()
        return ProgramSlot(self._parts, self._environment)

    def close(self) -> None:
        """Free it. Idempotent."""
        self._spools.close()
        self._linked.close()


class ProgramSlot:
    """The right to run a program, once at a time; see Instance."""

    tick_period: float | None = None

    def __init__(self, parts: Parts, environment: dict[str, str]) -> None:
        self._parts = parts
        self._environment = environment

    def tick(self, call: CallContext) -> None:
        """Between requests nothing runs."""

    def handle(self, request: Request, call: CallContext) -> Response:
        """Run the program for a request; see Instance."""
        try:
            environment = cgi.variables(request) | self._environment
        except cgi.BadRequest as error:
            return Response(400, [("content-type", "text/plain; charset=utf-8")], f"{error}\n".encode())
        spec = replace(self._parts.spec, env=tuple(environment.items()))
        return Program(replace(self._parts, spec=spec)).answer(request, call)

    def close(self) -> None:
        """Nothing is held between requests."""


class Program(ComponentSlot):
    """One run, whose environment is that of its `parts`."""

    def answer(self, request: Request, call: CallContext) -> Response:
        """Run it. Raises GuestFailed: a program that fails has not answered, whatever it printed before."""
        parts = self._parts
        most = parts.spec.limits.response_bytes
        with parts.spools.lend() as spool:
            run = self._begin(request, call, spool, parts.spec.limits.fuel or _PLENTY)
            try:
                failure = self._call(run)
                words = self._say(run)
                if failure is not None:
                    raise GuestFailed(_with_last_words(failure, words), fatal=False)
                size = spool.size()
                if size > most + cgi.MAX_HEAD:
                    raise _bad(f"the program printed more than limits.responseBytes ({most})")
                response = cgi.parse_output(spool.read(size))
            except cgi.BadOutput as error:
                raise _bad(str(error)) from None
            finally:
                self._end(run, spoilt=True)
        if len(response.body) > most:
            raise _bad(f"the program printed more than limits.responseBytes ({most})")
        return response

    def _call(self, run: Run) -> Failure | None:
        guest, ffi = self._guest, self._parts.ffi
        assert guest is not None
        assert guest.handler is not None
        handler, store = guest.handler, guest.store
        good = True

        def call() -> None:
            nonlocal good
            try:
                good = bool(ffi.call(store, handler)[8] & 1)
            except wasmtime.ExitTrap as error:
                if error.code:
                    raise
                error.close()

        failure = self._run(run, call)
        if failure is None and not good:
            return Failure(Reason.GUEST_EXITED, "the program returned an error")
        return failure

    def _say(self, run: Run) -> str:
        """Log what was printed on stderr; the last line of it."""
        lines = [line for line in run.streams.prints.data.decode("utf-8", "replace").splitlines() if line]
        for line in lines:
            run.services.log(_ERROR_LEVEL, line[:_MAX_LINE], run.call.request_id)
        return lines[-1] if lines else ""


def _interface(shape: ModuleShape) -> str | None:
    return next((name for name in shape.exports if name.startswith(_RUN)), None)


def _entry(component: model.Component, shape: ModuleShape) -> model.ExportIndex:
    """Where the function is."""
    name = _interface(shape)
    interface = component.get_export_index(name) if name is not None else None
    entry = component.get_export_index("run", interface) if interface is not None else None
    if entry is None:
        raise _refused(Reason.MISSING_EXPORT, f"{name} has no function 'run'")
    return entry


def _with_last_words(failure: Failure, words: str) -> Failure:
    return replace(failure, message=f"{failure.message}; its last words: {words[:500]}") if words else failure


def _bad(message: str) -> GuestFailed:
    return GuestFailed(Failure(Reason.BAD_RESPONSE, message), fatal=False)


def _refused(reason: Reason, message: str) -> ModuleRefused:
    return ModuleRefused(Failure(reason, message, NextStep.STALL))
