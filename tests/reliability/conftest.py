"""A daemon that can be killed, and what else its tests need."""

import http.client
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from specs.document import parse_text
from tests.daemon import RunningDaemon, until

SPEC = """\
apiVersion: wasm-reconciler.dev/v1alpha1
kind: WasmPlugin
metadata: {{name: {name}}}
spec:
  instances: {instances}
  module: {{path: {module}.wat}}
"""


class Daemon(RunningDaemon):
    """A daemon that may also end otherwise than it should."""

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def kill(self, how: signal.Signals = signal.SIGKILL) -> None:
        """End it at once, with nothing tidied up. `start` starts it again on the same ports."""
        process, self._process = self._process, None
        assert process is not None
        until(lambda: _ended(process, how), "its end")  # the engine's own handler takes the first SIGSEGV for a guest's
        assert process.wait(timeout=30) == -how
        assert self._reader is not None
        self._reader.join()
        assert process.stderr is not None
        process.stderr.close()

    def want(self, name: str, module: str = "a", instances: int = 1) -> None:
        """Write a spec file in one step."""
        self.write(self.specs / f"{name}.yaml", SPEC.format(name=name, module=module, instances=instances))

    def write(self, path: Path, text: str | bytes) -> None:
        """Put a whole file in place in one step."""
        part = path.with_name(f".{path.name}")
        part.write_bytes(text if isinstance(text, bytes) else text.encode())
        part.rename(path)

    def call(self, route: str, timeout: float = 30.0) -> tuple[int, bytes]:
        """One request to a plugin."""
        connection = http.client.HTTPConnection(self.listen, timeout=timeout)
        try:
            connection.request("GET", "/", headers={"id": route})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def answers(self, route: str, text: str) -> bool:
        """Whether the plugin answers that now."""
        return self.call(route) == (200, text.encode())

    def files(self) -> dict[str, tuple[str, int]]:
        """The plugins that the spec files say, by name: module and instances. Every file must be whole and valid."""
        found = {}
        for path in sorted(self.specs.iterdir()):
            if path.name.startswith("."):
                continue
            parsed = parse_text(path.read_text(), path.name)
            assert not parsed.problems, (path, path.read_text(), parsed.problems)
            for document in parsed.documents:
                spec = document.plugin.spec
                found[document.plugin.name] = (str(spec.module.path), spec.instances)
        return found


def _ended(process: "subprocess.Popen[str]", how: signal.Signals) -> bool:
    """Send the signal once more, if it takes that."""
    if process.poll() is None:
        process.send_signal(how)
    return process.poll() is not None


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon, not started yet; what is left of it is stopped."""
    with Daemon(tmp_path) as made:
        yield made


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[Path, str], None]]:
    """Mounts a disk of a given size somewhere; skips the test where that is not allowed."""
    mounted: list[Path] = []

    def mount(place: Path, size: str) -> None:
        place.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "test", str(place)]
        done = subprocess.run(command, check=False, capture_output=True)
        if done.returncode:
            pytest.skip("only root may mount a disk that is full")
        mounted.append(place)

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)
