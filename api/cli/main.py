"""All commands together."""

import click

from api.cli.change import apply, delete, plan, rollback, scale
from api.cli.check import schema, validate
from api.cli.look import describe, events, explain, get
from api.cli.serve import serve
from api.version import version


def _print_version(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        click.echo(f"wasm-reconciler {version()}")
        ctx.exit()


@click.group(context_settings={"max_content_width": 110})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def main() -> None:
    """Say in files which WebAssembly plugins should run on this node; exactly those run."""


for _command in (
    serve,
    apply,
    plan,
    get,
    describe,
    explain,
    scale,
    delete,
    rollback,
    events,
    validate,
    schema,
):
    main.add_command(_command)
