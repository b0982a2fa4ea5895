"""Interfaces that go past the adapter to the host: they have no streams, so a host function each will do.

Belongs here: their types, as text, by their names. Does not: what the functions do (wasi_http.surroundings).
"""

from collections.abc import Mapping
from typing import Final

PASSED: Final[Mapping[str, str]] = {
    "wasi:cli/environment": """
      (export "get-environment" (func (result (list (tuple string string)))))
      (export "get-arguments" (func (result (list string))))
      (export "initial-cwd" (func (result (option string))))""",
    "wasi:clocks/wall-clock": """
      (type $a-time (record (field "seconds" u64) (field "nanoseconds" u32)))
      (export "datetime" (type $datetime (eq $a-time)))
      (export "now" (func (result $datetime)))
      (export "resolution" (func (result $datetime)))""",
    "wasi:random/random": """
      (export "get-random-bytes" (func (param "len" u64) (result (list u8))))
      (export "get-random-u64" (func (result u64)))""",
    "wasi:random/insecure": """
      (export "get-insecure-random-bytes" (func (param "len" u64) (result (list u8))))
      (export "get-insecure-random-u64" (func (result u64)))""",
    "wasi:random/insecure-seed": """
      (export "insecure-seed" (func (result (tuple u64 u64))))""",
    "wasi:config/store": """
      (type $an-error (variant (case "upstream" string) (case "io" string)))
      (export "error" (type $error (eq $an-error)))
      (export "get" (func (param "key" string) (result (result (option string) (error $error)))))
      (export "get-all" (func (result (result (list (tuple string string)) (error $error)))))""",
}
"""What an instance of each exports. Versions from 0.2.0 have the same."""


def import_of(interface: str) -> str:
    """The import of such an interface, as text; one name stands for all its versions."""
    return f'(import "{interface}" (instance ${_name(interface)}{PASSED[interface]}))'


def instance_of(interface: str) -> str:
    """What the import is called in the text."""
    return f"${_name(interface)}"


def _name(interface: str) -> str:
    return interface.replace(":", "-").replace("/", "-")
