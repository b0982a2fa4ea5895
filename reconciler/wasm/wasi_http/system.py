"""What a component sees of the process where that is not the engine's: stdin, stdout, directories, waiting.

- stdin is empty and stdout goes to the log, for the engine's stdin and stdout carry the bodies (streams.py).
- A component that is given no directories sees none, though bodies may lie in one.
- A wait is never longer than the request's deadline: the engine would wait on in native code, where no epoch reaches.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from reconciler.wasm.ffi.values import Foreign
from reconciler.wasm.wasi_http.run import Run

_OVERTIME: Final = 1_000_000
"""Nanoseconds past the deadline that a wait may end, so that the deadline has passed then."""


def _stdin(run: Run) -> Foreign:
    return run.streams.input(b"")


def _stdout(run: Run) -> Foreign:
    return run.streams.printing()


def _now(_run: Run) -> int:
    return time.monotonic_ns()


def _resolution(_run: Run) -> int:
    return 1


def _subscribe_duration(run: Run, nanoseconds: int) -> Foreign:
    left = max(0, int((run.call.deadline - time.monotonic()) * 1e9))
    return run.streams.wait(min(nanoseconds, left + _OVERTIME))


def _subscribe_instant(run: Run, when: int) -> Foreign:
    return _subscribe_duration(run, max(0, when - time.monotonic_ns()))


def _no_directories(_run: Run) -> list[object]:
    return []


STDIN: Final[Mapping[str, Callable[..., Any]]] = {"get-stdin": _stdin}
STDOUT: Final[Mapping[str, Callable[..., Any]]] = {"get-stdout": _stdout}
NO_DIRECTORIES: Final[Mapping[str, Callable[..., Any]]] = {"get-directories": _no_directories}
CLOCK: Final[Mapping[str, Callable[..., Any]]] = {
    "now": _now,
    "resolution": _resolution,
    "subscribe-duration": _subscribe_duration,
    "subscribe-instant": _subscribe_instant,
}
