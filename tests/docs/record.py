"""Records docs/first-minutes.txt: `python -m tests.docs.record > docs/first-minutes.txt`.

It does what docs/first-minutes.md says, in a copy of the tree in which nothing is installed, and writes down what was
typed and printed, each with the seconds since the beginning. A test does the same in an environment that is there.
"""

import re
import tempfile
import time
from pathlib import Path

from tests.docs.blocks import Session
from tests.docs.place import whole_tree
from tests.parts import ROOT

_NOISE = re.compile(r"^(date|server|content-length|x-request-id): .*\n", re.MULTILINE)


def main() -> None:
    """Print it."""
    began = time.monotonic()
    print("# A new user's first minutes: docs/first-minutes.md as `python -m tests.docs.record` did it.\n")

    def note(typed: str, printed: str, at: float) -> None:
        shown = _NOISE.sub("", printed).rstrip()
        print(f"[{at - began:6.2f} s] $ {typed}", *([shown] if shown else []), "", sep="\n")

    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary) / "wasm-reconciler"
        session = Session(place, whole_tree(place), note, left_out=True)
        session.follow(ROOT / "docs" / "first-minutes.md")
    print(f"[{time.monotonic() - began:6.2f} s] done")


if __name__ == "__main__":
    main()
