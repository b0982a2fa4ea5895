"""From text to trees, whatever it is written in."""

from specs.json_text import read_json
from specs.nodes import StopReading, Tree
from specs.yaml_text import read_yaml


def is_json(file: str) -> bool:
    """Whether a file of that name is read as JSON; everything else is YAML."""
    return file.endswith(".json")


def parse(text: str, *, is_json: bool) -> Tree:
    """The documents of a text that has no byte order mark. Never raises for what is in the text."""
    tree = Tree()
    try:
        if is_json:
            read_json(text, tree)
        else:
            read_yaml(text, tree)
    except StopReading as stop:
        tree.flaws.append(stop.flaw)
        tree.complete = False
    return tree
