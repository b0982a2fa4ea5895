"""A program: asks one path of a port on loopback until its input ends.

Prints each answer's body as JSON when it differs from the one before, and at the end how it went.
"""

import http.client
import json
import sys
import threading

CONNECTIONS = 2


class Calls:
    """What all connections saw."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0
        self.failed: list[str] = []
        self._last = ""
        self.stopping = threading.Event()

    def saw(self, body: str) -> None:
        with self._lock:
            self.count += 1
            if body != self._last:
                self._last = body
                print(json.dumps(body), flush=True)

    def failure(self, what: str) -> None:
        with self._lock:
            self.failed.append(what)


def ask(calls: Calls, port: int, path: str) -> None:
    """Ask over one connection, which is made anew where the server closed it after an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    while not calls.stopping.is_set():
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read().decode()
        except (OSError, http.client.HTTPException) as ex:
            calls.failure(repr(ex))
            return
        if answer.status == 200:
            calls.saw(body)
        else:
            calls.failure(f"{answer.status}: {body}")
    connection.close()


def main() -> None:
    """Read the arguments PORT and PATH, ask until standard input ends."""
    calls = Calls()
    threads = [threading.Thread(target=ask, args=(calls, int(sys.argv[1]), sys.argv[2])) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    calls.stopping.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"count": calls.count, "failed": calls.failed[:10]}), flush=True)


if __name__ == "__main__":
    main()
