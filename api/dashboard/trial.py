"""`POST /try`: send one request to a route, as any client of the data plane would, and see the answer with its timing.

    {"route": "id_1", "method": "GET", "path": "/?name=book1", "headers": {"a": "b"}, "body": "text"}

A browser's page may not ask another port, so this asks for it, over HTTP: a trial is an ordinary request, with the
queue, the limits and the logs of one. Belongs here: that one request. Does not: calling guests in any other way.
"""

import base64
import http.client
import re
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

import falcon
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from api.errors import ApiError
from api.settings import Address

SHOWN: Final = 256 * 1024
"""Bytes of an answer that are handed on; what is more is cut off."""
PLACES: Final = 2
"""Trials at once: each holds a thread of the admin port for as long as the guest takes."""
TIMEOUT: Final = 30.0
"""Seconds without a byte from the data plane after which a trial is given up."""

_TOKEN: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"  # noqa: S105 (RFC 9110's word for a method or a header's name)
_EVERYWHERE: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104


class Trial(BaseModel):
    """What to send."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    route: str = Field(min_length=1, max_length=253, pattern=r"^[\x21-\x7e]+$")
    method: str = Field("GET", max_length=32, pattern=_TOKEN)
    path: str = Field("/", max_length=8192, pattern=r"^/[\x21-\x7e]*$")
    headers: dict[
        Annotated[str, Field(pattern=_TOKEN)], Annotated[str, Field(max_length=8192, pattern=r"^[\t\x20-\x7e]*$")]
    ] = Field(default_factory=dict, max_length=64)
    body: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the data plane listens, and whether it speaks TLS there."""

    address: Address
    tls: bool = False

    @property
    def url(self) -> str:
        """As people write it."""
        return f"{'https' if self.tls else 'http'}://{self.address}"

    def connect(self) -> http.client.HTTPConnection:
        """A connection to it from this machine."""
        host = _EVERYWHERE.get(self.address.host, self.address.host)
        if not self.tls:
            return http.client.HTTPConnection(host, self.address.port, timeout=TIMEOUT)
        # Our own port at our own address: there is nobody else to be taken for it, whatever the certificate's name.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection(host, self.address.port, timeout=TIMEOUT, context=context)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back. `seconds` until the answer was whole."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON-able data; a body that is no text in base64."""
        shown = self.body[:SHOWN]
        text = _text(shown, whole=len(shown) == len(self.body))
        return {
            "status": self.status,
            "headers": self.headers,
            "body": base64.b64encode(shown).decode() if text is None else text,
            "encoding": "base64" if text is None else "utf-8",
            "truncated": len(self.body) > SHOWN,
            "seconds": round(self.seconds, 6),
        }


class Trials:
    """The endpoint. `place` tells where the data plane is."""

    def __init__(self, place: Callable[[], Place]) -> None:
        self._place = place
        self._free = threading.BoundedSemaphore(PLACES)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Try. Raises ApiError 400, 415, 429, 502, 504."""
        # Any page can make a browser send a form or plain text here, but not JSON.
        if (req.content_type or "").partition(";")[0].strip().lower() != falcon.MEDIA_JSON:
            raise ApiError(415, "send the trial as JSON, with content-type: application/json")
        try:
            trial = Trial.model_validate_json(req.bounded_stream.read())
        except ValidationError as ex:
            raise ApiError(400, f"that is no request to try: {_sentence(ex)}") from ex
        if not self._free.acquire(blocking=False):
            raise ApiError(429, f"{PLACES} trials are under way; try again", headers={"Retry-After": "1"})
        try:
            resp.media = _send(self._place(), trial).to_dict()
        except TimeoutError as ex:
            raise ApiError(504, f"the data plane said nothing for {TIMEOUT:.0f} s") from ex
        except (OSError, http.client.HTTPException) as ex:
            raise ApiError(502, f"the data plane gave no answer: {ex or type(ex).__name__}") from ex
        finally:
            self._free.release()


def _send(place: Place, trial: Trial) -> Outcome:
    connection = place.connect()
    # The route is named by the header, so that the guest sees the path as it was typed.
    headers = {"connection": "close"} | {name.lower(): value for name, value in trial.headers.items()}
    headers["id"] = trial.route
    body = trial.body.encode() if trial.body or trial.method in ("POST", "PUT", "PATCH") else None
    begin = time.perf_counter()
    try:
        connection.request(trial.method, trial.path, body=body, headers=headers)
        answer = connection.getresponse()
        content = answer.read(SHOWN + 1)
        return Outcome(answer.status, tuple(answer.getheaders()), content, time.perf_counter() - begin)
    finally:
        connection.close()


def _text(content: bytes, *, whole: bool) -> str | None:
    """The content as text, None where it is none. A character that was cut off at the end does not count."""
    try:
        return content.decode()
    except UnicodeDecodeError as ex:
        return content[: ex.start].decode() if not whole and ex.start > len(content) - 4 else None


def _sentence(error: ValidationError) -> str:
    return "; ".join(
        re.sub(r"^Value error, ", "", f"{'.'.join(map(str, one['loc'])) or 'body'}: {one['msg']}")
        for one in error.errors(include_url=False)
    )
