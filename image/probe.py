"""probe http://HOST:PORT/PATH | tcp://HOST:PORT: 0 where that answers (with 200 to 399), 1 where it does not.

The image has no curl, and this starts in a tenth of the daemon's own command's time: standard library only.
"""

import http.client
import socket
import sys

SECONDS = 2.0


def reach(address):
    """Ask once. ValueError for what is no such address, OSError or HTTPException where nothing good answers."""
    scheme, _, rest = address.partition("://")
    place, slash, path = rest.partition("/")
    host, _, port = place.rpartition(":")
    if scheme == "tcp":
        socket.create_connection((host.strip("[]"), int(port)), SECONDS).close()
        return
    if scheme != "http":
        raise ValueError("give http://HOST:PORT/PATH or tcp://HOST:PORT")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=SECONDS)
    connection.request("GET", slash + path)
    status = connection.getresponse().status
    if not 200 <= status < 400:
        raise OSError(f"answered {status}")


if __name__ == "__main__":
    try:
        reach(*sys.argv[1:2] or [""])
    except (ValueError, OSError, http.client.HTTPException) as error:
        sys.exit(f"{sys.argv[1:2]}: {error}")
