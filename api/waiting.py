"""Holding an answer until a plugin is Ready, failed, or gone: `?wait=30s`.

A waiting request holds a thread of the admin port, so there is a bounded number of places. A request that
finds none is refused before it changes anything, so that an answer never leaves open what was done.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from time import monotonic
from typing import Any, Final

import falcon

from api.errors import ApiError
from api.ports import StatusReader, condition
from specs.model import parse_seconds
from specs.store import Desired

LONGEST: Final = 600.0
"""Seconds that a request may ask to wait."""


def wanted_wait(req: falcon.Request) -> float | None:
    """Seconds from the parameter `wait`; None where it is absent. Raises ApiError 400."""
    text = req.get_param("wait")
    if text is None:
        return None
    try:
        seconds = parse_seconds(text)
    except ValueError as ex:
        raise ApiError(400, f"wait: {ex}", field="wait") from ex
    if seconds > LONGEST:
        raise ApiError(400, f"wait: {text} is too long; give at most {LONGEST:g}s and ask again", field="wait")
    return seconds


class WaitingRoom:
    """The places for waiting requests, and the waiting."""

    def __init__(self, status: StatusReader, places: int) -> None:
        self._status = status
        self._places = threading.BoundedSemaphore(places)

    @contextmanager
    def place(self, wait: float | None) -> Iterator[None]:
        """Hold a place while inside, if `wait` asks for one. Raises ApiError 503 where none is free."""
        if wait is None:
            yield
            return
        if not self._places.acquire(blocking=False):
            raise ApiError(
                503,
                "too many requests are waiting; nothing was changed: try again, or leave out wait",
                headers={"Retry-After": "1"},
            )
        try:
            yield
        finally:
            self._places.release()

    def until_ready(self, desired: Desired, wait: float) -> Mapping[str, Any]:
        """The condition `Ready` once it is true for that generation. Raises ApiError: 422 failed, 504 time is up."""
        name, generation = desired.name, desired.generation
        status = self._status.wait(desired, wait)
        ready = condition(status, "Ready")
        if status is None or ready is None:
            raise self._too_late(name, generation, wait)
        if ready["status"] == "True":
            return ready
        cause = condition(status, "Stalled") or condition(status, "RolledBack") or ready
        raise ApiError(
            422,
            f"{name} failed: {cause['reason']}: {cause['message']};"
            " it stays registered: put its module right, or uninstall it",
            name=name,
            generation=generation,
            reason=cause["reason"],
            message=cause["message"],
        )

    def until_gone(self, names: Iterable[str], wait: float) -> None:
        """Return once nothing of these plugins runs. Raises ApiError 504 when the time is up."""
        deadline = monotonic() + wait
        for name in names:
            if not self._status.wait_gone(name, max(0.0, deadline - monotonic())):
                raise ApiError(
                    504,
                    f"{name} still drains after {wait:g}s; it is uninstalled as soon as its requests are done",
                    name=name,
                )

    def _too_late(self, name: str, generation: int, wait: float) -> ApiError:
        ready = condition(self._status.get(name), "Ready")
        now = f" ({ready['message']})" if ready is not None else ""
        return ApiError(
            504,
            f"{name} is not Ready after {wait:g}s{now}; the change was accepted and goes on:"
            " look at its conditions, or send the same again to wait longer",
            name=name,
            generation=generation,
        )
