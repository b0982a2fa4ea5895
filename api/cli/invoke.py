"""Using what runs: `invoke` and `logs`."""

import json
import os
import ssl
import sys
import time
import urllib.parse
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click
from rich.markup import escape

from api.cli.frame import Failed, PluginName, asks_daemon, command, console, output_option, read_input
from api.client import Answer, Client, Place, exchange

_COLOURS: Final = {"DEBUG": "dim", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red"}
_THIS_MACHINE: Final = ("0.0.0.0", "[::]", "127.0.0.1", "[::1]", "localhost")  # noqa: S104 - where others listen


@command(
    "invoke",
    "wasm-reconciler invoke hello",
    "wasm-reconciler invoke hello /some/path -X POST -H 'content-type: text/plain' -d 'a body'",
)
@click.argument("route")
@click.argument("path", default="/")
@click.option("-X", "--method", help="The request's method. Default: GET, or POST with a body.")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header; may be given again.")
@click.option("-d", "--data", help="The body; @FILE for a file's content, @- for standard input.")
@click.option("--body-only", is_flag=True, help="Print the answer's body and nothing else.")
@asks_daemon
def invoke(
    client: Client, route: str, path: str, method: str | None, headers: Sequence[str], data: str | None, body_only: bool
) -> None:
    """Send a request to a route; show the answer, how long it took, and what the guests logged meanwhile.

    Exits with 1 where the answer's status is 400 or more.
    """
    body = _body(data)
    given = [_header(text) for text in headers]
    request_id = next((value for name, value in given if name.lower() == "x-request-id"), "")
    if not request_id:
        request_id = f"cli-{os.urandom(8).hex()}"
        given.append(("x-request-id", request_id))
    called = call(client, route, path, method or ("POST" if data is not None else "GET"), given, body)
    if body_only:
        sys.stdout.buffer.write(called.answer.body)
        sys.stdout.buffer.flush()
    else:
        show_call(called)
    if called.answer.status >= 400:
        sys.exit(1)


class Called:
    """An answer, how long it took, and the guests' lines of that request."""

    def __init__(self, answer: Answer, seconds: float, lines: Sequence[Mapping[str, Any]]) -> None:
        self.answer = answer
        self.seconds = seconds
        self.lines = lines


def call(client: Client, route: str, path: str, method: str, headers: list[tuple[str, str]], body: bytes) -> Called:
    """One request by the path /invoke/ROUTE. `headers` hold the request id. Raises ClientError."""
    target = f"/invoke/{urllib.parse.quote(route, safe='')}{path if path.startswith('/') else f'/{path}'}"
    place = data_plane(client)
    began = time.perf_counter()
    answer = exchange(place, method, target, headers, body)
    seconds = time.perf_counter() - began
    request_id = next(value for name, value in headers if name.lower() == "x-request-id")
    lines = client.get(f"/logs?request_id={urllib.parse.quote(request_id, safe='')}")["items"]
    return Called(answer, seconds, lines)


def data_plane(client: Client) -> Place:
    """Where the data plane is. Where it listens on every address, or on loopback, the admin port's host is used."""
    node = client.get("/node")
    host, _, port = node["listen"].rpartition(":")
    if host in _THIS_MACHINE:
        host = urllib.parse.urlsplit(client.server).hostname or "127.0.0.1"
        host = f"[{host}]" if ":" in host else host
    return Place(f"{host}:{port}", (client.tls or ssl.create_default_context()) if node["tls"] else None)


def show_call(called: Called) -> None:
    """For people: status and time, headers, body, log lines."""
    out, answer = console(), called.answer
    colour = "green" if answer.status < 400 else "red"
    out.print(f"[{colour}]{answer.status}[/] in {called.seconds * 1000:.2f} ms")
    for name, value in answer.headers.items():
        out.print(f"[dim]{escape(name)}: {escape(value)}[/]", soft_wrap=True)
    text = answer.body.decode(errors="replace")
    out.print()
    out.out(text, highlight=False, end="" if text.endswith("\n") else "\n")
    for line in called.lines:
        out.print(f"[dim]log[/] {line_markup(line)}", soft_wrap=True)


@command("logs", "wasm-reconciler logs", "wasm-reconciler logs hello --tail 20", "wasm-reconciler logs -o json")
@click.argument("name", type=PluginName(), required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on: print lines as they come.")
@click.option("--tail", type=click.IntRange(min=0), default=100, show_default=True, help="How many of the last lines.")
@click.option("--request-id", default="", help="Lines of one request only.")
@output_option("json")
@asks_daemon
def logs(client: Client, name: str | None, follow: bool, tail: int, request_id: str, output: str) -> None:
    """Show what guests said lately: all of them, or one plugin's."""
    query = urllib.parse.urlencode({"plugin": name or "", "request_id": request_id, "limit": tail})
    if not follow:
        for line in client.get(f"/logs?{query}")["items"]:
            _print_line(line, output)
        return
    with client.lines(f"/logs?{query}&follow=true") as lines:
        for line in lines:
            _print_line(line, output)


def line_markup(line: Mapping[str, Any]) -> str:
    """A guest's line for people."""
    colour = _COLOURS.get(line["level"], "none")
    request = f" [dim]{escape(line['request_id'])}[/]" if line["request_id"] else ""
    return f"{line['time']} [{colour}]{line['level']}[/] {escape(line['plugin'])}{request} {escape(line['message'])}"


def _print_line(line: Mapping[str, Any], output: str) -> None:
    if output == "json":
        click.echo(json.dumps(line))
    else:
        console().print(line_markup(line), soft_wrap=True)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise Failed(f"{text!r} is no header; write -H 'NAME: VALUE'")
    return name.strip(), value.strip()


def _body(data: str | None) -> bytes:
    if data is None:
        return b""
    return read_input(data[1:]).encode() if data.startswith("@") else data.encode()
