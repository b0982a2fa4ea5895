"""Which store a name means: what the stores file says, else a store in the state directory.

The mapping is checked here; the text of the file is read elsewhere. Two spellings of a store are accepted:

    state_demo: {type: redis, url: "redis://localhost:6379/0"}
    state_demo: {"type": "redis", "metadata": {"redisHost": "localhost:6379", "redisPassword": ""}}    Layotto's
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from reconciler.state.errors import StoresInvalid, StoreUnavailable
from reconciler.state.memory import MemoryStore
from reconciler.state.sqlite import SqliteDatabase
from reconciler.state.store import Store

DEFAULT_FILE: Final = "stores.sqlite3"
"""The file in the state directory that holds the stores nobody configured."""

_REDIS_MODULE: Final = "reconciler.state.redis"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MemoryConfig(_Part):
    """A store in this process's memory."""

    type: Literal["memory"]
    values: dict[str, str] = Field(default_factory=dict, description="What the store holds at first.")


class SqliteConfig(_Part):
    """A store in an SQLite file."""

    type: Literal["sqlite"]
    path: str | None = Field(None, min_length=1, description="The file, relative to the state directory.")


class RedisMetadata(_Part):
    """A Redis server as Layotto's configuration describes it, for the fields that mean something here."""

    redisHost: str = Field(min_length=1, description="HOST:PORT")  # noqa: N815
    redisPassword: str = ""  # noqa: N815
    redisDB: int = Field(0, ge=0)  # noqa: N815
    enableTLS: bool = False  # noqa: N815

    @property
    def url(self) -> str:
        """The same as an address."""
        return f"{'rediss' if self.enableTLS else 'redis'}://{self.redisHost}/{self.redisDB}"


class RedisConfig(_Part):
    """A store in a Redis server: exactly one of url, metadata."""

    type: Literal["redis"]
    url: str | None = Field(None, pattern=r"^(redis|rediss|unix)://", description="redis://HOST:PORT/DB")
    metadata: RedisMetadata | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.url is None) == (self.metadata is None):
            raise ValueError("give exactly one of url, metadata")
        return self


StoreConfig = Annotated[MemoryConfig | SqliteConfig | RedisConfig, Field(discriminator="type")]


def parse_stores(stores: object) -> dict[str, MemoryConfig | SqliteConfig | RedisConfig]:
    """Check a mapping of names to stores. Raises StoresInvalid with every problem."""
    adapter: TypeAdapter[dict[str, MemoryConfig | SqliteConfig | RedisConfig]] = TypeAdapter(dict[str, StoreConfig])
    try:
        return adapter.validate_python(stores)
    except ValidationError as error:
        problems = tuple(_sentence(item["loc"], item["msg"], item["type"]) for item in error.errors())
        raise StoresInvalid(problems) from None


def _sentence(location: tuple[int | str, ...], message: str, kind: str) -> str:
    """`stores.NAME.FIELD: MESSAGE`. Pydantic puts the discriminator's value after the name; nobody wrote that."""
    field = ".".join(["stores", *(str(part) for index, part in enumerate(location) if index != 1)])
    if kind == "extra_forbidden":
        message = "unknown field"
    return f"{field}: {message.removeprefix('Value error, ')}"


class StoreRegistry:
    """Finds stores by name. Safe to use from several threads; close() closes every store.

    `directory` is the state directory, `stores` what parse_stores gave. Raises StoreUnavailable where a store can
    never be used, such as redis where redis-py is not installed; a server that does not answer now is no such case.
    """

    def __init__(
        self, directory: Path, stores: Mapping[str, MemoryConfig | SqliteConfig | RedisConfig] | None = None
    ) -> None:
        self._directory = directory
        self._databases: dict[Path, SqliteDatabase] = {}
        self._default = self._database(DEFAULT_FILE)
        self._stores: dict[str, Store] = {name: self._make(name, config) for name, config in (stores or {}).items()}

    def find(self, name: str) -> Store:
        """The store of that name; one in the state directory where it is not configured.

        Such a store is made anew for each caller: guests choose names, so names are not collected.
        """
        return self._stores.get(name) or self._default.store(name)

    def close(self) -> None:
        """Close every store. Idempotent."""
        for store in self._stores.values():
            store.close()
        for database in self._databases.values():
            database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make(self, name: str, config: MemoryConfig | SqliteConfig | RedisConfig) -> Store:
        if isinstance(config, MemoryConfig):
            memory = MemoryStore()
            for key, value in config.values.items():
                memory.set(key, value.encode())
            return memory
        if isinstance(config, SqliteConfig):
            return self._database(config.path or DEFAULT_FILE).store(name)
        return _redis(name, config)

    def _database(self, path: str) -> SqliteDatabase:
        place = self._directory / path
        return self._databases.setdefault(place, SqliteDatabase(place))


def _redis(name: str, config: RedisConfig) -> Store:
    # Loaded by name and only when configured: an import at the top would make the optional redis-py a dependency of
    # everybody, and so would handing the class in from the composition root.
    try:
        module: Any = importlib.import_module(_REDIS_MODULE)
    except ImportError as error:
        raise StoreUnavailable(
            f"store {name} is of type redis, which needs redis-py ({error}): pip install 'wasm-reconciler[redis]'"
        ) from error
    if config.metadata is not None:
        store: Store = module.RedisStore.connect(config.metadata.url, password=config.metadata.redisPassword)
    else:
        store = module.RedisStore.connect(config.url)
    return store
