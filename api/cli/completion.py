"""Completion in the shell: `completion`."""

from typing import Final

import click
from click.shell_completion import get_completion_class

from api.cli.frame import command

_VARIABLE: Final = "_WASM_RECONCILER_COMPLETE"


@command("completion", "wasm-reconciler completion bash > ~/.local/share/bash-completion/completions/wasm-reconciler")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that makes a shell complete commands, options and names of plugins."""
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "wasm-reconciler", _VARIABLE).source())
