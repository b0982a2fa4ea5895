"""A listening socket, or a sentence that says why there is none. Knows nothing of HTTP."""

import errno
import socket
import time
from typing import Final

from api.settings import Address

BACKLOG: Final = 1024
"""Connections that the kernel keeps for us until they are accepted."""

AGAIN: Final = 0.01
"""Seconds until an address that is in use is tried again."""


class ListenFailed(Exception):
    """The address cannot be listened on. `str()` is a sentence for the user."""


def listen(address: Address, patience: float = 0.0) -> socket.socket:
    """A listening TCP socket. A name that means several addresses gets its first IPv4 one. Raises ListenFailed.

    An address that is in use is waited for so many seconds.

    SO_REUSEADDR lets a restart follow at once; SO_REUSEPORT is not set, so that two daemons cannot share a port unseen.
    """
    family, sockaddr = _resolve(address)
    deadline = time.monotonic() + patience
    while True:
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(sockaddr)
            listener.listen(BACKLOG)
        except OSError as error:
            listener.close()
            if error.errno == errno.EADDRINUSE and time.monotonic() < deadline:
                time.sleep(AGAIN)
                continue
            raise ListenFailed(_explain(address, error)) from error
        listener.setblocking(False)
        return listener


def _resolve(address: Address) -> tuple[socket.AddressFamily, tuple[object, ...]]:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenFailed(f"{address.host!r} is not an address of this machine: {error.strerror}") from error
    found.sort(key=lambda entry: entry[0] is not socket.AF_INET)
    family, _, _, _, sockaddr = found[0]
    return family, sockaddr


def _explain(address: Address, error: OSError) -> str:
    reasons = {
        "EADDRINUSE": f"{address} is in use by another process; stop it or choose another port",
        "EACCES": f"{address} needs more rights; choose a port from 1024 on",
        "EADDRNOTAVAIL": f"{address.host} is not an address of this machine",
    }
    return reasons.get(_name_of(error), f"{address} cannot be listened on: {error.strerror}")


def _name_of(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "")
