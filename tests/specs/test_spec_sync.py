"""When the sources are listed."""

import threading
import time
from pathlib import Path

from specs.directory import DirectorySource
from specs.identity import IdentityStore
from specs.source import Listing
from specs.store import DesiredStore
from specs.sync import SyncLoop
from tests.specs.conftest import DEADLINE, document, until


class GatedSource(DirectorySource):
    """A directory that is listed only when somebody opens the gate."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.gate = threading.Semaphore(0)
        self.begun = 0

    def listing(self) -> Listing:
        found = super().listing()
        self.begun += 1
        assert self.gate.acquire(timeout=DEADLINE)
        return found


def test_a_flush_waits_for_a_listing_that_began_after_it(folder: Path) -> None:
    source = GatedSource(folder)
    store = DesiredStore([source], IdentityStore(None))
    sync = SyncLoop(store, resync=3600)
    sync.start()
    until(lambda: source.begun == 1)
    (folder / "a.yaml").write_text(document("a"))
    seen: list[bool] = []

    began = threading.Event()

    def flush() -> None:
        began.set()
        seen.append(sync.flush(DEADLINE) and store.get("a") is not None)

    flusher = threading.Thread(target=flush)
    flusher.start()
    until(began.is_set)
    source.gate.release(100)
    flusher.join(DEADLINE)
    sync.stop()
    assert seen == [True]


def test_a_flush_that_takes_too_long_says_so(folder: Path) -> None:
    source = GatedSource(folder)
    sync = SyncLoop(DesiredStore([source], IdentityStore(None)), resync=3600)
    sync.start()
    assert not sync.flush(0.01)
    source.gate.release(100)
    sync.stop()
    assert not sync.alive


def test_a_resync_finds_what_no_event_told(folder: Path) -> None:
    store = DesiredStore([DirectorySource(folder)], IdentityStore(None))
    sync = SyncLoop(store, resync=0.01)
    sync.start()
    assert sync.flush(DEADLINE)
    (folder / "a.yaml").write_text(document("a"))
    until(lambda: store.get("a"))
    sync.stop()


def test_pokes_without_end_do_not_hold_a_listing_back(folder: Path) -> None:
    store = DesiredStore([DirectorySource(folder)], IdentityStore(None))
    sync = SyncLoop(store, resync=3600)
    sync.start()
    assert sync.flush(DEADLINE)
    (folder / "a.yaml").write_text(document("a"))
    end = time.monotonic() + DEADLINE
    while store.get("a") is None and time.monotonic() < end:
        sync.poke()
    assert store.get("a") is not None
    sync.stop()
