"""Plugins as users write them."""

from typing import Any

BASE = "/apis/wasm-reconciler.dev/v1alpha1"
ALL = f"{BASE}/namespaces/default/wasmplugins"


def manifest(name: str, *, instances: int | None = 1, labels: str = "", spec: str = "", meta: str = "") -> str:
    text = f"apiVersion: wasm-reconciler.dev/v1alpha1\nkind: WasmPlugin\nmetadata:\n  name: {name}\n"
    if labels:
        text += f"  labels: {{{labels}}}\n"
    text += f"{meta}spec:\n  module: {{path: hello.wat}}\n"
    if instances is not None:
        text += f"  instances: {instances}\n"
    return text + spec


def plugin(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "wasm-reconciler.dev/v1alpha1",
        "kind": "WasmPlugin",
        "metadata": {"name": name},
        "spec": {"module": {"path": "hello.wat"}, **spec},
    }
