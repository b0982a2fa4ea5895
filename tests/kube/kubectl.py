"""The real kubectl, called as people call it."""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests import parts

VERSIONS = ("1.37", "1.33")


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit {self.code}\n{self.out}\n{self.err}"


class Kubectl:
    """kubectl of one version against one server, with a home of its own."""

    def __init__(self, version: str, server: str, home: Path) -> None:
        self._binary = parts.kubectl(version)
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        config = home / "kubeconfig"
        config.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: node\n"
            f"clusters: [{{name: node, cluster: {{server: '{server}'}}}}]\n"
            "contexts: [{name: node, context: {cluster: node, user: me}}]\nusers: [{name: me, user: {}}]\n"
        )
        self.env = {**os.environ, "HOME": str(home), "KUBECONFIG": str(config)}

    def start(self, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self._binary), *words],
            env=self.env,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *words: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Answer:
        done = subprocess.run(
            [str(self._binary), *words],
            env={**self.env, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=40,
            check=False,
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def says(self, *words: str, stdin: str = "", env: Mapping[str, str] | None = None) -> str:
        """What a command that works prints."""
        answer = self(*words, stdin=stdin, env=env)
        assert answer.code == 0, f"kubectl {' '.join(words)}: {answer}"
        return answer.out

    def refused(self, *words: str, stdin: str = "") -> str:
        """What a command that does not work complains."""
        answer = self(*words, stdin=stdin)
        assert answer.code != 0, f"kubectl {' '.join(words)}: {answer}"
        return answer.err


def rows(text: str) -> list[list[str]]:
    """A table that kubectl printed, without its head."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()[1:]]
