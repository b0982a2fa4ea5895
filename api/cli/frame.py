"""What commands share: the options about the daemon and the output, examples in the help, how errors end."""

import os
import ssl
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from click.shell_completion import CompletionItem

from api.client import DEFAULT_SERVER, Client, ClientError

if TYPE_CHECKING:
    from rich.console import Console

PREFIX: Final = "WASM_RECONCILER"
FILE: Final = click.Path(dir_okay=False, path_type=Path)
DIRECTORY: Final = click.Path(file_okay=False, path_type=Path)
F = TypeVar("F", bound=Callable[..., Any])


class Failed(click.ClickException):
    """A command failed; the sentence says why and what to do. Exit code 1."""

    def show(self, file: Any = None) -> None:
        """On standard error, with the first word in red where colours are wanted."""
        errors().print(f"[bold red]error:[/] {_escaped(self.message)}", highlight=False, soft_wrap=True)


class Command(click.Command):
    """A command with examples in its help: lines that can be run as they stand."""

    def __init__(self, *arguments: Any, examples: Sequence[str] = (), **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.examples = tuple(examples)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples."""
        if self.examples:
            formatter.write_paragraph()
            formatter.write("Examples:\n")
            for example in self.examples:
                formatter.write(f"  $ {example}\n")

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; a daemon that says no ends it with its sentence and exit code 1, Ctrl-C with 130 and nothing."""
        try:
            return super().invoke(ctx)
        except ClientError as error:
            raise Failed(str(error)) from error
        except KeyboardInterrupt:
            ctx.exit(130)


def command(name: str, *examples: str, **attributes: Any) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a command."""

    def make(function: Callable[..., Any]) -> Command:
        return click.command(name, cls=Command, examples=examples, **attributes)(function)

    return make


class PluginName(click.ParamType[str]):
    """The name of a plugin, which the shell completes with the daemon's plugins."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names that begin so; none where no daemon answers."""
        server = ctx.params.get("server") or os.environ.get(f"{PREFIX}_SERVER") or DEFAULT_SERVER
        try:
            items = Client(server, os.environ.get(f"{PREFIX}_TOKEN", "")).plugins()["items"]
        except ClientError:
            return []
        names = [item["metadata"]["name"] for item in items]
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def asks_daemon(function: F) -> F:
    """Give a command the options that say which daemon, as one argument: `client`."""
    for option in (
        click.option("--ca", type=FILE, envvar=f"{PREFIX}_CA", help="The certificate authority of an https server."),
        click.option("--token", envvar=f"{PREFIX}_TOKEN", default="", help="Who you are, where the daemon asks."),
        click.option(
            "--server",
            envvar=f"{PREFIX}_SERVER",
            default=DEFAULT_SERVER,
            show_default=True,
            show_envvar=True,
            metavar="URL",
            help="The daemon's admin port.",
        ),
    ):
        function = option(function)

    def with_client(*arguments: Any, server: str, token: str, ca: Path | None, **others: Any) -> Any:
        tls = ssl.create_default_context(cafile=ca) if server.startswith("https:") else None
        return function(*arguments, client=Client(server, token, tls), **others)

    with_client.__name__ = getattr(function, "__name__", "command")
    with_client.__doc__ = function.__doc__
    with_client.__click_params__ = getattr(function, "__click_params__", [])  # type: ignore[attr-defined]
    return with_client  # type: ignore[return-value]


def output_option(*forms: str) -> Callable[[F], F]:
    """`-o`: how to print, `table` if nothing is said."""
    return click.option(
        "-o", "--output", type=click.Choice(["table", *forms]), default="table", show_default=True, help="How to print."
    )


def console(*, stderr: bool = False) -> "Console":
    """Standard output, or error. No colours where it is no terminal, or NO_COLOR is set."""
    from rich.console import Console  # noqa: PLC0415 - 20 ms of the start of `serve`, which prints nothing with it

    return Console(stderr=stderr, highlight=False)


def errors() -> "Console":
    """Standard error."""
    return console(stderr=True)


def note(text: str) -> None:
    """A remark that is not the answer: on standard error."""
    errors().print(f"[dim]{_escaped(text)}[/]", soft_wrap=True)


def read_input(source: str) -> str:
    """The text of a file, or of standard input for `-`. Raises Failed."""
    if source == "-":
        return sys.stdin.read()
    try:
        return Path(source).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise Failed(f"{source} cannot be read: {error}") from error


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")
