"""Stores in a Redis server: a value is what GET gives for the key.

The only module that imports redis-py, which is an optional dependency; registry.py loads it by name. Values that
Layotto itself saved lie in a hash under the field `data`, as Dapr's state component writes them; they are read as
well, so that a guest finds what a Layotto sidecar stored.
"""

from typing import Final, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from reconciler.state.errors import StoreUnavailable

TIMEOUT: Final = 0.5
"""Seconds to connect, and seconds for an answer: less than a guest's default timeout, so it can say what failed."""

_DAPR_FIELD: Final = "data"


class RedisStore:
    """A Store in a Redis server.

    Connections are made when needed and pooled, one for each thread that waits. One that broke is replaced and the
    command sent again, once: every command here may be repeated.
    """

    waits = True

    def __init__(self, client: "redis.Redis", place: str) -> None:
        self._client = client
        self._place = place

    @classmethod
    def connect(cls, url: str, *, password: str | None = None, timeout: float = TIMEOUT) -> Self:
        """A store at `redis://HOST:PORT/DB`, `rediss://...` (TLS) or `unix:///PATH?db=N`. Connects when first used.

        Raises StoreUnavailable where the address makes no sense.
        """
        try:
            pool = redis.ConnectionPool.from_url(
                url,
                password=password or None,
                socket_timeout=timeout,
                socket_connect_timeout=timeout,
                retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
            )
        except ValueError as error:
            raise StoreUnavailable(f"redis: {error}") from error
        return cls(redis.Redis.from_pool(pool), _without_secrets(url))

    def get(self, key: str) -> bytes | None:
        """The value; None where there is none."""
        try:
            return self._get(key)
        except redis.RedisError as error:
            raise self._unavailable(error) from error

    def set(self, key: str, value: bytes) -> None:
        """Put a value there."""
        try:
            self._client.set(key, value)
        except redis.RedisError as error:
            raise self._unavailable(error) from error

    def delete(self, key: str) -> bool:
        """Remove a value; whether there was one."""
        try:
            return bool(self._client.delete(key))
        except redis.RedisError as error:
            raise self._unavailable(error) from error

    def keys(self, start: int, most: int) -> tuple[list[str], int]:
        """Some keys of the whole database, and where the next ones start; one that is no text is left out."""
        try:
            after, found = self._client.scan(start, count=most)
        except redis.RedisError as error:
            raise self._unavailable(error) from error
        return [key for key in map(_as_text, found) if key is not None], int(after)

    def swap(self, key: str, old: bytes | None, new: bytes) -> bool:
        """Put a value there in place of that one."""
        try:
            with self._client.pipeline() as pipe:
                pipe.watch(key)  # type: ignore[no-untyped-call]
                if self._get(key) != old:
                    return False
                pipe.multi()
                pipe.set(key, new)
                pipe.execute()
                return True
        except redis.WatchError:
            return False
        except redis.RedisError as error:
            raise self._unavailable(error) from error

    def close(self) -> None:
        """Close the connections. Idempotent."""
        self._client.close()

    def _get(self, key: str) -> bytes | None:
        try:
            value = self._client.get(key)
        except redis.ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            value = self._client.hget(key, _DAPR_FIELD)
        return value if isinstance(value, bytes) else None

    def _unavailable(self, error: redis.RedisError) -> StoreUnavailable:
        return StoreUnavailable(f"redis at {self._place}: {error}")


def _as_text(key: bytes | str) -> str | None:
    try:
        return key if isinstance(key, str) else key.decode()
    except UnicodeDecodeError:
        return None


def _without_secrets(url: str) -> str:
    """The address for messages: what stands before an `@` may be a password."""
    return url.rpartition("@")[2].rpartition("//")[2]
