"""What a source of desired state is: something that can be listed whole, and whose files may be edited."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from specs.followed import FileState

CLUSTER: Final = "cluster"
"""The kind of a source whose plugins are changed elsewhere, and cannot be written here."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All that a source has, by path. `files` is never changed; as long as nothing is new it is the same object.

    `error` says why the source could not be listed; then `files` is what it was before. `again` is the number of
    seconds after which to look once more, where something is about to settle. `unsettled` are files that are being
    written, or went a moment ago: what is in force of them is not what they say.
    """

    files: Mapping[str, FileState] = field(default_factory=dict)
    error: str = ""
    again: float | None = None
    unsettled: frozenset[str] = frozenset()


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

    def look(self, files: Collection[str]) -> Listing:
        """Look again at some files (relative to the source), and at those that were about to settle.

        A shorter way to what `listing` finds if nothing else changed. Where a file alone does not tell, all is listed.
        """

    def trust(self, file: str) -> None:
        """A change of that file (relative to the source) is deliberate and complete: take it at the next look.

        May be called from any thread.
        """
