"""Checking without a daemon: `validate`, `schema`."""

import json
import sys
from pathlib import Path

import click

from api.cli.frame import command
from specs.document import validate_file
from specs.errors import Problem
from specs.model import WasmPlugin


@command("validate", "wasm-reconciler validate hello/plugin.yaml")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
def validate(files: tuple[Path, ...]) -> None:
    """Check spec files and config.json files, all of them, without running anything.

    Prints every problem as FILE:LINE:COLUMN and exits with 1, or says how many plugins there are.
    """
    problems: list[Problem] = []
    places: dict[str, str] = {}
    for file in files:
        documents, found = validate_file(file)
        problems += found
        for document in documents:
            name = document.plugin.name
            if name in places:
                message = f"the name {name} is taken by {places[name]}; give one of them another name"
                problems.append(Problem(message, str(file), document.line, 1))
            else:
                places[name] = f"{file}:{document.line}"
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        wrong = {problem.file for problem in problems}
        click.echo(f"{_count(len(problems), 'problem')} in {_count(len(wrong), 'file')}", err=True)
        sys.exit(1)
    click.echo(f"{_count(len(places), 'plugin')}, all valid")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


@command("schema", "wasm-reconciler schema")
def schema() -> None:
    """Print the JSON Schema of a WasmPlugin, for editors and other checkers."""
    described = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | WasmPlugin.model_json_schema()
    click.echo(json.dumps(described, indent=2))
