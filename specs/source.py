"""What a source of desired state is: something that can be listed whole, and whose files may be edited."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from specs.followed import FileState

CLUSTER: Final = "cluster"
"""The kind of a source whose plugins are changed elsewhere, and cannot be written here."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All that a source has. `files` are sorted by path.

    `error` says why the source could not be listed; then `files` is what it was before. `again` is the number of
    seconds after which to list it once more, where something is about to settle.
    """

    files: tuple[FileState, ...]
    error: str = ""
    again: float | None = None


class Source(Protocol):
    """A place where people put plugins. Listed by one thread."""

    @property
    def id(self) -> str:
        """Its name in status: `dir:specs`, `config:config.json`."""

    @property
    def kind(self) -> str:
        """`directory`, `config` or `cluster`."""

    @property
    def path(self) -> Path:
        """Where it is, as it was given."""

    def listing(self) -> Listing:
        """Look again. Never raises for what is in or about the files."""

    def trust(self, file: str) -> None:
        """A change of that file (relative to the source) is deliberate and complete: take it at the next listing.

        May be called from any thread.
        """
