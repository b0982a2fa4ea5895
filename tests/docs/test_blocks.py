"""Every command block of the docs is run against a real daemon, as a reader would."""

from pathlib import Path

import click
import pytest

from api.cli.frame import Command
from api.cli.main import main
from tests.docs.blocks import MORE, RUN, SHELLS, Session, blocks, fits
from tests.docs.place import prepare
from tests.parts import ROOT

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "charts/wasm-reconciler/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "examples").rglob("*.md")),
]
"""Everything that people read, save what lies in directories that tools made."""
LEFT_OUT = {
    ("README.md", "needs a cluster"),
    ("charts/wasm-reconciler/README.md", "needs a cluster"),
    ("docs/first-minutes.md", "needs the network"),
}
"""What cannot be run here, and why."""


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


RUNNABLE = [page for page in PAGES if any(one.language == RUN and not one.left_out for one in blocks(page))]


@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_what_a_page_says_happens(page: Path, tmp_path: Path) -> None:
    place = tmp_path / "work"
    session = Session(place, prepare(place, page.read_text()))
    session.follow(page)
    if page.name == "first-minutes.md":
        nothing_is_typed_that_was_not_said(session.said)


def nothing_is_typed_that_was_not_said(said: str) -> None:
    """Each line that is typed was printed before, or is an example in the help of a command that was."""
    context = click.Context(main)
    for at, typed in [(said.index(f"$ {line}\n"), line) for line in typed_lines(said)]:
        before, words = said[:at], typed.split("   # ")[0].rstrip().split()
        if words == ["wasm-reconciler", "--help"] or " ".join(words) in before:
            continue
        command = main.get_command(context, words[1])
        assert f"\n  {words[1]} " in before, f"{words[1]} was typed before it was said"
        assert isinstance(command, Command)
        assert " ".join(words) in command.examples, f"no example in the help says {typed}"


def typed_lines(said: str) -> list[str]:
    return [line[2:] for line in said.splitlines() if line.startswith("$ wasm-reconciler")]


def test_what_is_left_out_is_known_and_says_why() -> None:
    found = {(name_of(page), block.title) for page in PAGES for block in blocks(page) if block.left_out}
    assert found == LEFT_OUT


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_of_a_form_that_is_run(page: Path) -> None:
    text = page.read_text()
    assert text.count("```") == 2 * (len(blocks(page)) + text.count("\n```\n```")), "every block names its language"
    for block in blocks(page):
        assert block.language not in SHELLS, f"{page}:{block.line}: write `console`, and `$ ` before each command"
        if block.language == RUN:
            assert block.text.startswith("$ "), f"{page}:{block.line}"
        assert block.title != MORE or block.language == "text", f"{page}:{block.line}"


def test_an_expected_output_has_to_fit() -> None:
    assert fits("a ... c\n...\nend", "a b c\nx\ny\nend\n")
    assert fits("a\n...", "a\n")
    assert not fits("a", "a\nb\n")
    assert not fits("a ... c", "a b\nc\n")
    assert not fits("a.c", "abc\n")
