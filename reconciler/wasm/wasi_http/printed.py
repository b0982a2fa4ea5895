"""What a component prints: kept while a request runs, then logged."""

from typing import Final

from reconciler.core.observed import Failure
from reconciler.wasm.kind import GuestServices

MAX_PRINTED: Final = 65_536
"""Bytes that are logged of what one request prints on one stream."""

_PRINT_LEVEL: Final = 2
_ERROR_LEVEL: Final = 4
"""proxy-wasm's levels for what a component prints, and for how it failed."""
_MAX_LINE: Final = 8192


class Prints:
    """What a guest prints on one stream: the first part of it, and how much there was."""

    __slots__ = ("data", "size")

    def __init__(self) -> None:
        self.data = bytearray()
        self.size = 0

    def take(self, data: bytes) -> None:
        """Keep what there is room for."""
        self.size += len(data)
        self.data += data[: MAX_PRINTED - len(self.data)]

    def clear(self) -> None:
        """Forget it."""
        self.data.clear()
        self.size = 0


def log_run(services: GuestServices, request_id: str, prints: Prints, late: Failure | None) -> None:
    """Log what a component printed, line by line; and why it failed after it had answered, where it did."""
    if prints.size:
        for line in prints.data.decode("utf-8", "replace").splitlines():
            if line:
                services.log(_PRINT_LEVEL, line[:_MAX_LINE], request_id)
        if prints.size > MAX_PRINTED:
            text = f"(more than {MAX_PRINTED} bytes: the rest is dropped)"
            services.log(_PRINT_LEVEL, text, request_id)
    if late is not None:
        services.log(_ERROR_LEVEL, f"after its answer: {late.message}", request_id)
