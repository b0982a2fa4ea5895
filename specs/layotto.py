"""Layotto's flat object and its map <-> WasmPlugin.

The flat object is `{"name", "instance_num", "vm_config": {"engine", "path", "url", "md5", "cpu", "mem"}, <other
string keys>}`: the body of `POST /wasm/install`, and the values of the map in Layotto's `config.json`
(mosn/layotto pkg/wasm/config.go, mosn pkg/config/v2/wasm.go). What it means here:

- In a map the key is the identity and `name` the route; with no map `name` is both.
- `instance_num` absent, zero or negative is the number of CPUs, as in Layotto (its checkVmConfig).
- `path` wins over `url`; a `url` needs the `md5`. An empty string is the same as an absent field.
- `cpu`, `mem` and `root_context_id` do nothing in Layotto and do nothing here; a notice says so.
- `from_wasm_plugin` takes `vm_config` and `instance_num` from the entry of that name in `wasm_global_plugins`.
- It may read every state store.
- Any other key with a string is an entry of the plugin configuration that the guest reads.

Belongs here: shapes, as plain data. Does not: text and positions (document.py), files (config_file.py).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from specs.model import API_VERSION, KIND, WasmPlugin

FILTER_TYPE: Final = "Layotto"
"""The `type` of the MOSN stream filter whose `config` is the map (pkg/filter/stream/wasm, demo/faas/config.json)."""

ANY_STORE: Final = "*"
"""In `capabilities.stores`: every store."""

_ITEM_FIELDS: Final = ("name", "instance_num", "vm_config", "from_wasm_plugin", "root_context_id")
_VM_STRINGS: Final = ("engine", "path", "url", "md5")
_VM_NUMBERS: Final = ("cpu", "mem")
VM_FIELDS: Final = (*_VM_STRINGS, *_VM_NUMBERS)

Path = tuple[str | int, ...]
"""Steps into data: keys and indices."""


@dataclass(slots=True)
class Unflattened:
    """A flat object as the data of a WasmPlugin.

    `problems` are what is wrong with the flat object itself: where, and what. `notices` are what is accepted but
    has no effect. `data` is None where there is not enough to go on.
    """

    data: dict[str, Any] | None = None
    problems: list[tuple[Path, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def cpus() -> int:
    """The number of CPUs that this process may use (Go's runtime.NumCPU): the default of `instance_num`."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def unflatten(item: Mapping[str, Any], key: str | None, global_plugins: Mapping[str, Any]) -> Unflattened:
    """A flat object as the data of a WasmPlugin. `key` is its key in a map; None for an install body.

    `global_plugins` are the `wasm_global_plugins` of the configuration around it, by name.
    """
    result = Unflattened()
    name = _string(item, "name", (), result)
    identity = name if key is None else key
    if not identity and not result.problems:
        result.problems.append((("name",), "can't get name property"))
    number, vm = _machine(item, global_plugins, result)
    if _number(item, "root_context_id", (), result) not in (None, 1):
        result.notices.append("root_context_id is accepted and has no effect")
    # In Layotto every function reads every store; the flat form has no words to say which.
    spec: dict[str, Any] = {
        "instances": number if number is not None and number > 0 else cpus(),
        "capabilities": {"stores": [ANY_STORE]},
    }
    if vm is not None:
        _vm_config(vm, spec, result)
    config = _user_data(item, result)
    if config:
        spec["config"] = config
    if name and name != identity:
        spec["route"] = name
    if identity and "module" in spec:
        result.data = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": identity}, "spec": spec}
    return result


def _machine(
    item: Mapping[str, Any], global_plugins: Mapping[str, Any], result: Unflattened
) -> tuple[int | None, Mapping[str, Any] | None]:
    """`instance_num` and `vm_config`: the item's own, or those of the global plugin that it names."""
    plugin = _string(item, "from_wasm_plugin", (), result)
    if plugin:
        shared = global_plugins.get(plugin)
        if shared is None:
            result.problems.append((("from_wasm_plugin",), f"plugin not found: {plugin} is not in wasm_global_plugins"))
            return None, None
        item = shared
    number, vm = _number(item, "instance_num", (), result), item.get("vm_config")
    if vm is None:
        result.problems.append((("vm_config",), "nil vm config"))
    elif not isinstance(vm, Mapping):
        result.problems.append((("vm_config",), f"expected a mapping, not {vm!r}"))
        vm = None
    return number, vm


def _string(data: Mapping[str, Any], name: str, where: Path, result: Unflattened) -> str:
    value = data.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    result.problems.append(((*where, name), f"expected a string, not {value!r}"))
    return ""


def _number(data: Mapping[str, Any], name: str, where: Path, result: Unflattened) -> int | None:
    value = data.get(name)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    result.problems.append(((*where, name), f"expected a whole number, not {value!r}"))
    return None


def _vm_config(vm: Mapping[str, Any], spec: dict[str, Any], result: Unflattened) -> None:
    where: Path = ("vm_config",)
    text = {name: _string(vm, name, where, result) for name in _VM_STRINGS}
    for name in _VM_NUMBERS:
        if _number(vm, name, where, result):
            result.notices.append(f"vm_config.{name} is accepted and has no effect; write limits in a WasmPlugin")
    result.problems += [((*where, name), "unknown field") for name in vm if name not in VM_FIELDS]
    place = "path" if text["path"] else "url"
    if not vm.get("path") and not vm.get("url"):
        result.problems.append((where, "give path or url"))
    elif place == "path" and text["url"]:
        result.notices.append("vm_config.path wins over vm_config.url, which has no effect")
    module: dict[str, Any] = {place: text[place]} if text[place] else {}
    if text["md5"]:
        module["digest"] = f"md5:{text['md5'].lower()}"
    if text["engine"]:
        spec["engine"] = text["engine"]
    spec["module"] = module


def _user_data(item: Mapping[str, Any], result: Unflattened) -> dict[str, str]:
    config = {}
    for name, value in item.items():
        if name in _ITEM_FIELDS:
            continue
        if isinstance(value, str):
            config[name] = value
        else:
            result.problems.append(((name,), "unknown field; a key of the plugin configuration holds a string"))
    return config


_FLAT_PATHS: Final[Mapping[Path, Path]] = {
    ("spec", "instances"): ("instance_num",),
    ("spec", "route"): ("name",),
    ("spec", "engine"): ("vm_config", "engine"),
    ("spec", "module", "path"): ("vm_config", "path"),
    ("spec", "module", "url"): ("vm_config", "url"),
    ("spec", "module", "digest"): ("vm_config", "md5"),
    ("spec", "module"): ("vm_config",),
    ("spec", "config"): (),
}


def flat_path(path: Path, key: str | None) -> Path:
    """Where a field of the WasmPlugin stands in the flat object."""
    if path[:2] == ("metadata", "name"):
        return () if key is not None else ("name",)
    for length in range(len(path), 0, -1):
        if path[:length] in _FLAT_PATHS:
            return (*_FLAT_PATHS[path[:length]], *path[length:])
    return ()


def flatten(plugin: WasmPlugin, *, keyed: bool) -> dict[str, Any] | None:
    """The flat object that means the same, or None where the flat form cannot say it.

    `keyed`: it becomes the value of a map, so that `name` may be a route other than the identity.
    """
    module = plugin.spec.module
    vm: dict[str, Any] = {}
    if "engine" in plugin.spec.model_fields_set:
        vm["engine"] = plugin.spec.engine
    if module.path is not None:
        vm["path"] = module.path
    if module.url is not None:
        vm["url"] = module.url
    if module.digest is not None:
        vm["md5"] = module.digest.removeprefix("md5:")
    item = {"name": plugin.route, "instance_num": plugin.spec.instances, "vm_config": vm}
    if isinstance(plugin.spec.config, str) or set(plugin.spec.config) & set(_ITEM_FIELDS):
        return None
    item |= plugin.spec.config
    back = unflatten(item, plugin.name if keyed else None, {})
    # Whatever the flat form cannot say comes back as something else: one test for all of it.
    if back.problems or back.data is None or module.digest not in (None, f"md5:{vm.get('md5')}"):
        return None
    written = WasmPlugin.model_validate(back.data)
    return item if _meaning(written) == _meaning(plugin) else None


def _meaning(plugin: WasmPlugin) -> tuple[object, ...]:
    return plugin.metadata, plugin.route, plugin.spec.model_copy(update={"route": None})


def looks_flat(data: Mapping[str, Any]) -> bool:
    """Whether a mapping is meant as a flat object."""
    return not looks_like_object(data) and (
        "vm_config" in data or "from_wasm_plugin" in data or isinstance(data.get("name"), str)
    )


def looks_like_object(data: Mapping[str, Any]) -> bool:
    """Whether a mapping is meant as an object with apiVersion and kind, even if those are missing."""
    return any(isinstance(data.get(key), kind) for key, kind in (("apiVersion", str), ("kind", str))) or (
        isinstance(data.get("metadata"), Mapping) and "spec" in data
    )


def filter_maps(config: Mapping[str, Any]) -> list[Path]:
    """Where the maps lie in a whole MOSN configuration.

    That is `servers[].listeners[].stream_filters[].config` of the filters whose type is `Layotto`.
    """
    found: list[Path] = []
    for i, server in enumerate(_mappings(config.get("servers"))):
        for j, listener in enumerate(_mappings(server.get("listeners"))):
            for k, stream_filter in enumerate(_mappings(listener.get("stream_filters"))):
                if stream_filter.get("type") == FILTER_TYPE and isinstance(stream_filter.get("config"), Mapping):
                    found.append(("servers", i, "listeners", j, "stream_filters", k, "config"))
    return found


def global_plugins(config: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of `wasm_global_plugins` by their `plugin_name`."""
    entries = _mappings(config.get("wasm_global_plugins"))
    return {entry["plugin_name"]: entry for entry in entries if isinstance(entry.get("plugin_name"), str)}


def _mappings(value: object) -> list[Mapping[str, Any]]:
    # A value of another type keeps its index: the path must still lead to the right place.
    return [entry if isinstance(entry, Mapping) else {} for entry in value] if isinstance(value, list) else []
