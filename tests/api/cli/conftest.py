"""A daemon with a plugin `hello`, a directory to work in, and the command, run in this process as users type it."""

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from api.cli.main import main
from api.cli.new import write_skeleton
from tests.examples.daemon import Daemon, serve

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Desk:
    """Where a user works: the directory, the daemon, and the command."""

    place: Path
    daemon: Daemon

    def run(self, line: str, *, stdin: str | None = None, **environment: str) -> Result:
        """One command line, without the program's name."""
        settings = {"WASM_RECONCILER_SERVER": f"http://{self.daemon.admin}", "COLUMNS": "200"} | environment
        return CliRunner().invoke(main, shlex.split(line), input=stdin, env=settings, prog_name="wasm-reconciler")

    def apply(self, text: str, *flags: str) -> Result:
        return self.run(" ".join(["apply -f -", *flags]), stdin=text)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    place = tmp_path_factory.mktemp("desk")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        (place / "specs").mkdir()
        write_skeleton("wat", Path("hello"))
        (place / "specs" / "hello.yaml").write_text((place / "hello" / "plugin.yaml").read_text())
        with serve(place / "state", "--specs", "specs", "--module-root", ".") as daemon:
            daemon.wait_until_ready({"hello"})
            yield Desk(place, daemon)


def spec(name: str, more: str = "", module: str = "hello/hello.wat") -> str:
    """A plugin's document; `more` is the rest of its spec, in flow style."""
    rest = f", {more}" if more else ""
    head = "apiVersion: wasm-reconciler.dev/v1alpha1, kind: WasmPlugin"
    return f"{{{head}, metadata: {{name: {name}}}, spec: {{module: {{path: {module}}}{rest}}}}}\n"
