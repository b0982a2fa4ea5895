"""The bounds of the data plane, as one frozen value. Seconds, bytes and numbers of things."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Settings:
    """What one client, and all of them together, may take.

    `header_timeout` runs from a request's first byte to the end of its head, `body_timeout` between two pieces of a
    body, `keep_alive_timeout` between requests, `write_timeout` while a client takes nothing of an answer.
    `streams` is how many requests of one HTTP/2 connection are under way at a time. `sweep` is how often clients that
    are late are looked for, so how much later than these times they may be found;
    `linger` is how long a connection that we close is still read, so that the client gets the answer before a reset.
    """

    connections: int = 10_000
    streams: int = 100
    header_count: int = 100
    header_bytes: int = 64 * 1024
    url_bytes: int = 16 * 1024
    header_timeout: float = 30.0
    body_timeout: float = 30.0
    keep_alive_timeout: float = 75.0
    write_timeout: float = 30.0
    linger: float = 2.0
    sweep: float = 1.0
    guest_threads: int = 1024
    guest_thread_idle: float = 10.0
