"""The site builds without a warning, links lead somewhere, and what pages say of names is so."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.core.states import Condition, Reason
from tests.docs.test_blocks import PAGES, name_of
from tests.parts import ROOT

_FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FILE = re.compile(r"`((?:api|specs|reconciler|tests|docs|examples|charts|benchmarks)/[\w./-]+\.py)`")


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=55,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pages = {path.relative_to(tmp_path / "site").as_posix() for path in (tmp_path / "site").rglob("*.html")}
    assert {"index.html", "reference/spec.html", "reference/commands.html", "reference/metrics.html"} <= pages
    asked = [
        (page, found)
        for page in pages
        for found in re.findall(r'<(?:script|img)[^>]+src="(https?:[^"]+)', (tmp_path / "site" / page).read_text())
    ]
    assert asked == [], "a page asks another server"


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ (.*)$", _FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """The links of a page within the tree: the file, and the anchor in it."""
    for target in _LINK.findall(_FENCED.sub("", page.read_text())):
        path, _, anchor = target.partition("#")
        if "://" not in target:
            yield (page.parent / path if path else page), anchor


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    for file, anchor in links(page):
        if file.parent.name == "reference" and file.name in ("spec.md", "commands.md", "metrics.md"):
            continue  # made with the site, which checks them
        assert file.exists(), f"{name_of(page)}: {file}"
        assert not anchor or anchor in anchors(file), f"{name_of(page)}: {file}#{anchor}"


@pytest.mark.parametrize("page", [page for page in PAGES if "docs" in page.parts[-3:-1]], ids=name_of)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    for name in _FILE.findall(page.read_text()):
        assert (ROOT / name).exists(), f"{name_of(page)}: {name}"


def test_every_condition_and_reason_is_explained() -> None:
    text = (ROOT / "docs" / "concepts.md").read_text()
    assert [word for word in (*Condition, *Reason) if f"`{word}`" not in text] == []
