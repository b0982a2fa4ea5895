"""Change one plugin in the text of a file, and nothing else: comments and other documents stay byte for byte.

Every edit is worked out twice: what the data must be afterwards, and a text for it. The text is read again, and used
only if it holds exactly that data; otherwise the next, coarser text is tried (the element written anew, then its
document). So a corner of YAML can cost a comment inside one document, never another plugin.

Belongs here: pure functions from text to text. Does not: files (writer.py, files.py), offsets (splice.py).
"""

import copy
from collections.abc import Iterable, Iterator
from typing import Any, Final

from specs import layotto
from specs.elements import Element, Form, elements, is_map, map_nodes, walk
from specs.errors import SpecWriteFailed
from specs.model import KIND, WasmPlugin
from specs.nodes import Root, Tree
from specs.splice import Splicer, json_text, same, yaml_text
from specs.text import is_json, parse

_INDENT: Final = 2


def new_file(plugin: WasmPlugin) -> str:
    """The text of a YAML file with just this plugin."""
    return yaml_text(plugin.to_dict())


class Editor:
    """Edits of one text. `file` decides between JSON and YAML and is named in errors."""

    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._json = is_json(file)
        self._tree: Tree = parse(text, is_json=self._json)
        self._elements = tuple(elements(self._tree.roots))

    def find(self, name: str, ordinal: int) -> Element | None:
        """The element that stands for a plugin: the one at that place if it has the name, else the first that has."""
        named = [(place, one) for place, one in enumerate(self._elements) if _name(one) == name]
        return next((one for place, one in named if place == ordinal), named[0][1] if named else None)

    def set_instances(self, element: Element, plugin: WasmPlugin, instances: int) -> str:
        """The text with another number of instances. `plugin` is what the element describes now."""
        data = copy.deepcopy(element.node.data)
        if element.form is Form.OBJECT:
            data["spec"]["instances"] = instances
        elif instances > 0 and not data.get("from_wasm_plugin"):
            data["instance_num"] = instances
        else:  # the flat form cannot say it
            spec = plugin.spec.model_copy(update={"instances": instances})
            return self.replace(element, plugin.model_copy(update={"spec": spec}))
        return self._set(element, data)

    def replace(self, element: Element, plugin: WasmPlugin) -> str:
        """The text with another plugin in the place of an element."""
        data: dict[str, Any] | None = None
        if element.form is Form.FLAT:
            data = layotto.flatten(plugin, keyed=element.key is not None)
        return self._set(element, plugin.to_dict() if data is None else data)

    def remove(self, element: Element) -> str:
        """The text without an element."""
        root = self._tree.roots[element.root]
        expected = self._data()
        if not element.path:
            expected[element.root] = None
            return self._choose([self._text[: root.start] + self._text[root.end :]], expected)
        parent = walk(root.node, element.path[:-1])
        assert parent is not None
        step = element.path[-1]
        del _inside(expected[element.root], element.path[:-1])[step]
        splicer = Splicer(self._text, self._json)
        if isinstance(step, int):
            splicer.cut_item(parent, step)
        else:
            splicer.cut_entry(parent, next(i for i, (key, _) in enumerate(parent.entries or ()) if key.data == step))
        return self._choose((splicer.result(), *self._rewrites(root, expected[element.root])), expected)

    def append(self, plugin: WasmPlugin) -> str:
        """The text with one more plugin: in its map, its list, or as a document of its own."""
        if not self._tree.roots or all(root.node.data is None for root in self._tree.roots):
            data = {plugin.name: _for_map(plugin)}
            new = f"{json_text(data, _INDENT)}\n" if self._json else yaml_text(data)
            return self._choose([new], [data])
        index = next((i for i, root in enumerate(self._tree.roots) if root.node.data is not None), 0)
        root = self._tree.roots[index]
        expected = self._data()
        splicer = Splicer(self._text, self._json)
        maps = map_nodes(root.node) if isinstance(root.node.data, dict) and _holds_map(root.node.data) else []
        if maps:
            path, node = maps[0]
            entry = {plugin.name: _for_map(plugin)}
            _inside(expected[index], path).update(entry)
            splicer.add_entries(node, entry)
        elif root.node.items is not None:
            expected[index].append(plugin.to_dict())
            splicer.add_item(root.node, plugin.to_dict())
        elif not self._json:
            head = self._text if self._text.endswith("\n") else f"{self._text}\n"
            expected.append(plugin.to_dict())
            return self._choose([f"{head}---\n{yaml_text(plugin.to_dict())}"], expected)
        else:
            raise SpecWriteFailed(self._file, "it holds a single object, and nothing can be added to it")
        return self._choose((splicer.result(), *self._rewrites(root, expected[index])), expected)

    def _set(self, element: Element, data: dict[str, Any]) -> str:
        expected = self._data()
        root = self._tree.roots[element.root]
        if element.path:
            _inside(expected[element.root], element.path[:-1])[element.path[-1]] = data
        else:
            expected[element.root] = data
        return self._choose(self._texts(element, root, data, expected[element.root]), expected)

    def _texts(self, element: Element, root: Root, data: dict[str, Any], whole: Any) -> Iterator[str]:
        splicer = Splicer(self._text, self._json)
        splicer.update(element.node, data)
        yield splicer.result()
        if element.path:
            yield self._text[: element.node.start] + json_text(data) + self._text[element.node.end :]
        yield from self._rewrites(root, whole)

    def _rewrites(self, root: Root, data: Any) -> Iterator[str]:
        """The text with one document written anew: the comments around it kept, or else those of other documents."""
        if self._json:
            yield f"{json_text(data, _INDENT)}\n"
            return
        splicer = Splicer(self._text, self._json)
        new = yaml_text(data, eol=splicer.eol())
        yield f"{self._text[: root.node.start]}{new.rstrip()}{self._text[splicer.tail(root.node) :]}"
        mark = f"---{splicer.eol()}" if self._text.startswith("---", root.start) else ""
        yield f"{self._text[: root.start]}{mark}{new}{self._text[root.end :]}"

    def _data(self) -> list[Any]:
        return [copy.deepcopy(root.node.data) for root in self._tree.roots]

    def _choose(self, texts: Iterable[str], expected: list[Any]) -> str:
        """The first text that says exactly what is expected. Raises SpecWriteFailed where none does."""
        wanted = [data for data in expected if data is not None]
        for text in texts:
            tree = parse(text, is_json=self._json)
            found = [root.node.data for root in tree.roots if root.node.data is not None]
            if tree.complete and len(tree.flaws) == len(self._tree.flaws) and same(found, wanted):
                return text
        raise SpecWriteFailed(self._file, "the change could not be made in its text; edit it by hand")


def holds_nothing(text: str, file: str) -> bool:
    """Whether nothing is left in a text that a person would miss: no element, and no other data."""
    roots = parse(text, is_json=is_json(file)).roots
    return all(not root.node.data or _is_empty_list(root.node.data) for root in roots)


def _is_empty_list(data: Any) -> bool:
    return isinstance(data, dict) and data.get("kind") in ("List", f"{KIND}List") and not data.get("items")


def _holds_map(data: dict[str, Any]) -> bool:
    return not layotto.looks_like_object(data) and not layotto.looks_flat(data) and is_map(data)


def _for_map(plugin: WasmPlugin) -> dict[str, Any]:
    flat = layotto.flatten(plugin, keyed=True)
    return plugin.to_dict() if flat is None else flat


def _name(element: Element) -> str | None:
    if element.key is not None:
        return element.key
    data = element.node.data
    if not isinstance(data, dict):
        return None
    metadata = data.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else data.get("name")
    return name if isinstance(name, str) else None


def _inside(data: Any, path: tuple[str | int, ...]) -> Any:
    for step in path:
        data = data[step]
    return data
