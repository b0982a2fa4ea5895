"""One spec file over time: when to read it, and what of it is in force.

Writers are not polite. A file is truncated before it is written (`cp`, `>`), moved away before it is written anew
(editors), or broken for as long as somebody types. So a change in place is read only once it has rested, a file that
is missing is believed gone only after a while, and what cannot be understood leaves its last good content in force.
A file that was put in place by a rename has a new inode, is whole by construction, and is read at once.

Belongs here: a single file. Does not: finding files (directory.py), deciding who owns a name (store.py).
"""

import hashlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from specs.document import Document, Parsed, parse_text
from specs.errors import Problem, SpecInvalid
from specs.files import decode_text, read_bytes

REST: Final = 0.02
"""Seconds that a file written in place must rest before it is read."""

GONE: Final = 0.1
"""Seconds that a file must be missing before its plugins are."""

COARSE_CLOCK: Final = 0.05
"""Seconds within which two writes may leave the same time stamp; a file read that early is read once more."""

Signature = tuple[int, ...]
"""What tells cheaply that a file changed: times, size, inode, device."""


@dataclass(frozen=True, slots=True, eq=False)
class FileState:
    """What is in force of one file. A new object for every change, so that identity is equality.

    `path` is relative to the source. `digest` is the sha256 of the content that was last read. `kept` is true where
    something of an earlier content is in force because the present one has problems.
    """

    path: str
    digest: str = ""
    documents: tuple[Document, ...] = ()
    problems: tuple[Problem, ...] = ()
    kept: bool = False


def signature_of(found: os.stat_result) -> Signature:
    """The signature of a file."""
    return found.st_ctime_ns, found.st_mtime_ns, found.st_size, found.st_ino, found.st_dev


class FollowedFile:
    """Follows one file. `path` is where it is; `name` is what it is called in its source. For one thread.

    `now` is in monotonic seconds wherever it is asked for.
    """

    def __init__(self, path: Path, name: str) -> None:
        self._path = path
        self._read: Signature | None = None
        self._resting: Signature | None = None
        self._since = 0.0
        self._gone_since: float | None = None
        self._again_at: float | None = None
        self._trusted = False
        self.state = FileState(name)

    @property
    def calm(self) -> Signature | None:
        """What the file looks like while there is no reason to look at it again; None: there is one."""
        waits = self._trusted or not (self._gone_since is None and self._resting is None and self._again_at is None)
        return None if waits else self._read

    @property
    def unsettled(self) -> bool:
        """Whether it is being written, or went a moment ago."""
        return self._gone_since is not None or self._resting is not None

    def trust(self) -> None:
        """The next change is deliberate and complete: take it at once."""
        self._trusted = True

    def forgive(self) -> None:
        """Forget that the file was missing: it could not be looked for."""
        self._gone_since = None

    def missing(self, now: float) -> float | None:
        """The file was not found. Returns None once it counts as gone, else the seconds until to look again."""
        if self._gone_since is None:
            self._gone_since = now
        left = self._gone_since + GONE - now
        return None if self._trusted or left <= 0 else left

    def look(self, signature: Signature, now: float) -> float | None:
        """The file was found. Reads it if that is due; returns the seconds until to look again, or None."""
        self._gone_since = None
        if signature == self._read and not self._trusted:
            self._resting = None
            if self._again_at is None:
                return None
            if now < self._again_at:
                return self._again_at - now
        elif self._read is not None and signature[3:] == self._read[3:] and not self._trusted:
            if signature != self._resting:
                self._resting, self._since = signature, now
            left = self._since + REST - now
            if left > 0:
                return left
        return self._take(signature, now)

    def _take(self, signature: Signature, now: float) -> float | None:
        self._again_at = None
        try:
            raw = read_bytes(self._path)
            after = signature_of(self._path.stat())
        except FileNotFoundError:
            return self.missing(now)
        except (OSError, SpecInvalid) as ex:
            unreadable = isinstance(ex, OSError)
            # What could not be opened is tried at every look; what is too large only when it changes.
            self._read = None if unreadable else signature
            problems = self._unreadable(ex) if isinstance(ex, OSError) else ex.problems
            self._keep_all("", problems)
            return None
        if after != signature:
            self._resting, self._since = after, now
            self._read = signature
            return REST
        self._trusted, self._resting, self._read = False, None, signature
        self._understand(raw)
        if time.time() - signature[1] / 1e9 < COARSE_CLOCK:
            self._again_at = now + COARSE_CLOCK
            return COARSE_CLOCK
        return None

    def _unreadable(self, ex: OSError) -> tuple[Problem, ...]:
        return (Problem(f"cannot be read: {ex.strerror}", str(self._path)),)

    def _understand(self, raw: bytes) -> None:
        digest = hashlib.sha256(raw).hexdigest()
        if digest == self.state.digest:
            return
        try:
            text = decode_text(raw, str(self._path))
        except SpecInvalid as ex:
            self._keep_all(digest, ex.problems)
            return
        if not text.strip() and self.state.documents:
            message = "the file is empty; delete it to remove its plugins"
            self._keep_all(digest, (Problem(message, str(self._path)),))
            return
        parsed = parse_text(text, str(self._path))
        documents, kept = in_force(self.state.documents, parsed)
        self.state = FileState(self.state.path, digest, documents, parsed.problems, kept)

    def _keep_all(self, digest: str, problems: tuple[Problem, ...]) -> None:
        old = self.state
        if (old.digest, old.problems) != (digest, problems):
            self.state = FileState(old.path, digest, old.documents, problems, kept=bool(old.documents))


def in_force(last_good: tuple[Document, ...], parsed: Parsed) -> tuple[tuple[Document, ...], bool]:
    """What is in force when a file changes from `last_good` to `parsed`, and whether any of it is the former.

    A text that ends in a syntax error may be half-written, so everything stays. A broken document keeps what it was;
    where it cannot be told which it was (its name is broken, or new), all that is not defined anew stays.
    """
    if not parsed.broken:
        return parsed.documents, False
    if not parsed.complete and last_good:
        return last_good, True
    defined = {document.plugin.name for document in parsed.documents}
    names = {broken.name for broken in parsed.broken}
    anything = not names <= {document.plugin.name for document in last_good}
    kept = tuple(
        document
        for document in last_good
        if document.plugin.name not in defined and (anything or document.plugin.name in names)
    )
    return parsed.documents + kept, bool(kept)
