"""What a killed process leaves in memory is removed by the next one, and what a living one has is not."""

import subprocess
import sys
from pathlib import Path

from reconciler.wasm.wasi_http.memory_files import MemoryFiles
from tests.daemon import ROOT

KEEPER = """\
import sys
from pathlib import Path
from reconciler.wasm.wasi_http.memory_files import MemoryFiles
files = MemoryFiles(Path(sys.argv[1]))
Path(files.directory(), "0").write_bytes(bytes(10))
print(files.path, flush=True)
sys.stdin.read()
"""


def test_what_a_killed_process_leaves_behind_is_removed_by_the_next(tmp_path: Path) -> None:
    (tmp_path / "wasm-reconciler-link").symlink_to("/etc")
    command = [sys.executable, "-c", KEEPER, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as keeper:
        assert keeper.stdout is not None
        left = Path(keeper.stdout.readline().strip())
        mine = MemoryFiles(tmp_path)
        assert list(left.glob("*/0")), "it lives"
        mine.close()
        keeper.kill()
    mine = MemoryFiles(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {mine.path.name, "wasm-reconciler-link"}
    mine.close()
    assert [path.name for path in tmp_path.iterdir()] == ["wasm-reconciler-link"]
