"""Mutated spec documents, in a process of their own: what crashes or hangs it is found from outside.

    python -m tests.hostile.fuzz_specs --seed 1 --count 1000000

Prints one JSON object: how many documents were read, how many of them were good, the longest in seconds, how much the
resident memory grew in the second half. Whatever a text says, parse_text answers; it never raises.
"""

import argparse
import json
import random
import time

from specs.document import parse_text
from tests.hostile.resident import resident

OBJECT = """\
apiVersion: wasm-reconciler.dev/v1alpha1
kind: WasmPlugin
metadata: {name: id_1, labels: {a: b}}
spec:
  route: r
  instances: 2 # two
  module: {path: a.wasm, digest: "sha256:%s"}
  config: {greeting: hello, n: 3}
  env: [{name: A, value: b}, {name: T, valueFrom: {file: /run/t}}]
  limits: {memory: 64Mi, timeout: 1s, fuel: 1000}
  rollout: {drainTimeout: 10s}
""" % ("ab" * 32)
FLAT = '{"id_1": {"name": "a", "instance_num": 2, "vm_config": {"engine": "wasmtime", "path": "a.wasm"}, "k": "v"}}'
SEEDS = (
    ("a.yaml", OBJECT),
    ("b.yaml", f"{OBJECT}---\n{OBJECT.replace('id_1', 'id_2')}"),
    ("c.json", FLAT),
    ("d.yaml", FLAT),
    ("e.yaml", "a: &x {name: a, vm_config: {path: p}}\nb: *x\n<<: *x\n"),
    ("f.yaml", "- !!str 1\n- ? [a]\n  : |+\n   x\n- 'y'\n- \"\\u00e9\"\n"),
    ("g.json", json.dumps({"apiVersion": "v1", "kind": "List", "items": [{"kind": "WasmPlugin"}]})),
)
TOKENS = (
    *("&a", "*a", "!!int", "!!binary", "<<: ", "---\n", "...\n", "? ", ": ", "- ", "| ", ">-", "%YAML 1.2\n", "\t"),
    *("[", "]", "{", "}", ",", '"', "'", "#", "\\", "\0", "\u2028", "\ufeff", "\ud7ff", "😀", "\r", "\n", "\x85"),
    *("null", "~", "true", "1e999", "0x1f", ".nan", "-", "99999999999999999999", "1_0", "12:30:45", "2024-01-01"),
    *("64Mi", "1s", "sha256:", "path", "name", "spec", "vm_config", "a" * 300, "[" * 80, "{a: " * 80, "&a [*a,*a]"),
)


class Mutations:
    """Documents with random damage, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def next(self) -> tuple[str, str]:
        """A file name and a text."""
        name, text = self._random.choice(SEEDS)
        for _ in range(self._random.choice((1, 1, 1, 2, 3, 6))):
            text = self._damage(text)
        return name, text

    def _damage(self, text: str) -> str:
        at, to = sorted((self._random.randrange(len(text) + 1), self._random.randrange(len(text) + 1)))
        way = self._random.randrange(8)
        if way == 0:
            return text[:at]
        if way == 1:
            return text[:at] + text[to:]
        if way == 2:
            return text[:to] + text[at:to] * self._random.choice((1, 2, 5)) + text[to:]
        if way == 3:
            return text[:at] + self._random.choice(SEEDS)[1] + text[at:]
        if way == 4:
            return (
                text[:at]
                + chr(self._random.choice((self._random.randrange(128), self._random.randrange(0xD800))))
                + text[at + 1 :]
            )
        if way == 5:
            lines = text.splitlines(keepends=True) or [""]
            self._random.shuffle(lines)
            return "".join(lines)
        return text[:at] + self._random.choice(TOKENS) + text[at if way == 6 else at + 1 :]


def run(seed: int, count: int) -> dict[str, object]:
    """Read that many documents."""
    mutations = Mutations(seed)
    longest, half, good = 0.0, 0, 0
    for number in range(count):
        if number == count // 2:
            half = resident()
        name, text = mutations.next()
        began = time.monotonic()
        parsed = parse_text(text, name)
        longest = max(longest, time.monotonic() - began)
        good += bool(parsed.documents)
    return {"seed": seed, "documents": count, "good": good, "longest": round(longest, 3), "grown": resident() - half}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    arguments = parser.parse_args()
    print(json.dumps(run(arguments.seed, arguments.count)))


if __name__ == "__main__":
    main()
