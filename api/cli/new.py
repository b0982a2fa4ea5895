"""A plugin to begin with: `new`."""

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final

import click

from api.cli.frame import Failed, command, console
from api.cli.toolchains import module_of
from specs.document import plugin_from
from specs.edit import new_file
from specs.errors import SpecInvalid
from specs.model import API_VERSION, KIND

SUFFIXES: Final = {"c": ".c", "go": ".go", "rust": ".rs", "assemblyscript": ".ts", "wat": ".wat"}


@command("new", "wasm-reconciler new c hello", "wasm-reconciler new wat tiny")
@click.argument("language", type=click.Choice(list(SUFFIXES)))
@click.argument("name")
def new(language: str, name: str) -> None:
    """Make a directory NAME with a plugin that builds and runs: its source, and the spec that asks for it."""
    directory = Path(name)
    source = write_skeleton(language, directory)
    out = console()
    out.print(f"{source} and {directory / 'plugin.yaml'} are there. Next:", soft_wrap=True)
    out.print("  mkdir -p specs   # where the daemon writes down what should run", soft_wrap=True)
    out.print(
        "  wasm-reconciler serve --specs specs --module-root .   # in another terminal, if no daemon runs",
        soft_wrap=True,
    )
    if language == "assemblyscript":
        out.print(f"  npm install --prefix {directory}", soft_wrap=True)
    out.print(f"  wasm-reconciler dev {source}   # build it, run it, and again whenever you save it", soft_wrap=True)


def write_skeleton(language: str, directory: Path) -> Path:
    """Write the files; where the source is. Raises Failed where something is in the way."""
    name = directory.name
    source = directory / f"{name}{SUFFIXES[language]}"
    module = module_of(source).as_posix()
    data = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": name}, "spec": {"module": {"path": module}}}
    try:
        plugin, _ = plugin_from(data)
    except SpecInvalid as error:
        raise Failed(f"{directory} does not do: {error}") from error
    try:
        directory.mkdir(parents=True)
    except FileExistsError as error:
        raise Failed(f"{directory} is there already; choose another name, or remove it") from error
    except OSError as error:
        raise Failed(f"{directory} cannot be made: {error}") from error
    for template in _templates(language):
        text = template.read_text().replace('"NAME"', f'"{name}"')
        (directory / template.name.replace("NAME", name)).write_text(text)
    (directory / "plugin.yaml").write_text(new_file(plugin))
    return source


def _templates(language: str) -> list[Traversable]:
    folder = resources.files("api.cli") / "skeletons" / language
    return sorted((file for file in folder.iterdir() if file.is_file()), key=lambda file: file.name)
