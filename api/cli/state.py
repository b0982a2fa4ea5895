"""The key-value stores that plugins read: `state get`, `state set`. Opens the stores themselves and asks no daemon."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from api.cli.frame import DIRECTORY, FILE, PREFIX, Failed, command, read_input
from api.cli.serve import default_state
from reconciler.state.errors import StateError
from reconciler.state.memory import MemoryStore
from reconciler.state.registry import StoreRegistry, parse_stores
from reconciler.state.store import Store
from specs.document import load_data
from specs.errors import SpecInvalid


def _where(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that `serve` has for stores."""
    state = click.option(
        "--state",
        type=DIRECTORY,
        default=default_state,
        envvar=f"{PREFIX}_STATE",
        show_default="$XDG_STATE_HOME/wasm-reconciler",
        metavar="DIR",
        help="The daemon's own directory.",
    )
    stores = click.option("--stores", type=FILE, envvar=f"{PREFIX}_STORES", metavar="FILE", help="Names the stores.")
    return state(stores(function))


@click.group()
def state() -> None:
    """Read and write the key-value stores that plugins use."""


@command("get", "wasm-reconciler state get state_demo book1")
@click.argument("store")
@click.argument("key")
@_where
def get(store: str, key: str, state: Path, stores: Path | None) -> None:
    """Print the value of a key. Exits with 1 where there is none."""
    with _open(store, state, stores) as found:
        value = found.get(key)
    if value is None:
        raise Failed(f"there is no {key} in {store}; put it there with: wasm-reconciler state set {store} {key} VALUE")
    sys.stdout.buffer.write(value + b"\n")


@command("set", "wasm-reconciler state set state_demo book1 100")
@click.argument("store")
@click.argument("key")
@click.argument("value")
@_where
def set_value(store: str, key: str, value: str, state: Path, stores: Path | None) -> None:
    """Put a value there; - for standard input. Guests see it with their next look."""
    with _open(store, state, stores) as found:
        found.set(key, (read_input("-") if value == "-" else value).encode())


state.add_command(get)
state.add_command(set_value)


@contextmanager
def _open(name: str, directory: Path, stores: Path | None) -> Iterator[Store]:
    """A store. Raises Failed where it cannot be used from here."""
    try:
        configured = {} if stores is None else parse_stores(load_data(stores))
        with StoreRegistry(directory, configured) as registry:
            store = registry.find(name)
            if isinstance(store, MemoryStore):
                raise Failed(f"{name} lives in the daemon's memory; write its values into {stores}")
            yield store
    except (OSError, SpecInvalid, StateError) as error:
        raise Failed(str(error)) from error
