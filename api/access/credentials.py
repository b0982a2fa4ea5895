"""The file that says who may do what.

    tokens:
      - {name: ci, role: write, sha256: 9f86d081...}                            # of the token, without a line end
      - {name: prometheus, role: read, token: a-secret-of-16-characters-or-more, expires: 2027-01-31T00:00:00Z}
    certificates:
      - {commonName: ops, role: write}                                          # of a client certificate's subject

Belongs here: reading it. Does not: comparing what a caller shows with it (access.py).
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from api.followed import Unusable
from specs.document import load_data
from specs.errors import SpecInvalid

SHORTEST: Final = 16
"""Characters of a token: a shorter one can be guessed."""

_Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class Role(StrEnum):
    """What a caller may do."""

    READ = "read"
    WRITE = "write"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Token(_Part):
    """A bearer token: exactly one of sha256, token. A name may have several, while one replaces another."""

    name: _Name
    role: Role
    sha256: str | None = Field(None, pattern=r"^[0-9a-fA-F]{64}$")
    token: str | None = Field(None, min_length=SHORTEST, pattern=r"^[A-Za-z0-9\-._~+/]+=*$")
    expires: AwareDatetime | None = None

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.sha256 is None) == (self.token is None):
            raise ValueError("give exactly one of sha256, token")
        return self

    @property
    def digest(self) -> bytes:
        """The token's SHA-256."""
        return bytes.fromhex(self.sha256) if self.sha256 else hashlib.sha256((self.token or "").encode()).digest()

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= now


class Certificate(_Part):
    """Client certificates of one subject."""

    commonName: _Name  # noqa: N815
    role: Role


class Credentials(_Part):
    """All that the file says."""

    tokens: tuple[Token, ...] = ()
    certificates: tuple[Certificate, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        _refuse_twice("two tokens are equal", [token.digest for token in self.tokens])
        _refuse_twice("two certificates have one commonName", [entry.commonName for entry in self.certificates])
        return self


def read_credentials(path: Path) -> Credentials:
    """What the file says. Raises Unusable with every problem, and without any secret."""
    try:
        return Credentials.model_validate(load_data(path))
    except ValidationError as error:
        problems = [_sentence(item["loc"], item["msg"]) for item in error.errors(include_input=False)]
        raise Unusable(f"{path}: {'; '.join(problems)}") from None
    except SpecInvalid as error:
        raise Unusable(str(error)) from error
    except OSError as error:
        raise Unusable(f"{path} cannot be read: {error.strerror}") from error


def _refuse_twice(message: str, values: Sequence[object]) -> None:
    if len(set(values)) < len(values):
        raise ValueError(message)


def _sentence(location: tuple[int | str, ...], message: str) -> str:
    field = ".".join(map(str, location))
    return ": ".join(part for part in (field, message.removeprefix("Value error, ")) if part)
