"""The exports of a module that this host calls: which there are, and that they have the types that they must."""

from collections.abc import Mapping
from typing import Final

from reconciler.core.observed import Failure
from reconciler.core.states import NextStep, Reason
from reconciler.wasm.kind import ExportShape, ModuleRefused, ModuleShape
from reconciler.wasm.proxy_wasm import abi

ABSENT: Final = -1


class Callbacks:
    """Where each callback lies in `names`, the list that an instance is bound with; ABSENT where it is missing."""

    def __init__(self, shape: ModuleShape) -> None:
        """Raises ModuleRefused where a callback has another type than the ABI's."""
        exports = shape.exports
        self.names = tuple(name for name in abi.CALLBACKS if name in exports and exports[name].kind == "func")
        for name in self.names:
            _check(exports[name])
        place = {name: index for index, name in enumerate(self.names)}
        self._place: Mapping[str, int] = place
        self.get_id = self.place("proxy_get_id")
        self.allocator = self.place("proxy_on_memory_allocate")
        if self.allocator == ABSENT:
            self.allocator = self.place("malloc")
        self.context_create = self.place("proxy_on_context_create")
        self.request_headers = self.place("proxy_on_request_headers")
        self.request_body = self.place("proxy_on_request_body")
        self.request_trailers = self.place("proxy_on_request_trailers")
        self.response_headers = self.place("proxy_on_response_headers")
        self.response_body = self.place("proxy_on_response_body")
        self.response_trailers = self.place("proxy_on_response_trailers")
        self.http_call_response = self.place("proxy_on_http_call_response")
        self.queue_ready = self.place("proxy_on_queue_ready")
        self.tick = self.place("proxy_on_tick")
        self.done = self.place("proxy_on_done")
        self.log = self.place("proxy_on_log")
        self.delete = self.place("proxy_on_delete")
        self.without_end = frozenset(
            place[name] for name in self.names if name.endswith("_headers") and len(exports[name].params) == 2
        )
        """Callbacks for headers that lack the parameter for the stream's end, which came with 0.2.0."""

    def place(self, name: str) -> int:
        """Where a callback lies; ABSENT where it is missing."""
        return self._place.get(name, ABSENT)


def _check(export: ExportShape) -> None:
    allowed = abi.CALLBACKS[export.name]
    numbers = all(kind == "i32" for kind in export.params + export.results)
    if numbers and len(export.params) in allowed and len(export.results) <= 1:
        return
    message = (
        f"{export.name} has the type ({', '.join(export.params)}) -> ({', '.join(export.results)}); "
        f"proxy-wasm has it with {' or '.join(map(str, allowed))} i32 and at most one i32 result"
    )
    raise ModuleRefused(Failure(Reason.UNSUPPORTED_ABI, message, NextStep.STALL))
