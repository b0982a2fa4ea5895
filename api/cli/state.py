"""The key-value stores that plugins read: `state get`, `state set`. Works on the stores themselves, not on a daemon."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from api.cli.frame import DIRECTORY, FILE, PREFIX, Failed, asks_stores, command
from reconciler.state.errors import StoresInvalid, StoreUnavailable
from reconciler.state.memory import MemoryStore
from reconciler.state.registry import StoreRegistry, parse_stores
from reconciler.state.store import Store
from specs.document import load_data
from specs.errors import SpecInvalid
