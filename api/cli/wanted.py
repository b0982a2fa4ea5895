"""What files want: for `apply` and `plan`."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from api.cli.frame import Failed
from specs.document import Document, parse_text, validate_file
from specs.errors import Problem
from specs.model import WasmPlugin

_SUFFIXES: Final = (".yaml", ".yml", ".json")


def read_wanted(sources: Iterable[str]) -> dict[str, WasmPlugin]:
    """The plugins that files, directories and `-` (standard input) describe, by name. Raises Failed."""
    problems: list[Problem] = []
    found: dict[str, tuple[WasmPlugin, str]] = {}
    for file, documents, wrong in _documents(sources):
        problems += wrong
        for document in documents:
            plugin, place = document.plugin, f"{file}:{document.line}"
            if plugin.name in found:
                message = f"the name {plugin.name} is taken by {found[plugin.name][1]}; give one of them another name"
                problems.append(Problem(message, file, document.line, 1))
            found[plugin.name] = plugin, place
    if problems:
        raise Failed("nothing was changed, for these files are wrong:\n" + "\n".join(f"  {one}" for one in problems))
    return {name: plugin for name, (plugin, _) in found.items()}


def _documents(sources: Iterable[str]) -> Iterable[tuple[str, tuple[Document, ...], tuple[Problem, ...]]]:
    for source in sources:
        if source == "-":
            parsed = parse_text(sys.stdin.read(), "-")
            yield "-", parsed.documents, parsed.problems
        elif Path(source).is_dir():
            for file in _files(Path(source)):
                yield str(file), *validate_file(file)
        else:
            yield source, *validate_file(Path(source))


def _files(directory: Path) -> list[Path]:
    """The spec files below a directory, as the daemon would take them from there."""
    files = [
        path
        for path in sorted(directory.rglob("*"))
        if path.suffix in _SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(directory).parts)
    ]
    if not files:
        raise Failed(f"there is no .yaml, .yml or .json file in {directory}")
    return files
