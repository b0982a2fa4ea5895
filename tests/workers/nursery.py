"""A nursery of its own interpreter: what the engine started in the test process would not survive a fork.

python -m tests.workers.nursery FD: the socket to the test; the settings, pickled, are on standard input.
"""

import pickle
import socket
import sys
from functools import partial

from api.dataplane.accepting import Tally
from api.settings import ServeSettings
from api.workers.entry import run_worker
from reconciler.workers.nursery import Nursery


def main() -> None:
    settings: ServeSettings = pickle.load(sys.stdin.buffer)
    control = socket.socket(fileno=int(sys.argv[1]))
    Nursery(control, partial(run_worker, settings, Tally(settings.workers))).run()


if __name__ == "__main__":
    main()
