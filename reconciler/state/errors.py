"""The errors of the stores, and what a caller should do about each.

StateError
+-- StoresInvalid(problems)   refuse to start: the stores file does not describe stores; every problem is listed
+-- StoreUnavailable          tell the guest: the store cannot be reached now, or cannot be used at all
"""


class StateError(Exception):
    """Anything wrong with a store. `str()` is a sentence for the user."""


class StoresInvalid(StateError):
    """A mapping does not describe stores. All its problems at once, one sentence each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StoreUnavailable(StateError):
    """A store cannot be read or written. The message names the store."""
