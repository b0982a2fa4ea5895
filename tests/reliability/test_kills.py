"""A daemon that is killed while its files change, by hand and over HTTP: nothing is lost that it acknowledged, no file
is ever half-written, and each time that it comes back it becomes what the files say."""

import http.client
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.daemon import until
from tests.reliability.conftest import SPEC, Daemon

Plugin = tuple[str, int]
"""What a plugin shall be: its module's path, and how many instances."""
NAMES = ("a", "b", "c", "d")
TEXTS = ("one", "two", "three")


SETTLED = 1.0
"""Seconds after which a file that was written in place is taken for finished, many times over."""


class Changes:
    """Random changes, and what must come of them. `wanted` is what is certain, `maybe` what was left open.

    A kill leaves open whether a call took effect. So does a file that was written in place a moment before: until it
    rests it may be half of what its editor means, and a call is about what the file said before.
    """

    def __init__(self, daemon: Daemon, seed: int) -> None:
        self.daemon = daemon
        self.wanted: dict[str, Plugin] = {}
        self.maybe: dict[str, Plugin | None] = {}
        self.acknowledged = 0
        self._in_place: dict[str, tuple[float, Plugin]] = {}
        self._random = random.Random(seed)
        for text in TEXTS:
            daemon.module(f"{text}.wat", text)

    def one(self, *, killed_at: float | None = None) -> None:
        """Make a change; kill the daemon so many seconds after it began, if at all."""
        name, module = self._random.choice(NAMES), f"{self._random.choice(TEXTS)}.wat"
        wanted = (module, self._random.randint(1, 3))
        killer = threading.Timer(killed_at, self.daemon.kill) if killed_at is not None else None
        if killer is not None:
            killer.start()
        way = self._random.choice((self._by_file, self._by_file_removed, self._by_http, self._by_http))
        way(name, wanted)
        if killer is not None:
            killer.join()

    def moment(self) -> float:
        """When to kill."""
        return self._random.choice((0.0, self._random.uniform(0, 0.004), self._random.uniform(0, 0.03)))

    def _by_file(self, name: str, wanted: Plugin) -> None:
        path = self._file_of(name) or self.daemon.specs / f"{name}.yaml"
        text = SPEC.format(name=name, module=wanted[0].removesuffix(".wat"), instances=wanted[1])
        if self._random.random() < 0.5:
            self.daemon.write(path, text)
        else:
            path.write_text(text)
            self._in_place[name] = time.monotonic(), wanted
        self.wanted[name] = wanted
        self.maybe.pop(name, None)

    def _by_file_removed(self, name: str, _wanted: Plugin) -> None:
        path = self._file_of(name)
        if path is not None:
            path.unlink()
            self.wanted.pop(name, None)
            self.maybe.pop(name, None)

    def _file_of(self, name: str) -> Path | None:
        """The one file that has the plugin: those over HTTP have files of the daemon's naming."""
        found = [path for path in self.daemon.specs.glob("[!.]*") if f"name: {name}}}" in _plain(path)]
        found += [path for path in self.daemon.specs.glob("[!.]*") if f'"name": "{name}"' in _plain(path)]
        found += [path for path in self.daemon.specs.glob("[!.]*") if path.stem == name and path not in found]
        return found[0] if found else None

    def _by_http(self, name: str, wanted: Plugin) -> None:
        have = self.wanted.get(name)
        if have is None:
            body = {"name": name, "instance_num": wanted[1], "vm_config": {"engine": "wasmtime", "path": wanted[0]}}
            self._call("/wasm/install", body, name, wanted)
        elif self._random.random() < 0.6:
            self._call("/wasm/update", {"name": name, "instance_num": wanted[1]}, name, (have[0], wanted[1]))
        else:
            self._call("/wasm/uninstall", {"name": name}, name, None)

    def _call(self, path: str, body: object, name: str, wanted: Plugin | None) -> None:
        try:
            status, _, _ = self.daemon.ask("POST", path, body)
        except (OSError, http.client.HTTPException):
            self.maybe[name] = wanted
            return
        if 200 <= status < 300:
            self.acknowledged += 1
            self.maybe.pop(name, None)
            written, content = self._in_place.get(name, (0.0, None))
            if time.monotonic() - written < SETTLED:
                self.maybe[name] = content
            if wanted is None:
                self.wanted.pop(name, None)
            else:
                self.wanted[name] = wanted

    def check_files(self) -> None:
        """The files say what was acknowledged; what a kill left open is one or the other, and certain from now on."""
        files = self.daemon.files()
        for name in NAMES:
            allowed = [self.wanted.get(name)] + ([self.maybe[name]] if name in self.maybe else [])
            assert files.get(name) in allowed, (name, files.get(name), allowed)
        self.wanted, self.maybe = files, {}

    def check_served(self) -> None:
        """The daemon becomes what the files say."""
        for name in NAMES:
            if name in self.wanted:
                text = self.wanted[name][0].removesuffix(".wat")
                until(lambda: self.daemon.answers(name, text), f"{name} answers {text}")  # noqa: B023
            else:
                until(lambda: self.daemon.call(name)[0] == 404, f"{name} is gone")  # noqa: B023


def _plain(path: Path) -> str:
    return path.read_text()


def changes_and_kills(daemon: Daemon, *, seed: int, kills: int, between: int) -> Changes:
    """Kill a daemon so often, with so many changes between; the last of them is the one under way."""
    changes = Changes(daemon, seed)
    daemon.start()
    for _ in range(kills):
        for _ in range(between - 1):
            changes.one()
        changes.one(killed_at=changes.moment())
        changes.check_files()
        daemon.start()
        changes.check_served()
    changes.check_files()
    return changes


@pytest.mark.timeout(180)
def test_a_daemon_killed_at_any_moment_loses_nothing(daemon: Daemon) -> None:
    changes = changes_and_kills(daemon, seed=3, kills=10, between=5)
    assert changes.acknowledged > 5


@pytest.mark.soak
@pytest.mark.timeout(1200)
def test_500_changes_and_100_kills(daemon: Daemon) -> None:
    began = time.monotonic()
    changes = changes_and_kills(daemon, seed=20261124, kills=100, between=5)
    print(f"\n500 changes, 100 kills, {changes.acknowledged} acknowledged calls: {time.monotonic() - began:.0f} s")


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGABRT])
def test_after_a_native_crash_it_serves_from_files_and_compiled_modules(daemon: Daemon, how: signal.Signals) -> None:
    daemon.module("one.wat", "one")
    daemon.want("a", "one", 2)
    daemon.start()
    until(lambda: daemon.answers("a", "one"))
    daemon.kill(how)
    daemon.start()
    assert daemon.answers("a", "one")
    (plugin,) = daemon.json("/apis/wasm-reconciler.dev/v1alpha1/wasmplugins")["items"]
    reasons = {one["type"]: one["reason"] for one in plugin["status"]["conditions"]}
    assert reasons["ModuleReady"] == "CacheHit"
