"""What is made of files follows them at once, however fast they change."""

from pathlib import Path

import pytest

from api.followed import Followed, Unusable, read_file


def test_changes_within_one_tick_of_the_file_systems_clock_are_seen(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("000")
    followed = Followed([file], lambda: read_file(file).decode())
    for number in range(300):
        file.write_text(f"{number:03}")
        assert followed.current() == f"{number:03}"


def test_a_settled_file_is_not_read_again(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("same")
    reads = []
    followed = Followed([file], lambda: reads.append(1))
    for _ in range(10):
        followed.current()
    assert reads == [1]


def test_a_file_that_cannot_be_read_at_first_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Unusable, match="nowhere cannot be read"):
        Followed([tmp_path / "nowhere"], lambda: None)


def test_a_file_is_read_within_bounds(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (4 * 2**20 + 1))
    with pytest.raises(Unusable, match="more than"):
        read_file(tmp_path / "large")
