"""A writer that stops at any of its system calls, as when the power goes: its file has the old text or the new one.

What a real loss of power can also do is to keep the rename and lose what was written before it. Against that the order
of the calls helps, so it is looked at as well.
"""

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from specs.files import lock_temporary, remove_leftovers, temporary_beside
from tests.daemon import ROOT

OLD, NEW = b"old: " + b"o" * 20_000, b"new: " + b"n" * 30_000
CALLS = "openat,fchmod,write,fsync,rename,renameat,renameat2,close,unlink,unlinkat,flock,newfstatat"
WRITER = """\
import sys
from pathlib import Path
from specs.files import put_file
Path("/nothing/the-writer-begins").exists()
put_file(Path(sys.argv[1]), b"new: " + b"n" * 30_000)
"""


@dataclass(frozen=True)
class Call:
    """A system call of the writer, and how many of its kind came before it in the process, itself counted."""

    name: str
    number: int
    line: str


def trace(folder: Path, *flags: str) -> tuple[int, list[str]]:
    """Write NEW to `folder/a.yaml` under strace. The exit status, and the system calls."""
    log = folder.parent / "trace"
    command = ["strace", "-o", str(log), "-e", f"trace={CALLS}", *flags]
    command += [sys.executable, "-B", "-S", "-c", WRITER, str(folder / "a.yaml")]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, timeout=60)
    return done.returncode, log.read_text().splitlines() if log.exists() else []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file of the old text. Skips the test where processes cannot be traced."""
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no system call can be traced here")
    made = tmp_path / "specs"
    made.mkdir()
    (made / "a.yaml").write_bytes(OLD)
    return made


def calls(lines: list[str]) -> list[Call]:
    """The calls of `put_file`, in order."""
    counted: dict[str, int] = {}
    found: list[Call] = []
    begun = False
    for line in lines:
        match = re.match(r"(\w+)\(", line)
        if match is None:
            continue
        counted[match[1]] = counted.get(match[1], 0) + 1
        if begun:
            found.append(Call(match[1], counted[match[1]], line))
        begun = begun or "the-writer-begins" in line
    last = max(place for place, call in enumerate(found) if call.name == "fsync")
    return found[: last + 2]


def test_whatever_the_call_at_which_the_power_goes_the_file_is_whole(folder: Path) -> None:
    status, lines = trace(folder)
    assert status == 0
    found = calls(lines)
    assert len(found) > 8
    seen = []
    for call in found:
        (folder / "a.yaml").write_bytes(OLD)
        status, _ = trace(folder, "-e", f"inject={call.name}:signal=KILL:when={call.number}")
        assert status == -9, call
        seen.append((folder / "a.yaml").read_bytes())
    assert seen == sorted(seen, key=[OLD, NEW].index), "once the new text is there it stays"
    assert {OLD, NEW} == set(seen)
    assert [path.name for path in folder.glob("[!.]*")] == ["a.yaml"]
    assert list(folder.glob(".*.tmp"))
    remove_leftovers(folder)
    assert [path.name for path in folder.iterdir()] == ["a.yaml"]


@pytest.mark.parametrize(("call", "error"), [("write", "ENOSPC"), ("fsync", "EIO"), ("rename", "EIO")])
def test_a_call_that_fails_leaves_the_old_text_and_nothing_else(folder: Path, call: str, error: str) -> None:
    _, lines = trace(folder)
    (folder / "a.yaml").write_bytes(OLD)
    number = next(found.number for found in calls(lines) if found.name == call)
    status, _ = trace(folder, "-e", f"inject={call}:error={error}:when={number}")
    assert status == 1
    assert (folder / "a.yaml").read_bytes() == OLD
    assert [path.name for path in folder.iterdir()] == ["a.yaml"]


def test_what_is_written_is_on_the_disk_before_its_name_is_and_then_the_folder(folder: Path) -> None:
    _, lines = trace(folder)
    steps = [call for call in calls(lines) if call.name in {"openat", "write", "fsync", "rename"}]
    assert [call.name for call in steps] == ["openat", "write", "fsync", "rename", "openat", "fsync"]
    created, written, synced, renamed, opened, folder_synced = (call.line for call in steps)
    descriptor = created.rpartition("= ")[2]
    assert "O_CREAT|O_EXCL" in created
    assert written.startswith(f"write({descriptor}, ")
    assert synced.startswith(f"fsync({descriptor})")
    assert f'"{folder}/a.yaml"' in renamed
    assert f'"{folder}", ' in opened
    assert folder_synced.startswith(f"fsync({opened.rpartition('= ')[2]})")


def test_what_somebody_writes_just_now_is_no_leftover(tmp_path: Path) -> None:
    temporary = temporary_beside(tmp_path / "a.yaml")
    other = tmp_path / ".a.yaml.swp"
    other.touch()
    with temporary.open("xb") as file:
        lock_temporary(file.fileno())
        remove_leftovers(tmp_path)
        assert temporary.exists()
    remove_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == [other]
