"""probe http[s]://HOST:PORT/PATH | tcp://HOST:PORT: ends with 0 where that answers (200 to 399), with 1 where not.

The image has no curl. This runs every few seconds, so it imports as little as will do: not even http.client.
"""

import socket
import ssl
import sys

SECONDS = 2.0


def reach(address: str) -> None:
    """Ask once. ValueError for what is no such address, OSError where nothing good answers."""
    scheme, _, rest = address.partition("://")
    place, slash, path = rest.partition("/")
    host, _, port = place.rpartition(":")
    if scheme not in ("tcp", "http", "https"):
        raise ValueError("give http[s]://HOST:PORT/PATH or tcp://HOST:PORT")
    with socket.create_connection((host.strip("[]"), int(port)), SECONDS) as plain:
        if scheme == "tcp":
            return
        with _secured(plain) if scheme == "https" else plain as stream:
            stream.sendall(f"GET {slash}{path} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n".encode())
            line = stream.makefile("rb").readline()
    status = int(line.split()[1]) if line.startswith(b"HTTP/") else 0
    if not 200 <= status < 400:
        raise OSError(f"answered {line!r}")


def _secured(stream: socket.socket) -> socket.socket:
    """Whether something answers there is the question, not who: as a kubelet's own probe has it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(stream)


if __name__ == "__main__":
    try:
        reach(sys.argv[1] if len(sys.argv) == 2 else "")
    except (ValueError, OSError) as error:
        sys.exit(f"{sys.argv[1:]}: {error}")
