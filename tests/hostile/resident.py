"""How much memory a process really has."""

import os
from pathlib import Path


def resident(process: int | None = None) -> int:
    """Bytes of resident memory of a process; of this one, where none is named."""
    for line in Path(f"/proc/{process or os.getpid()}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the process has no memory")
