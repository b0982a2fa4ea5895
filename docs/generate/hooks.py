"""MkDocs hooks: pages that are made of the code, pages that lie elsewhere in the tree, and links that fit the site.

A page is written once. What the models, the commands and the metrics say of themselves becomes the reference; READMEs
that people find beside the code are shown on the site too. Links are written as they work in the tree.
"""

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import reference
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).parents[2]
ELSEWHERE: Final[Mapping[str, str]] = {
    "index.md": "README.md",
    "guests-c.md": "examples/sdk/c/README.md",
    "components.md": "examples/components/README.md",
    "examples.md": "examples/README.md",
    "chart.md": "charts/wasm-reconciler/README.md",
    "security.md": "SECURITY.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
"""Pages of the site that are files outside of `docs`."""
MADE: Final[Mapping[str, Callable[[], str]]] = {
    "reference/spec.md": reference.spec_page,
    "reference/commands.md": reference.commands_page,
    "reference/metrics.md": reference.metrics_page,
}
"""Pages that are made of the code."""

_LINK: Final = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\]\([^)]*\))*)\]\(([^)\s]+)\)")
_CODE: Final = re.compile(r"(^```.*?^```$)", re.DOTALL | re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add them."""
    for page, place in ELSEWHERE.items():
        files.append(File.generated(config, page, content=(ROOT / place).read_text()))
    for page, make in MADE.items():
        files.append(File.generated(config, page, content=make()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links lead to pages of the site; where the target is a file of the tree only, its name stays."""
    uri = page.file.src_uri
    if uri in MADE:
        return markdown
    home = posixpath.dirname(ELSEWHERE.get(uri, f"docs/{uri}"))
    parts = _CODE.split(markdown)  # fenced code is every second part, and stays
    parts[::2] = [_LINK.sub(lambda found: _moved(found, home, posixpath.dirname(uri)), part) for part in parts[::2]]
    return "".join(parts)


def _moved(link: re.Match[str], home: str, place: str) -> str:
    """A link of a file in the directory `home` of the tree, as it is to be written on a page in `place` of the site."""
    image, text, target = link.groups()
    path, mark, anchor = target.partition("#")
    if not path or "://" in target or target.startswith("mailto:"):
        return link[0]
    inside = posixpath.normpath(posixpath.join(home, path))
    shown = _on_site(inside)
    if shown is None:
        if not (ROOT / inside).exists():
            raise ValueError(f"the link {target} of {home or '.'} leads to no file")
        return text
    return f"{image}[{text}]({posixpath.relpath(shown, place or '.')}{mark}{anchor})"


def _on_site(path: str) -> str | None:
    """Where a file of the tree is on the site."""
    for page, place in ELSEWHERE.items():
        if path == place:
            return page
    page = path.removeprefix("docs/")
    if page in MADE:
        return page
    if not path.startswith("docs/"):
        return None
    inside = f"{page}/README.md" if (ROOT / path).is_dir() else page
    return inside if (ROOT / "docs" / inside).is_file() else None
