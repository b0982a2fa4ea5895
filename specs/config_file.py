"""A config.json as a source: Layotto's map, or a whole MOSN configuration around it.

What the text means is in document.py; this is only about the one file. A file that is not there is a source with an
error, never an empty one: what it said last stays in force.
"""

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final

from specs.followed import FileState, FollowedFile, signature_of
from specs.source import Listing


class ConfigFileSource:
    """Follows a configuration file. `clock` gives monotonic seconds."""

    kind: Final = "config"

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self.path: Final = path
        self.id: Final = f"config:{path}"
        self._file = FollowedFile(path, path.name)
        self._states: Mapping[str, FileState] = {path.name: self._file.state}
        self._clock = clock
        self._trusted = False

    def trust(self, file: str) -> None:
        """See Source.trust."""
        self._trusted = True

    def listing(self) -> Listing:
        """See Source.listing."""
        try:
            found = signature_of(self.path.stat())
        except OSError as ex:
            return Listing(self._states, f"{self.path} cannot be read: {ex.strerror}")
        if self._trusted:
            self._trusted = False
            self._file.trust()
        again = self._file.look(found, self._clock())
        name, state = self.path.name, self._file.state
        if self._states[name] is not state:
            self._states = {name: state}
        return Listing(self._states, again=again, unsettled=frozenset([name] if self._file.unsettled else ()))

    def look(self, files: Collection[str]) -> Listing:
        """See Source.look. There is only the one file."""
        return self.listing()
