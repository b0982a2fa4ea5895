"""The errors of the desired state, and what a caller should do about each.

SpecError
+-- SpecInvalid(problems)    refuse: the text does not describe a plugin; every problem is listed
+-- SpecConflict             refuse: another object holds that name, or the object changed since it was read
+-- SpecNotFound             refuse: no plugin has that name
+-- SpecReadOnly             refuse: the file that owns the plugin cannot be written
+-- SpecWriteFailed          report: writing the file did not succeed (a full disk); it is as it was before
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with a document.

    `line` and `column` count from 1; 0 means "not known". `field` is a path such as `spec.limits.memory`,
    empty for the document as a whole.
    """

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    field: str = ""

    def __str__(self) -> str:
        """`FILE:LINE:COLUMN: FIELD: MESSAGE`, as compilers print it, without the parts that are not known."""
        place = self.file
        if self.line:
            place = f"{place}:{self.line}:{self.column}" if place else f"line {self.line}, column {self.column}"
        return ": ".join(part for part in (place, self.field, self.message) if part)


class SpecError(Exception):
    """Anything wrong with desired state. `str()` is a sentence for the user."""


class SpecInvalid(SpecError):
    """A text does not describe plugins. All its problems at once."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class SpecConflict(SpecError):
    """The name is taken by a different object, or the object was changed since the caller read it."""


class SpecNotFound(SpecError):
    """No plugin of that name (or route) is desired."""


class SpecReadOnly(SpecError):
    """The owning file cannot be written; the message names it."""

    def __init__(self, file: str, why: str) -> None:
        super().__init__(f"{file} cannot be written ({why}); change it where it comes from")
        self.file = file


class SpecWriteFailed(SpecError):
    """Writing a file did not succeed; it is as it was before. The message names it and says why."""

    def __init__(self, file: str, why: str) -> None:
        super().__init__(f"{file} was not changed: {why}")
        self.file = file
