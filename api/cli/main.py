"""All commands together. Each is loaded when it is used: asking a daemon needs nothing of what running one does."""

import gc
from collections.abc import Mapping
from importlib import import_module
from typing import Final

import click

from api.version import version

COMMANDS: Final = {
    "serve": "serve:serve",
    "new": "new:new",
    "dev": "dev:dev",
    "apply": "change:apply",
    "plan": "change:plan",
    "get": "look:get",
    "describe": "look:describe",
    "explain": "look:explain",
    "top": "top:top",
    "logs": "invoke:logs",
    "events": "look:events",
    "invoke": "invoke:invoke",
    "scale": "change:scale",
    "rollback": "change:rollback",
    "delete": "change:delete",
    "state": "state:state",
    "validate": "check:validate",
    "schema": "check:schema",
    "doctor": "doctor:doctor",
    "completion": "completion:completion",
}
"""Module and name of each command, in the order of getting to know them."""


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for."""

    def __init__(self, *arguments: object, places: Mapping[str, str], **attributes: object) -> None:
        super().__init__(*arguments, **attributes)  # type: ignore[arg-type]
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in their order."""
        return list(self._places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command; None where there is none of that name."""
        place = self._places.get(cmd_name)
        if place is None:
            return None
        module, _, name = place.partition(":")
        found = getattr(import_module(f"api.cli.{module}"), name)
        assert isinstance(found, click.Command)
        return found


def _print_version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"wasm-reconciler {version()}")
        ctx.exit()


@click.group(cls=LazyGroup, places=COMMANDS, context_settings={"max_content_width": 110})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def main() -> None:
    """Say in files which WebAssembly plugins should run on this node; exactly those run."""


def run() -> None:
    """The command as a process of its own, which it tunes first.

    What it loads stays (code; in a daemon tens of thousands of instances, specs, statuses): the collector would look
    for garbage among them in vain, for a tenth of the time of a start.
    """
    gc.set_threshold(50_000, 20, 50)
    main()
