"""The process that worker processes are forked from: it has loaded all code, holds no threads, and does nothing else.

A fork takes milliseconds where a new interpreter takes most of a second, and its workers share the memory of the code.
It is itself forked before the control process has threads. It ends with the control process: its socket tells.
"""

import gc
import logging
import os
import select
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NoReturn

from reconciler.workers.messages import Ended as ProcessEnded
from reconciler.workers.messages import Fork, Forked, Kill
from reconciler.workers.wire import Ended, Inbox, Line

IGNORED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Signals that come to a whole group of processes; these end when the control process says so, or is gone."""

Entry = Callable[[int, socket.socket, socket.socket], int]
"""What a worker process runs: its number, its socket to the control process, the listening socket -> an exit code."""


logger = logging.getLogger("workers")


@dataclass(frozen=True, slots=True)
class Forker:
    """The way to a nursery. It ends when `socket` is closed, and is a child of the process that made it."""

    pid: int
    socket: socket.socket


def fork_nursery(entry: Entry) -> Forker:
    """Fork the nursery. To be called while this process has one thread."""
    ours, its = socket.socketpair()
    pid = os.fork()
    if not pid:
        ours.close()
        _run(Nursery(its, entry).run)
    its.close()
    return Forker(pid, ours)


class Nursery:
    """Forks workers as it is told, and tells how they ended."""

    def __init__(self, control: socket.socket, entry: Entry) -> None:
        self._control = control
        self._inbox = Inbox(control)
        self._line = Line(control)
        self._entry = entry
        self._children: set[int] = set()

    def run(self) -> int:
        """Until the control process is gone."""
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        gc.collect()
        gc.freeze()
        control = self._control.fileno()
        ended, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        while True:
            ready, _, _ = select.select([control, ended], [], [])
            try:
                if ended in ready:
                    os.read(ended, 4096)
                    self._reap()
                if control in ready:
                    for message in self._inbox.receive():
                        if isinstance(message, Fork):
                            self._fork(message.worker)
                        elif isinstance(message, Kill) and message.pid in self._children:
                            os.kill(message.pid, signal.SIGKILL)
            except Ended:
                self._end()
                return 0

    def _end(self) -> None:
        """The control process is gone. Workers end by themselves when they see that; a stuck one ends here."""
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)
        for pid in self._children:
            os.waitpid(pid, 0)

    def _fork(self, worker: int) -> None:
        channel, listener = socket.socket(fileno=self._inbox.take_fd()), socket.socket(fileno=self._inbox.take_fd())
        pid = os.fork()
        if not pid:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._control.close()
            _run(lambda: self._entry(worker, channel, listener))
        channel.close()
        listener.close()
        self._children.add(pid)
        self._line.send(Forked(worker, pid))

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._children.discard(pid)
            self._line.send(ProcessEnded(pid, os.waitstatus_to_exitcode(status)))


def _run(entry: Callable[[], int]) -> NoReturn:
    """Run a forked process's whole life: nothing of the process that it was forked from is gone on with."""
    code = 1
    try:
        code = entry()
    finally:
        if sys.exc_info()[0] is not None:
            logger.critical("process %d failed", os.getpid(), exc_info=True)
        os._exit(code)
