"""A program: asks an address once, and prints the status: ask_once.py URL [TOKEN [AUTHORITIES NAME]].

Without authorities whoever answers is believed, as a kubelet's probe does; with them NAME has to be the server's.
"""

import socket
import ssl
import sys
import urllib.parse


def main() -> None:
    """Read the arguments and ask."""
    address, token, authorities, name = [*sys.argv[1:], "", "", ""][:4]
    url = urllib.parse.urlsplit(address)
    stream = socket.create_connection((url.hostname or "", url.port or 0), 10)
    if url.scheme == "https":
        context = ssl.create_default_context(cafile=authorities or None)
        if not authorities:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        stream = context.wrap_socket(stream, server_hostname=name or url.hostname)
    lines = [f"GET {url.path} HTTP/1.1", f"Host: {url.netloc}", "Connection: close"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    with stream:
        stream.sendall("\r\n".join([*lines, "", ""]).encode())
        print(int(stream.makefile("rb").readline().split()[1]))


if __name__ == "__main__":
    main()
