"""What a light component finds around it, where the adapter passes its questions on (http_adapter.passed).

Belongs here: functions of those interfaces, as the host answers them. Does not: what ordinary components find, which
the engine has (system.py, stores.py).
"""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from reconciler.wasm.ffi.components import GuestRefused
from reconciler.wasm.wasi_http.exchange import Exchange
from reconciler.wasm.wasi_http.stores import config_of

_MOST_RANDOM: Final = 256 * 1024
"""Bytes at once; the engine makes a value of each."""


def _environment(exchange: Exchange) -> list[tuple[str, str]]:
    return list(exchange.spec.env)


def _arguments(exchange: Exchange) -> list[str]:
    return [exchange.spec.plugin]


def _no_directory(_exchange: Exchange) -> None:
    return None


def _now(_exchange: Exchange) -> tuple[int, int]:
    return divmod(time.time_ns(), 1_000_000_000)


def _resolution(_exchange: Exchange) -> tuple[int, int]:
    return 0, 1


def _bytes(_exchange: Exchange, count: int) -> bytes:
    if count > _MOST_RANDOM:
        raise GuestRefused(f"more than {_MOST_RANDOM} random bytes at once")
    return os.urandom(count)


def _number(_exchange: Exchange) -> int:
    return int.from_bytes(os.urandom(8), "little")


def _numbers(exchange: Exchange) -> tuple[int, int]:
    return _number(exchange), _number(exchange)


def _get(exchange: Exchange, key: str) -> tuple[bool, str | None]:
    return True, config_of(exchange.spec.config).get(key)


def _get_all(exchange: Exchange) -> tuple[bool, list[tuple[str, str]]]:
    return True, list(config_of(exchange.spec.config).items())


SURROUNDINGS: Final[Mapping[str, Mapping[str, Callable[..., Any]]]] = {
    "wasi:cli/environment": {
        "get-environment": _environment,
        "get-arguments": _arguments,
        "initial-cwd": _no_directory,
    },
    "wasi:clocks/wall-clock": {"now": _now, "resolution": _resolution},
    "wasi:random/random": {"get-random-bytes": _bytes, "get-random-u64": _number},
    "wasi:random/insecure": {"get-insecure-random-bytes": _bytes, "get-insecure-random-u64": _number},
    "wasi:random/insecure-seed": {"insecure-seed": _numbers},
    "wasi:config/store": {"get": _get, "get-all": _get_all},
}
"""By interface and name; each takes the exchange first."""
