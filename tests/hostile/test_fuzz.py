"""Random host calls and random documents: no crash, no hang, no memory without end. Each run is a process."""

import json
import subprocess
import sys

import pytest

from tests.daemon import ROOT

LONGEST = 1.0
"""Seconds, for one sequence or document."""
GROWTH = 16 * 2**20
"""Bytes in the second half of a run. What one plugin's instances share may take as much, and no more."""


def fuzz(what: str, seed: int, count: int) -> dict[str, float]:
    """Run a fuzzer; what it found. It must end by itself, with 0."""
    command = [sys.executable, "-m", f"tests.hostile.fuzz_{what}", "--seed", str(seed), "--count", str(count)]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, (done.returncode, done.stderr[-4000:])
    found: dict[str, float] = json.loads(done.stdout)
    assert found["longest"] < LONGEST, found
    assert found["grown"] < GROWTH, found
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_random_host_calls_harm_nobody(seed: int) -> None:
    fuzz("host_calls", seed, 2000)


@pytest.mark.parametrize("seed", [1, 2])
def test_random_documents_are_read_or_refused(seed: int) -> None:
    fuzz("specs", seed, 5000)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10))
def test_10_times_10000_random_sequences_of_host_calls(seed: int) -> None:
    print(fuzz("host_calls", seed, 10_000))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10))
def test_10_times_100000_random_documents(seed: int) -> None:
    print(fuzz("specs", seed, 100_000))
